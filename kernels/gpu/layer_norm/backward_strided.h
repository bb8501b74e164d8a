// The gradients for rows whose elements lie anywhere: a block per row for grad_src, a thread per
// column for the sums over some rows, element by element, each index taken apart.
#ifndef POLYOPS_GPU_LAYER_NORM_BACKWARD_STRIDED_H_
#define POLYOPS_GPU_LAYER_NORM_BACKWARD_STRIDED_H_

#include "backward.h"
#include "forward_strided.h"

namespace polyops::gpu {
namespace {

template <class Norm, class T, class P>
GPU_KERNEL(kStridedThreads)
backward_strided(BackwardCall<Norm, T, P> call, Walk<3> elements) {
  await_earlier();
  GPU_SHARED(float, shared, 2 * kMostWaves);
  const int64_t row = block_id();
  int64_t begin[3];
  call.rows.offsets(row, begin);
  const float mean = Norm::kCentered ? load_value<T>(call.mean, row) : 0.0f;
  const float rstd = load_value<T>(call.rstd, row);
  const auto for_each = [&](auto f) {
    for (int32_t i = thread_id(); i < call.n; i += block_threads()) {
      int64_t at[3];
      elements.offsets(i, at);
      float g = widen(call.grad[begin[0] + at[0]]);
      if (call.weight != nullptr) g *= widen(call.weight[i]);
      f(g, (widen(call.src[begin[1] + at[1]]) - mean) * rstd, begin[2] + at[2]);
    }
  };
  LongSum of_gradients, of_products;
  for_each([&](float g, float x, int64_t) {
    of_gradients.add(g);
    of_products.add(g * x);
  });
  float sums[2] = {of_gradients.sum, of_products.sum};
  sum_team(sums, block_threads(), shared);
  const float of_g = Norm::kCentered ? sums[0] * call.inv_n : 0.0f;
  const float of_product = sums[1] * call.inv_n;
  for_each([&](float g, float x, int64_t out) {
    call.grad_src[out] = narrow<T>(rstd * (g - fmaf(x, of_product, of_g)));
  });
}

// Blocks are tiles of columns, then chunks of rows.
template <class Norm, class T, class P>
GPU_KERNEL(kStridedThreads)
backward_strided_columns(BackwardCall<Norm, T, P> call, Walk<3> elements, int32_t tiles,
                         int32_t chunks) {
  await_earlier();
  const int64_t chunk = block_id() / tiles;
  const int64_t column = block_id() % tiles * block_threads() + thread_id();
  if (column >= call.n) return;
  int64_t within[3];
  elements.offsets(column, within);
  LongSum weight, bias;
  const int64_t end = call.row_count * (chunk + 1) / chunks;
  for (int64_t r = call.row_count * chunk / chunks; r < end; ++r) {
    int64_t at[3];
    call.rows.offsets(r, at);
    const float grad = widen(call.grad[at[0] + within[0]]);
    float d = widen(call.src[at[1] + within[1]]);
    if constexpr (Norm::kCentered) d -= load_value<T>(call.mean, r);
    weight.add(grad * (d * load_value<T>(call.rstd, r)));
    bias.add(grad);
  }
  float* out = call.sums + chunk * Norm::kParameters * call.stride + column;
  out[0] = weight.sum;
  if constexpr (Norm::kCentered) out[call.stride] = bias.sum;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_BACKWARD_STRIDED_H_
