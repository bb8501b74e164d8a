// What forward gathers of a row in one read.
#ifndef POLYOPS_GPU_CROSS_ENTROPY_ROW_SUMS_H_
#define POLYOPS_GPU_CROSS_ENTROPY_ROW_SUMS_H_

#include <type_traits>

#include "gpu.h"
#include "nll_loss/samples.h"
#include "reduce.h"
#include "row.h"
#include "softmax/max_sum.h"

namespace polyops::gpu {
namespace {

// exp(x - max) of x that are not larger, by exp2. Of bfloat16s a product with a factor of 16 bits
// is exact, and a difference of two of them is rounded once: one instruction, 5e-6 of the distance
// off. The others' difference comes first (softmax/max_sum.h).
template <class T>
class ExpBelow {
 public:
  GPU_DEVICE explicit ExpBelow(float max) : from_(shift_of(max)) {
    if constexpr (kOnce) {
      // Of the largest numbers two that differ do so by more than any exponent.
      if (!(fabsf(from_) < 0x1p100f)) factor_ = 0x1p-60f;
      from_ *= factor_;
    }
  }
  GPU_DEVICE float operator()(float x) const {
    if constexpr (kOnce) return exp2_flush(fmaf(x, factor_, -from_));
    return exp2_flush((x - from_) * kLog2e);
  }

 private:
  static constexpr bool kOnce = std::is_same_v<T, bf16>;
  float from_;
  float factor_ = 47274.0f / 32768;
};

// The largest of what is there of words, each 16 bits or float32, and not NaN.
template <class T>
GPU_DEVICE uint32_t max_words(uint32_t x, uint32_t y) {
  if constexpr (sizeof(T) == 2) return max_number2<T>(x, y);
  return float_bits(fmaxf(float_of_bits(x), float_of_bits(y)));
}
template <class T>
GPU_DEVICE float top_of(uint32_t word) {
  if constexpr (sizeof(T) == 4) {
    return float_of_bits(word);
  } else {
    float x, y;
    widen2<T>(word, &x, &y);
    return fmaxf(x, y);
  }
}

// How label smoothing weighs the classes: not at all, all the same, or by their weights.
enum class Smooth { kNone, kEqual, kWeighted };

// The largest x, the sum of exp(x - largest) and, for smoothing, of w (largest - x), whose terms do
// not cancel, and of w. Where all are -inf, "largest" is 0 here, as in max_sum.h.
template <Smooth kSmooth>
struct RowSums {
  MaxSum exps;
  float below = 0;
  float weight = 0;

  GPU_DEVICE void raise_to(float at_least) {
    if constexpr (kSmooth != Smooth::kNone) {
      const float higher = fmaxf(exps.max, at_least);
      below = fmaf(weight, shift_of(higher) - shift_of(exps.max), below);
    }
    exps.raise_to(at_least);
  }
  // Of an element that is not larger than exps.max, which `exp` is of.
  template <class T>
  GPU_DEVICE void add(const ExpBelow<T>& exp, float x, float w) {
    exps.sum += exp(x);
    if constexpr (kSmooth != Smooth::kNone) {
      below = fmaf(w, shift_of(exps.max) - x, below);
      weight += w;
    }
  }
};

template <class T, Smooth kSmooth>
GPU_DEVICE float weight_for(const ClassWeights<T>& weights, int at) {
  if constexpr (kSmooth != Smooth::kWeighted) return 1.0f;
  return widen(weights.data[at * weights.step]);
}

// Adds packs first, first + step, ... of the row; kAll: it has all of them.
template <class T, bool kAll, Smooth kSmooth, int kPacks>
GPU_DEVICE void absorb_packs(const Words (&words)[kPacks], const Cut<T>& cut, int first, int step,
                             const ClassWeights<T>& weights, RowSums<kSmooth>* sums) {
  Words tops = words[0];
#pragma unroll
  for (int k = 1; k < kPacks; ++k) {
#pragma unroll
    for (int i = 0; i < 4; ++i) tops.w[i] = max_words<T>(tops.w[i], words[k].w[i]);
  }
#pragma unroll
  for (int i = 0; i < 2; ++i) tops.w[i] = max_words<T>(tops.w[i], tops.w[i + 2]);
  sums->raise_to(top_of<T>(max_words<T>(tops.w[0], tops.w[1])));
  const ExpBelow<T> exp(sums->exps.max);
  const float shift = shift_of(sums->exps.max);
  // Of w (x - largest). Of equal weights and 16 bits it is a pack's mean less the largest: that sum
  // is exact, unless elements differ so much that the small ones do not matter to it.
  constexpr bool kMeans = kSmooth == Smooth::kEqual && sizeof(T) == 2;
  float exps[2] = {}, above[2] = {};
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    const int at = first + k * step;
    if (!kAll && at >= cut.whole) break;
    float x[kPack<T>];
    unpack<T>(words[k], x);
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) {
      exps[j % 2] += exp(x[j]);
      if constexpr (kSmooth == Smooth::kEqual && !kMeans) above[j % 2] += x[j] - shift;
      if constexpr (kSmooth == Smooth::kWeighted) {
        const float w = weight_for<T, kSmooth>(weights, cut.of_pack(at) + j);
        above[j % 2] = fmaf(w, x[j] - shift, above[j % 2]);
        sums->weight += w;
      }
    }
    if constexpr (kMeans) {
      float mean[2] = {x[0] / kPack<T>, x[1] / kPack<T>};
#pragma unroll
      for (int j = 2; j < kPack<T>; ++j) mean[j % 2] = fmaf(x[j], 1.0f / kPack<T>, mean[j % 2]);
      above[k % 2] += (mean[0] + mean[1]) - shift;
    }
    if constexpr (kSmooth == Smooth::kEqual) sums->weight += kPack<T>;
  }
  sums->exps.sum += exps[0] + exps[1];
  constexpr float kEach = kMeans ? kPack<T> : 1;
  if constexpr (kSmooth != Smooth::kNone) {
    sums->below = fmaf(-kEach, above[0] + above[1], sums->below);
  }
}

