// argmax, argmin, max and min over a dimension on GPUs.
#include "polyops/ops/extreme.h"
#include "reduction/calls.h"
#include "reduction/extreme_alone.h"
#include "reduction/extreme_columns.h"
#include "reduction/extreme_few.h"
#include "reduction/extreme_rows.h"
#include "table.h"

namespace polyops::gpu {
namespace {

// The amax or amin beside it.
polyops_reduction_args reduction_of(const polyops_extreme_args& a) {
  polyops_reduction_args args = {sizeof args, a.src.rank == 0 ? 0 : 1u << a.dim, a.src, a.indices};
  args.dst.dtype = a.src.dtype;
  return args;
}

const char* check_outputs(const polyops_extreme_args& a) {
  if (a.indices.dtype != POLYOPS_INT64) return "dtype";
  if (!polyops_is_present(&a.values)) return nullptr;
  if (a.values.dtype != a.src.dtype) return "dtype";
  if (a.values.rank != a.indices.rank) return "shape";
  for (int d = 0; d < a.indices.rank; ++d) {
    if (a.values.sizes[d] != a.indices.sizes[d]) return "shape";
    if (a.values.sizes[d] != 1 && a.values.strides[d] != a.indices.strides[d]) return "layout";
  }
  return nullptr;
}

const char* supports(const void* data) {
  const auto& a = *static_cast<const polyops_extreme_args*>(data);
  const char* reason = reduction_supports(reduction_of(a), false);
  return reason ? reason : check_outputs(a);
}

// Keys, where amax leaves values.
size_t scratch(const void* data, int32_t threads) {
  const auto args = reduction_of(*static_cast<const polyops_extreme_args*>(data));
  return reduction_scratch(&args, threads) * (sizeof(Key) / sizeof(float));
}

template <class Op>
int extreme(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_extreme_args*>(data);
  ReductionLayout layout;
  if (find_layout(reduction_of(a), &layout) != nullptr) return POLYOPS_DECLINED;
  return with_type(a.src.dtype, [&]<class T>() {
    const bool valued = polyops_is_present(&a.values);
    const ExtremeResult<T> to = {
        static_cast<const T*>(a.src.data), layout.columns ? layout.stride : 1,
        static_cast<int64_t*>(a.indices.data), valued ? static_cast<T*>(a.values.data) : nullptr};
    if (are_few(layout, to.src)) return launch_extreme_few<Op>(layout, to, ctx);
    if (are_alone(layout, to.src)) return launch_extreme_alone<Op>(layout, to, ctx);
    return layout.columns ? launch_extreme_columns<Op>(layout, to, ctx)
                          : launch_extreme_rows<Op>(layout, to, ctx);
  });
}

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(argmax,
                    POLYOPS_GPU_KERNEL("argmax", "argmax", supports, scratch, extreme<Largest>),
                    POLYOPS_GPU_KERNEL("argmin", "argmin", supports, scratch, extreme<Smallest>),
                    POLYOPS_GPU_KERNEL("max", "max", supports, scratch, extreme<Largest>),
                    POLYOPS_GPU_KERNEL("min", "min", supports, scratch, extreme<Smallest>))
