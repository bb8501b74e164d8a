// layer_norm and rms_norm of rows whose elements lie anywhere: a block per row, element by element,
// each index taken apart. Three passes over the row, two of rms_norm; all but the first hit a cache
// if it is small.
#ifndef POLYOPS_GPU_LAYER_NORM_FORWARD_STRIDED_H_
#define POLYOPS_GPU_LAYER_NORM_FORWARD_STRIDED_H_

#include "forward.h"

namespace polyops::gpu {
namespace {

constexpr int kStridedThreads = 256;  // at most
inline int strided_threads(int64_t n) { return n > 192 ? 256 : n > 64 ? 192 : 64; }

template <class Norm, class T, class P>
GPU_DEVICE Moments strided_moments(const ForwardCall<Norm, T, P>& call, const Walk<2>& elements,
                                   const T* src, float scale, float* shared) {
  const auto for_each = [&](auto f) {
    for (int32_t i = thread_id(); i < call.n; i += block_threads()) {
      int64_t at[2];
      elements.offsets(i, at);
      f(widen(src[at[0]]) * scale);
    }
  };
  if constexpr (!Norm::kCentered) {
    LongSum squares;
    for_each([&](float x) { squares.add_square(x * x); });
    float square[1] = {squares.sum};
    sum_team(square, block_threads(), shared + (scale == 1 ? 0 : kMostWaves));
    return make_moments({0, 0, square[0]}, scale, call.inv_n, call.eps);
  }
  LongSum values;
  for_each([&](float x) { values.add(x); });
  float sum[1] = {values.sum};
  sum_team(sum, block_threads(), shared);
  const float center = widen(narrow<T>(sum[0] * call.inv_n));
  LongSum deviations, squares;
  for_each([&](float x) {
    deviations.add(x - center);
    squares.add((x - center) * (x - center));
  });
  float sums[2] = {deviations.sum, squares.sum};
  sum_team(sums, block_threads(), shared + kMostWaves);
  const float further = sums[0] * call.inv_n;
  const float square = fmaf(-sums[0], further, sums[1]);
  return make_moments({center, further, square}, scale, call.inv_n, call.eps);
}

template <class Norm, class T, class P>
GPU_KERNEL(kStridedThreads)
forward_strided(ForwardCall<Norm, T, P> call, Walk<2> elements) {
  await_earlier();
  GPU_SHARED(float, shared, 3 * kMostWaves);
  const int64_t row = block_id();
  int64_t begin[2];
  call.rows.offsets(row, begin);
  const T* src = call.src + begin[0];
  Moments m = strided_moments<Norm>(call, elements, src, 1.0f, shared);
  if (!(m.factor > 0)) m = strided_moments<Norm>(call, elements, src, kSmaller, shared);
  if (thread_id() == 0) store_moments(call, row, m);
  for (int32_t i = thread_id(); i < call.n; i += block_threads()) {
    int64_t at[2];
    elements.offsets(i, at);
    float y = m.normal<Norm>(widen(src[at[0]]) * m.scale);
    if (call.weight != nullptr) y *= widen(call.weight[i]);
    if (Norm::kCentered && call.bias != nullptr) y += widen(call.bias[i]);
    call.dst[begin[1] + at[1]] = narrow<T>(y);
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_FORWARD_STRIDED_H_
