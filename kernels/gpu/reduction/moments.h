// Mean and sum of squared deviations, in batches (Chan, Golub, LeVeque 1979): a batch is summed
// around the mean before it, the first one around the mean of its first elements. So squares lose
// no digits to a mean far from 0, nor to one element far from all others, and a division is one for
// a batch.
//
// Where that leaves float32's range the mean is taken as it is defined: infinity is one, and
// squares are infinite if the mean is finite, else NaN.
#ifndef POLYOPS_GPU_REDUCTION_MOMENTS_H_
#define POLYOPS_GPU_REDUCTION_MOMENTS_H_

#include <cmath>

#include "gpu.h"
#include "op.h"
#include "states.h"

namespace polyops::gpu {
namespace {

struct Moments {
  using Numbers = gpu::Numbers<3>;  // mean, squares, count

  GPU_DEVICE static Numbers none() { return {{0, 0, 0}}; }
  GPU_DEVICE static Numbers merge(const Numbers& a, const Numbers& b) {
    if (b.v[2] == 0) return a;
    if (a.v[2] == 0) return b;
    const float count = a.v[2] + b.v[2];
    const float one = reciprocal_fast(count);
    const float share = b.v[2] * one, d = b.v[0] - a.v[0];
    float mean = fmaf(d, share, a.v[0]);
    if (!is_finite(mean)) mean = fmaf(a.v[0], a.v[2] * one, b.v[0] * share);
    return {{mean, a.v[1] + fmaf(d * a.v[2], d * share, b.v[1]), count}};
  }
  GPU_DEVICE static bool is_finite(float x) { return fabsf(x) < __builtin_huge_valf(); }

  template <int kWide>
  struct Many {
    float mean[kWide] = {}, square[kWide] = {}, count = 0;

    GPU_DEVICE Numbers get(int j) const { return {{mean[j], square[j], count}}; }

    template <int kRows>
    GPU_DEVICE void take(const float (&x)[kRows][kWide]) {
      if (count == 0) begin(x);
      count += kRows;
      const float share = reciprocal_fast(count);
#pragma unroll
      for (int j = 0; j < kWide; ++j) take_column(x, j, share);
    }

   private:
    // Of equal elements exactly theirs, and of no more than float32 holds.
    template <int kRows>
    GPU_DEVICE void begin(const float (&x)[kRows][kWide]) {
      constexpr int kFirst = kRows < 8 ? kRows : 8;
#pragma unroll
      for (int j = 0; j < kWide; ++j) {
        float part[kFirst];
#pragma unroll
        for (int i = 0; i < kFirst; ++i) part[i] = x[i][j] * (1.0f / kFirst);
        mean[j] = merge_halves<Sum>(part);
      }
    }

    template <int kRows>
    GPU_DEVICE void take_column(const float (&x)[kRows][kWide], int j, float share) {
      constexpr int kChains = kWide > 1 || kRows < 8 ? 1 : 4;
      float deviation[kChains] = {}, squares[kChains] = {};
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        const float d = x[i][j] - mean[j];
        const int c = i % kChains;
        deviation[c] = i < kChains ? d : deviation[c] + d;
        squares[c] = i < kChains ? d * d : fmaf(d, d, squares[c]);
      }
      merge_halves<Sum>(deviation);
      merge_halves<Sum>(squares);
      const float shift = deviation[0] * share, next = mean[j] + shift;
      const float rest = fmaf(-deviation[0], shift, squares[0]);
      if (is_finite(fabsf(next) + squares[0])) {
        square[j] += rest;
        mean[j] = next;
      } else {
        take_extreme(x, j, share, squares[0], rest);
      }
    }

    template <int kRows>
    GPU_DEVICE void take_extreme(const float (&x)[kRows][kWide], int j, float share, float squares,
                                 float rest) {
      float next = is_finite(mean[j]) ? mean[j] * ((count - kRows) * share) : mean[j];
#pragma unroll
      for (int i = 0; i < kRows; ++i) next = fmaf(x[i][j], share, next);
      square[j] += is_finite(next) && is_finite(squares) ? rest : squares + (next - next);
      mean[j] = next;
    }
  };

  struct Finish {
    Result dst, mean;  // of dst's layout; mean.data may be null
    float divisor;
    bool root;

    GPU_DEVICE float value(const Numbers& x) const {
      const float variance = x.v[1] / divisor;
      return root ? sqrtf(variance) : variance;
    }
    GPU_DEVICE void store(int64_t at, const Numbers& x) const {
      dst.store(at, value(x));
      if (mean.data != nullptr) mean.store(at, x.v[0]);
    }
    template <int kCount>
    GPU_DEVICE void store_pack(int64_t at, const Many<kCount>& all) const {
      float x[kCount];
#pragma unroll
      for (int j = 0; j < kCount; ++j) x[j] = value(all.get(j));
      dst.store_pack(at, x);
      if (mean.data != nullptr) mean.store_pack(at, all.mean);
    }
    bool aligned() const {
      return (reinterpret_cast<uintptr_t>(dst.data) | reinterpret_cast<uintptr_t>(mean.data)) %
                 16 ==
             0;
    }
  };
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_REDUCTION_MOMENTS_H_
