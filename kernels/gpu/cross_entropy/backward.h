// The gradient. Bound: memory, each score read and each gradient written once; long rows that are
// ignored are written alone. What a row's elements share was kept by forward, so nobody waits for
// anybody: 2^lanes_log2 lanes take a chunk of a row, kGradientPacks packs each. Whoever has the
// target's element writes it once more, instead of all comparing theirs with it.
#ifndef POLYOPS_GPU_CROSS_ENTROPY_BACKWARD_H_
#define POLYOPS_GPU_CROSS_ENTROPY_BACKWARD_H_

#include "gpu.h"
#include "load.h"
#include "nll_loss/samples.h"
#include "polyops/ops/cross_entropy.h"
#include "row.h"
#include "softmax/max_sum.h"

namespace polyops::gpu {
namespace {

constexpr int kGradientThreads = 256;
constexpr int kGradientPacks = 4;

template <class T>
struct CrossEntropyBackwardCall {
  const T* src;
  int64_t src_step;
  const T* grad_dst;
  int64_t grad_step;
  Targets targets;
  ClassWeights<T> weights;
  const float* stats;
  const float* total;  // null: not divided by it
  float keep, spread;  // as forward
  T* grad_src;
  uint32_t rows, chunks;  // of each row
  int n;
  bool ragged;  // some row has ends

  GPU_DEVICE const float* stats_of(uint32_t row) const {
    return stats + int64_t{row} * POLYOPS_CROSS_ENTROPY_STATS;
  }
};

// The element's share of its row. In float32 the gradient of a smoothed loss is a small difference,
// and there is time for all of its bits.
template <class T>
GPU_DEVICE float softmax_of(float x, float max, float log_sum) {
  if constexpr (sizeof(T) == 4) {
    return exp_close((x - max) - log_sum);
  } else {
    return exp2_flush(fmaf(x - max, kLog2e, -kLog2e * log_sum));
  }
}

// Of a row: factor exp(x - lse) - spread weight, at its label less another part.
template <class T, bool kWeighted>
struct RowGradient {
  float max, log_sum, factor, spread, keep;
  ClassWeights<T> weights;

  GPU_DEVICE RowGradient(const CrossEntropyBackwardCall<T>& c, uint32_t row)
      : max(c.stats_of(row)[0]), log_sum(c.stats_of(row)[1]), weights(c.weights) {
    float grad = widen(c.grad_dst[row * c.grad_step]);
    if (c.total != nullptr) grad /= *c.total;
    factor = grad * c.stats_of(row)[2];
    spread = c.spread == 0 ? 0.0f : grad * c.spread;  // grad may be infinite
    keep = grad * c.keep;
  }
  GPU_DEVICE float operator()(float x, int at) const {
    const float exp = softmax_of<T>(x, max, log_sum);
    if constexpr (kWeighted) return fmaf(exp, factor, -spread * weights.at(at));
    return fmaf(exp, factor, -spread);
  }
  // Where the row does not count: 0, or NaN.
  GPU_DEVICE float ignored() const { return (max + log_sum) * 0.0f; }
  // weight: its.
  GPU_DEVICE float of_label(float x, int at, float weight) const {
    return (*this)(x, at) - keep * weight;
  }
};

// Writes the lane's part of a chunk that begins at that pack: f(x, at) of its packs and, if it is
// the first chunk, of the row's ends.
template <class T, class F>
GPU_DEVICE void write_chunk(const Cut<T>& cut, const Words (&words)[kGradientPacks], const T* src,
                            T* out, int begin, int lane, int lanes, bool ends, F f) {
  const bool fits = cut.fits(out);
#pragma unroll
  for (int k = 0; k < kGradientPacks; ++k) {
    const int pack = begin + lane + k * lanes;
    if (pack >= cut.whole) break;
    float x[kPack<T>];
    unpack<T>(words[k], x);
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) x[j] = f(x[j], cut.of_pack(pack) + j);
    store_pack(cut, out, fits, pack, x);
  }
  if (!ends) return;
#pragma unroll 1
  for (int place = lane; place < 2 * kPack<T>; place += lanes) {
    const int at = cut.of_end(place);
    if (at >= 0) out[at] = narrow<T>(f(widen(src[at]), at));
  }
}

// Whether write_chunk() has the element.
template <class T>
GPU_DEVICE bool writes(const Cut<T>& cut, int at, int begin, int lane, int lanes) {
  const int last = cut.of_pack(cut.whole);
  if (at >= cut.head && at < last) {
    const int pack = (at - cut.head) / kPack<T> - begin;
    return pack >= 0 && pack < kGradientPacks * lanes && (pack & (lanes - 1)) == lane;
  }
  const int place = at < cut.head ? at : kPack<T> + at - last;
  return begin == 0 && (place & (lanes - 1)) == lane;
}

// kAtOnce: reads the row before it knows whether it is ignored. For short rows of 16 bits, where
// the wait for that is long beside what there is to do (of a copy on an H200, 65536 rows of 1000
// without: bfloat16 74 %, float32 97 %).
template <class T, bool kWeighted, bool kAtOnce>
GPU_KERNEL(kGradientThreads)
cross_entropy_backward(const CrossEntropyBackwardCall<T> c, int lanes_log2) {
  await_earlier();
  const int lanes = 1 << lanes_log2, lane = thread_id() & (lanes - 1);
  const uint32_t place = static_cast<uint32_t>(block_id()) * (block_threads() >> lanes_log2) +
                         (thread_id() >> lanes_log2);
  const uint32_t row = place / c.chunks;
  if (row >= c.rows) return;
  const int begin = static_cast<int>(place - row * c.chunks) * (kGradientPacks * lanes);
  const bool ends = c.ragged && begin == 0;
  const T* src = c.src + row * c.src_step;
  T* out = c.grad_src + int64_t{row} * c.n;
  const Cut<T> cut(src, c.n);
  const int64_t target = c.targets.at(row);
  Words words[kGradientPacks] = {};
  if (kAtOnce) load_cut(cut, src, begin + lane, lanes, 0.0f, words);
  const RowGradient<T, kWeighted> gradient(c, row);
  if (!c.targets.counts(target)) {
    const float ignored = gradient.ignored();
    write_chunk<T>(cut, words, src, out, begin, lane, lanes, ends,
                   [&](float, int) { return ignored; });
    return;
  }
  if (!kAtOnce) load_cut(cut, src, begin + lane, lanes, 0.0f, words);
  write_chunk<T>(cut, words, src, out, begin, lane, lanes, ends, gradient);
  const auto at = static_cast<int>(target);
  if (!writes(cut, at, begin, lane, lanes)) return;
  out[at] = narrow<T>(gradient.of_label(widen(src[at]), at, c.weights.at(at)));
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CROSS_ENTROPY_BACKWARD_H_
