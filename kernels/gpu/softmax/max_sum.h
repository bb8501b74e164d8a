// The largest x and the sum of exp(x - largest) of some elements, held together, so that a row is
// read once and a block meets once. NaN is left out of the largest and makes the sum NaN.
#ifndef POLYOPS_GPU_SOFTMAX_MAX_SUM_H_
#define POLYOPS_GPU_SOFTMAX_MAX_SUM_H_

#include "gpu.h"
#include "reduce.h"

namespace polyops::gpu {
namespace {

constexpr float kMinusInf = -__builtin_huge_valf();
constexpr float kLog2e = 1.44269504088896340736f;

// What is subtracted before exp: where all elements are -inf nothing, for they count 0 beside
// others.
GPU_DEVICE float shift_of(float max) { return max == kMinusInf ? 0.0f : max; }

// exp(x - shift). The difference first: as fma(x, log2e, -shift log2e) it would be off by as much
// as shift log2e is, 6e-4 at 1e4.
GPU_DEVICE float exp_from(float x, float shift) { return exp2_flush((x - shift) * kLog2e); }

struct MaxSum {
  float max = kMinusInf;
  float sum = 0;

  GPU_DEVICE void raise_to(float at_least) {
    const float higher = fmaxf(max, at_least);
    sum *= exp_from(max, shift_of(higher));
    max = higher;
  }
};

GPU_DEVICE MaxSum merge(MaxSum a, MaxSum b) {
  a.raise_to(b.max);
  b.raise_to(a.max);
  a.sum += b.sum;
  return a;
}

GPU_DEVICE MaxSum merge_lanes(MaxSum x, int lanes) {
  x.raise_to(max_of_lanes(x.max, lanes));
  x.sum = sum_of_lanes(x.sum, lanes);
  return x;
}

// Of the block. `shared` has 2 kMostWaves elements.
GPU_DEVICE MaxSum merge_block(MaxSum x, float* shared) {
  const int waves = block_threads() / wave_size();
  x = merge_lanes(x, wave_size());
  if (waves == 1) return x;
  const int lane = thread_id() % wave_size();
  if (lane == 0) {
    shared[thread_id() / wave_size()] = x.max;
    shared[thread_id() / wave_size() + kMostWaves] = x.sum;
  }
  barrier();
  x = MaxSum();
  if (lane < waves) {
    x.max = shared[lane];
    x.sum = shared[lane + kMostWaves];
  }
  return merge_lanes(x, wave_size());
}

// Of the cluster, given that of each of its blocks, which have all begun.
GPU_DEVICE MaxSum merge_cluster(MaxSum x, ClusterTable<2>* table) {
  table->post(0, x.max);
  table->post(1, x.sum);
  table->wait();
  x.max = from_cluster(table->values(0), kMinusInf);
  x.sum = from_cluster(table->values(1), 0.0f);
  ++table->turn;
  return merge_lanes(x, kMostCluster);
}

// exp(x - max) / sum, in float32 with denormals. For results of 16 bits the division goes into the
// exponent, one instruction less; it is off by up to 2^-20, where bfloat16 and float16 see 2^-14
// and 2^-17. Where max is -inf, all are NaN.
template <class U>
struct NormalizeRow {
  float max, scale;

  NormalizeRow() = default;
  GPU_DEVICE static NormalizeRow of_parts(const MaxSum& parts) {
    NormalizeRow row;
    row.max = parts.max;
    row.scale = parts.sum;
    return row;
  }
  GPU_DEVICE MaxSum parts() const { return {max, scale}; }
  GPU_DEVICE explicit NormalizeRow(const MaxSum& row) : max(row.max) {
    if constexpr (sizeof(U) == 4) {
      scale = reciprocal_fast(row.sum);
    } else {
      scale = -kLog2e * log_fast(row.sum);
    }
  }
  GPU_DEVICE float operator()(float x) const {
    if constexpr (sizeof(U) == 4) {
      return exp_fast(x - max) * scale;
    } else {
      return exp2_flush(fmaf(x - max, kLog2e, scale));
    }
  }
};

// x - max - log(sum): in two steps, for max may be large where the result is not. Where max is
// -inf, all are NaN.
struct LogNormalizeRow {
  float max, log_sum;

  LogNormalizeRow() = default;
  GPU_DEVICE static LogNormalizeRow of_parts(const MaxSum& parts) {
    LogNormalizeRow row;
    row.max = parts.max;
    row.log_sum = parts.sum;
    return row;
  }
  GPU_DEVICE MaxSum parts() const { return {max, log_sum}; }
  GPU_DEVICE explicit LogNormalizeRow(const MaxSum& row)
      : max(row.max), log_sum(log_close(row.sum)) {}
  GPU_DEVICE float operator()(float x) const { return (x - max) - log_sum; }
};

// What goes from the thread that merged a row to those that store it.
template <class Normalize>
GPU_DEVICE MaxSum parts_of_row(const MaxSum& row) {
  return Normalize(row).parts();
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_SOFTMAX_MAX_SUM_H_
