// layer_norm of rows whose elements lie anywhere: a block per row, element by element, each index
// taken apart. Three passes over the row, of which two hit a cache if it is small.
#ifndef POLYOPS_GPU_LAYER_NORM_FORWARD_STRIDED_H_
#define POLYOPS_GPU_LAYER_NORM_FORWARD_STRIDED_H_

#include "forward.h"

namespace polyops::gpu {
namespace {

constexpr int kStridedThreads = 256;  // at most
inline int strided_threads(int64_t n) { return n > 192 ? 256 : n > 64 ? 192 : 64; }

template <class T, class P>
GPU_DEVICE Moments strided_moments(const ForwardCall<T, P>& call, const Walk<2>& elements,
                                   const T* src, float scale, float* shared) {
  LongSum values;
  for (int32_t i = thread_id(); i < call.n; i += block_threads()) {
    int64_t at[2];
    elements.offsets(i, at);
    values.add(widen(src[at[0]]) * scale);
  }
  float sum[1] = {values.sum};
  sum_team(sum, block_threads(), shared);
  const float center = widen(narrow<T>(sum[0] * call.inv_n));
  LongSum deviations, squares;
  for (int32_t i = thread_id(); i < call.n; i += block_threads()) {
    int64_t at[2];
    elements.offsets(i, at);
    const float d = widen(src[at[0]]) * scale - center;
    deviations.add(d);
    squares.add(d * d);
  }
  float sums[2] = {deviations.sum, squares.sum};
  sum_team(sums, block_threads(), shared + kMostWaves);
  const float further = sums[0] * call.inv_n;
  const float var = fmaf(sums[1], call.inv_n, -further * further);
  return make_moments(center, further, var, scale, call.eps);
}

template <class T, class P>
GPU_KERNEL(kStridedThreads)
forward_strided(ForwardCall<T, P> call, Walk<2> elements) {
  GPU_SHARED(float, shared, 3 * kMostWaves);
  const int64_t row = block_id();
  int64_t begin[2];
  call.rows.offsets(row, begin);
  const T* src = call.src + begin[0];
  Moments m = strided_moments(call, elements, src, 1.0f, shared);
  if (!(m.factor > 0)) m = strided_moments(call, elements, src, kSmaller, shared);
  if (thread_id() == 0) store_moments(call, row, m);
  const float offset = -m.shift * m.factor;
  for (int32_t i = thread_id(); i < call.n; i += block_threads()) {
    int64_t at[2];
    elements.offsets(i, at);
    float y = fmaf(widen(src[at[0]]) * m.scale - m.center, m.factor, offset);
    if (call.weight != nullptr) y *= widen(call.weight[i]);
    if (call.bias != nullptr) y += widen(call.bias[i]);
    call.dst[begin[1] + at[1]] = narrow<T>(y);
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_FORWARD_STRIDED_H_
