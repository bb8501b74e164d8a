// Products of the gradients of a strip and the pixels that it reads, by a thread that slides down
// the image: see slide.h, which says what Own is. It keeps the sums of all taps and, for the bias,
// of the gradients, and the gradients of the rows of results that still read pixels.
#ifndef POLYOPS_GPU_CONVOLUTION_STRIP_SUMS_H_
#define POLYOPS_GPU_CONVOLUTION_STRIP_SUMS_H_

#include "reduce.h"
#include "sums.h"
#include "tile.h"

namespace polyops::gpu {
namespace {

// scratch_bytes() cannot see the device: the largest chip of today.
constexpr int64_t kSumMultiprocessors = 132;

// Which split of which channel's sums a block has, or group of channels': those next to each other
// begin together, or a channel's splits, which are a cluster.
struct SplitOfChannel {
  int32_t split, channel;

  GPU_DEVICE explicit SplitOfChannel(int32_t count) {
    const auto block = static_cast<uint32_t>(block_id());
    const auto channels = static_cast<uint32_t>(count);
    const auto cluster = static_cast<uint32_t>(cluster_blocks());
    if (cluster > 1) {
      split = cluster_rank();
      channel = static_cast<int32_t>(block / cluster);
      return;
    }
    split = static_cast<int32_t>(block / channels);
    channel = static_cast<int32_t>(block % channels);
  }
};

// A cluster's blocks, one for each split; 1: too many.
inline int cluster_of(int64_t splits, const polyops_context* ctx) {
  return splits <= most_cluster(ctx) ? static_cast<int>(splits) : 1;
}

struct AsItIs {
  GPU_DEVICE float operator()(float sum, int32_t, int32_t) const { return sum; }
};

// Adds up the sums of a block's threads, and a cluster's blocks, and puts them: a thread has one of
// them then. shared: kSums * kMostWaves elements, of which the last kMostCluster of each sum are
// for those of blocks. mend: what to put, of a block's sum, its channel and tap.
template <int kSums, class T, class Mend = AsItIs>
GPU_DEVICE void put_sums(float (&x)[kSums], const Shape& s, const SplitOfChannel& own,
                         const Sums<T>& sums, float* shared, Mend mend = {}) {
  sum_lanes(x, wave_size());
  const int wave = thread_id() / wave_size(), blocks = cluster_blocks();
  if (thread_id() % wave_size() == 0) {
#pragma unroll
    for (int i = 0; i < kSums; ++i) shared[i * kMostWaves + wave] = x[i];
  }
  barrier();
  const auto sum_of = [&](const float* values, int count) {
    float sum = values[0];
#pragma unroll 1
    for (int i = 1; i < count; ++i) sum += values[i];
    return sum;
  };
  const bool has = thread_id() < kSums;
  float* const waves = shared + thread_id() * kMostWaves;
  float* const of_blocks = waves + (kMostWaves - kMostCluster);
  float sum = has ? sum_of(waves, block_threads() / wave_size()) : 0.0f;
  if (has) sum = mend(sum, own.channel, thread_id());
  if (blocks > 1) {
    cluster_barrier();  // all have begun
    for (int to = 0; has && to < blocks; ++to) cluster_send(of_blocks + cluster_rank(), to, sum);
    cluster_barrier();
    if (cluster_rank() != 0) return;
    if (has) sum = sum_of(of_blocks, blocks);
  }
  if (has) sums.put(s, own.split, own.channel, thread_id(), sum);
}

template <class W, class Own>
struct StripSums {
  float sums[W::kTaps + 1][Own::kElements] = {};
  float grads[Own::kBefore + 1][Own::kResults][Own::kElements] = {};  // of m rows back

  // One row of results on. Those beyond the stretch are left as they are.
  GPU_DEVICE void shift() {
#pragma unroll
    for (int m = Own::kBefore; m > 0; --m) {
#pragma unroll
      for (int c = 0; c < Own::kResults; ++c) {
#pragma unroll
        for (int e = 0; e < Own::kElements; ++e) grads[m][c][e] = grads[m - 1][c][e];
      }
    }
  }
  // Those of the row that begins, into the last sum.
  GPU_DEVICE void add_grads() {
#pragma unroll
    for (int c = 0; c < Own::kResults; ++c) {
#pragma unroll
      for (int e = 0; e < Own::kElements; ++e) sums[W::kTaps][e] += grads[0][c][e];
    }
  }
  // The products of the results of m rows back with what is read now. Results that the image has
  // not are skipped, not multiplied by 0: what is read may be infinite. So are pixels that it has
  // not, of which has(j) is false.
  template <class Has>
  GPU_DEVICE void add(int m, int32_t results,
                      const float (&values)[W::kS][Own::kPixels][Own::kElements], Has has) {
#pragma unroll
    for (int c = 0; c < Own::kResults; ++c) {
      if (c >= results) break;
#pragma unroll
      for (int i = 0; i < W::kS && m * W::kS + i < W::kH; ++i) {
#pragma unroll
        for (int j = 0; j < W::kW; ++j) {
#pragma unroll
          for (int e = 0; e < Own::kElements; ++e) {
            float& sum = sums[(m * W::kS + i) * W::kW + j][e];
            if (has(c * W::kS + j)) sum = fmaf(values[i][c * W::kS + j][e], grads[m][c][e], sum);
          }
        }
      }
    }
  }
  template <class Has>
  GPU_DEVICE void add_step(int32_t step, int32_t rows, int32_t results,
                           const float (&values)[W::kS][Own::kPixels][Own::kElements], Has has) {
    // Most steps: the branches below are many beside the products.
    if (step >= Own::kBefore && step < rows && results >= Own::kResults) {
#pragma unroll
      for (int m = 0; m <= Own::kBefore; ++m) add(m, Own::kResults, values, has);
      return;
    }
    add_any(step, rows, results, values, has);
  }
  template <class Has>
  GPU_DEVICE void add_any(int32_t step, int32_t rows, int32_t results,
                          const float (&values)[W::kS][Own::kPixels][Own::kElements], Has has) {
#pragma unroll
    for (int m = 0; m <= Own::kBefore; ++m) {
      if (static_cast<uint32_t>(step - m) >= static_cast<uint32_t>(rows)) continue;
      if (results >= Own::kResults) {
        add(m, Own::kResults, values, has);
      } else {
        add(m, results, values, has);
      }
    }
  }
  // Where pixels of padding are multiplied, as zeros: sums that are NaN are added up once more.
  GPU_DEVICE void add_step(int32_t step, int32_t rows, int32_t results,
                           const float (&values)[W::kS][Own::kPixels][Own::kElements]) {
    add_step(step, rows, results, values, [](int) { return true; });
  }
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_STRIP_SUMS_H_
