// The kernel entries of a reduction by several numbers, given what it folds by.
#ifndef POLYOPS_GPU_REDUCTION_STATE_CALLS_H_
#define POLYOPS_GPU_REDUCTION_STATE_CALLS_H_

#include "calls.h"
#include "state_columns.h"
#include "state_rows.h"

namespace polyops::gpu {
namespace {

template <class Op>
size_t state_scratch(const polyops_reduction_args& a) {
  return Op::Numbers::kSize * reduction_scratch(&a, 0);
}

template <class Op, class T>
int launch_states_in(const ReductionLayout& layout, const T* src, const typename Op::Finish& dst,
                     const polyops_context* ctx) {
  return layout.columns ? launch_state_columns<Op>(layout, src, dst, ctx)
                        : launch_state_rows<Op>(layout, src, dst, ctx);
}

template <class Op>
int launch_states(const polyops_reduction_args& a, const typename Op::Finish& dst,
                  const polyops_context* ctx) {
  ReductionLayout layout;
  if (find_layout(a, &layout) != nullptr) return POLYOPS_DECLINED;
  return with_type(a.src.dtype, [&]<class T>() {
    return launch_states_in<Op>(layout, static_cast<const T*>(a.src.data), dst, ctx);
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_REDUCTION_STATE_CALLS_H_
