// The kernel entries of a reduction, given what it folds by.
#ifndef POLYOPS_GPU_REDUCTION_CALLS_H_
#define POLYOPS_GPU_REDUCTION_CALLS_H_

#include "columns.h"
#include "layout.h"
#include "rows.h"

namespace polyops::gpu {
namespace {

// A layout that kernels count in 32 bits: null, or why there is none.
inline const char* countable_layout(const polyops_reduction_args& a, ReductionLayout* layout) {
  if (a.dst.rank != a.src.rank) return "shape";
  if (const char* reason = find_layout(a, layout)) return reason;
  if (!layout->columns) return nullptr;
  const int64_t tasks = layout->kept.numel() * layout->width * layout->count;
  return tasks <= kMostElements ? nullptr : "size";
}

inline const char* reduction_supports(const polyops_reduction_args& a, bool widens) {
  if (!has_type(a.src.dtype)) return "dtype";
  if (a.dst.dtype != a.src.dtype && !(widens && a.dst.dtype == POLYOPS_FLOAT32)) return "dtype";
  ReductionLayout layout;
  return countable_layout(a, &layout);
}

// Of one number to a part.
inline size_t layout_scratch(const ReductionLayout& layout, bool wide) {
  if (layout.columns) return columns_scratch(layout, wide ? kPack<float> : kPack<bf16>);
  return wide ? rows_scratch<float>(layout) : rows_scratch<bf16>(layout);
}

inline size_t reduction_scratch(const void* data, int32_t) {
  const auto& a = *static_cast<const polyops_reduction_args*>(data);
  ReductionLayout layout;
  if (find_layout(a, &layout) != nullptr) return 0;
  return layout_scratch(layout, a.src.dtype == POLYOPS_FLOAT32);
}

template <class Op>
int launch_reduction(const polyops_reduction_args& a, float divisor, const polyops_context* ctx) {
  ReductionLayout layout;
  if (find_layout(a, &layout) != nullptr) return POLYOPS_DECLINED;
  const Result dst = {a.dst.data, a.dst.dtype, divisor};
  return with_type(a.src.dtype, [&]<class T>() {
    const auto* src = static_cast<const T*>(a.src.data);
    return layout.columns ? launch_columns<Op>(layout, src, dst, ctx)
                          : launch_rows<Op>(layout, src, dst, ctx);
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_REDUCTION_CALLS_H_