template <class T, Smooth kSmooth>
GPU_DEVICE void absorb_row_ends(const Cut<T>& cut, const T* row, int lane, int lanes,
                                const ClassWeights<T>& weights, RowSums<kSmooth>* sums) {
#pragma unroll 1
  for (int place = lane; place < 2 * kPack<T>; place += lanes) {
    const int at = cut.of_end(place);
    if (at < 0) continue;
    const float x = widen(row[at]);
    sums->raise_to(x);
    sums->add(ExpBelow<T>(sums->exps.max), x, weight_for<T, kSmooth>(weights, at));
  }
}

// kLast: nothing is merged after it, so that equal weights, whose sum is known, may stay as they
// are.
template <bool kLast = false, Smooth kSmooth>
GPU_DEVICE void merge_row_lanes(RowSums<kSmooth>* sums, int lanes) {
  sums->raise_to(max_of_lanes(sums->exps.max, lanes));
  for (int mask = lanes / 2; mask > 0; mask /= 2) {
    sums->exps.sum += shuffle_xor(sums->exps.sum, mask);
    if constexpr (kSmooth != Smooth::kNone) sums->below += shuffle_xor(sums->below, mask);
    if constexpr (kSmooth == Smooth::kWeighted || (kSmooth == Smooth::kEqual && !kLast)) {
      sums->weight += shuffle_xor(sums->weight, mask);
    }
  }
}

// The values of one of them, `step` apart.
template <Smooth kSmooth>
GPU_DEVICE void read_sums(const float* from, int step, RowSums<kSmooth>* sums) {
  sums->exps.max = from[0];
  sums->exps.sum = from[step];
  if constexpr (kSmooth != Smooth::kNone) {
    sums->below = from[2 * step];
    sums->weight = from[3 * step];
  }
}

inline constexpr int kRowSums = 4;

// Of the block. `shared` has kRowSums * kMostWaves elements.
template <Smooth kSmooth>
GPU_DEVICE void merge_row_block(RowSums<kSmooth>* sums, float* shared) {
  const int waves = block_threads() / wave_size();
  merge_row_lanes(sums, wave_size());
  if (waves == 1) return;
  const int lane = thread_id() % wave_size();
  if (lane == 0) {
    float* to = shared + thread_id() / wave_size();
    to[0] = sums->exps.max;
    to[kMostWaves] = sums->exps.sum;
    if constexpr (kSmooth != Smooth::kNone) {
      to[2 * kMostWaves] = sums->below;
      to[3 * kMostWaves] = sums->weight;
    }
  }
  barrier();
  *sums = RowSums<kSmooth>();
  if (lane < waves) read_sums(shared + lane, kMostWaves, sums);
  merge_row_lanes(sums, wave_size());
}

// Of the cluster, given that of each of its blocks. `slots` has kRowSums * kMostCluster elements;
// all blocks have begun.
template <Smooth kSmooth>
GPU_DEVICE void merge_row_cluster(RowSums<kSmooth>* sums, float* slots) {
  send_to_cluster(sums->exps.max, slots);
  send_to_cluster(sums->exps.sum, slots + kMostCluster);
  if constexpr (kSmooth != Smooth::kNone) {
    send_to_cluster(sums->below, slots + 2 * kMostCluster);
    send_to_cluster(sums->weight, slots + 3 * kMostCluster);
  }
  cluster_barrier();
  *sums = RowSums<kSmooth>();
  const int slot = thread_id() % kMostCluster;
  if (slot < cluster_blocks()) read_sums(slots + slot, kMostCluster, sums);
  merge_row_lanes(sums, kMostCluster);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CROSS_ENTROPY_ROW_SUMS_H_
