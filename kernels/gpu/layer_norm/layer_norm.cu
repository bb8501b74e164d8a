// layer_norm and layer_norm_backward on GPUs.
// Bound: memory, 2 and 3 elements moved per element.
#include "backward_launch.h"
#include "forward.h"
#include "forward_long.h"
#include "forward_strided.h"
#include "table.h"

namespace polyops::gpu {
namespace {

const char* supports(const void* p) {
  const auto& a = *static_cast<const polyops_layer_norm_args*>(p);
  if (!has_type(a.src.dtype) || a.dst.dtype != a.src.dtype) return "dtype";
  const polyops_tensor* const others[] = {&a.weight, &a.bias, &a.mean, &a.rstd};
  for (const polyops_tensor* t : others) {
    if (const char* reason = values_reason(*t, a.src.dtype)) return reason;
  }
  const bool both = polyops_is_present(&a.weight) && polyops_is_present(&a.bias);
  if (both && a.weight.dtype != a.bias.dtype) return "dtype";
  return shape_reason(shape_of(a.src, a.normalized_rank));
}

const polyops_tensor& parameter_of(const polyops_layer_norm_args& a) {
  return polyops_is_present(&a.weight) ? a.weight : a.bias;
}

const char* contiguous_supports(const void* p) {
  const auto& a = *static_cast<const polyops_layer_norm_args*>(p);
  if (const char* reason = supports(p)) return reason;
  const Shape shape = shape_of(a.src, a.normalized_rank);
  return make_space<2>({&a.src, &a.dst}, shape.first_normalized, a.src.rank).dense() ? nullptr
                                                                                     : "layout";
}

// Packs per lane: few for rows of a few packs, so that a team has lanes to be coalesced by; 4 up to
// 32 KB, in blocks that fit a multiprocessor three times; 8 up to 128 KB.
template <class T, class P>
int launch_rows(const ForwardCall<T, P>& call, int64_t packs, const polyops_context* ctx) {
  const auto launch_as = [&](auto kernel, int kPacks) {
    const int team = team_of(packs, kPacks);
    const int threads = team <= kHalfWave ? threads_of(call.row_count, team, kShortThreads) : team;
    const int64_t rows = threads / team;  // of a block
    return launch(kernel, {(call.row_count + rows - 1) / rows, threads}, ctx, call, team);
  };
  if (packs <= 4) return launch_as(forward_rows<T, P, 1>, 1);
  if (packs <= 8) return launch_as(forward_rows<T, P, 2>, 2);
  if (packs <= 4 * kForwardThreads / 2) return launch_as(forward_rows<T, P, 4>, 4);
  return launch_as(forward_rows<T, P, 8>, 8);
}

int contiguous(const void* p, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_layer_norm_args*>(p);
  const Shape shape = shape_of(a.src, a.normalized_rank);
  return with_types(a.src.dtype, parameter_of(a), [&]<class T, class P>() {
    const ForwardCall<T, P> call = make_forward<T, P>(a, shape);
    const int64_t packs = packs_of(shape.n, kPack<T>, rows_aligned(call.rows, 0, a.src));
    if (packs <= 8 * kForwardThreads) return launch_rows(call, packs, ctx);
    return launch(forward_long<T, P>, {shape.rows, kForwardThreads}, ctx, call);
  });
}

int strided(const void* p, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_layer_norm_args*>(p);
  const Shape shape = shape_of(a.src, a.normalized_rank);
  const auto elements = make_space<2>({&a.src, &a.dst}, shape.first_normalized, a.src.rank);
  return with_types(a.src.dtype, parameter_of(a), [&]<class T, class P>() {
    return launch(forward_strided<T, P>, {shape.rows, strided_threads(shape.n)}, ctx,
                  make_forward<T, P>(a, shape), elements);
  });
}

const char* backward_supports(const void* p) {
  const auto& a = *static_cast<const BackwardArgs*>(p);
  if (!has_type(a.src.dtype) || a.grad_dst.dtype != a.src.dtype) return "dtype";
  const bool out = polyops_is_present(&a.grad_src);
  if (out && a.grad_src.dtype != a.src.dtype) return "dtype";
  const polyops_tensor* const others[] = {&a.weight, &a.mean, &a.rstd, &a.grad_weight,
                                          &a.grad_bias};
  for (const polyops_tensor* t : others) {
    if (const char* reason = values_reason(*t, a.src.dtype)) return reason;
  }
  if (!out && !wants_sums(a)) return "nothing to compute";
  return shape_reason(shape_of(a.src, a.normalized_rank));
}

const char* backward_contiguous_supports(const void* p) {
  const auto& a = *static_cast<const BackwardArgs*>(p);
  if (const char* reason = backward_supports(p)) return reason;
  const Shape shape = shape_of(a.src, a.normalized_rank);
  return backward_space(a, shape.first_normalized, a.src.rank).dense() ? nullptr : "layout";
}

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(
    layer_norm,
    POLYOPS_GPU_KERNEL("layer_norm", "layer_norm_contiguous", contiguous_supports, nullptr,
                       contiguous),
    POLYOPS_GPU_KERNEL("layer_norm", "layer_norm_strided", supports, nullptr, strided),
    POLYOPS_GPU_KERNEL("layer_norm_backward", "layer_norm_backward_contiguous",
                       backward_contiguous_supports, backward_scratch, backward_contiguous),
    POLYOPS_GPU_KERNEL("layer_norm_backward", "layer_norm_backward_strided", backward_supports,
                       backward_strided_scratch, backward_anywhere))
