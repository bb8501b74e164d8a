// The logarithm of a sum of exponentials: the largest element, and the sum of exp(x - largest). A
// batch's largest is found first, so that what was summed before is rescaled once for all of it.
//
// The largest is kept within float32's finite numbers, so that no difference is infinity less
// infinity: of nothing but -inf the sum is 0, and with +inf it is infinite.
#ifndef POLYOPS_GPU_REDUCTION_LOG_SUM_H_
#define POLYOPS_GPU_REDUCTION_LOG_SUM_H_

#include <cmath>

#include "gpu.h"
#include "op.h"
#include "states.h"

namespace polyops::gpu {
namespace {

struct LogSum {
  using Numbers = gpu::Numbers<2>;  // largest, sum

  static constexpr float kLargest = 3.402823466e38f, kLog2E = 1.4426950408889634f;

  struct Top {  // whatever is no NaN
    GPU_DEVICE static float merge(float a, float b) { return fmaxf(a, b); }
  };

  GPU_DEVICE static float power(float difference) { return exp2_flush(difference * kLog2E); }
  GPU_DEVICE static Numbers none() { return {{-kLargest, 0}}; }
  GPU_DEVICE static Numbers merge(const Numbers& a, const Numbers& b) {
    const float top = fmaxf(a.v[0], b.v[0]);
    return {{top, fmaf(a.v[1], power(a.v[0] - top), b.v[1] * power(b.v[0] - top))}};
  }

  template <int kWide>
  struct Many {
    float top[kWide], sum[kWide] = {};

    GPU_DEVICE Many() {
#pragma unroll
      for (int j = 0; j < kWide; ++j) top[j] = -kLargest;
    }
    GPU_DEVICE Numbers get(int j) const { return {{top[j], sum[j]}}; }

    template <int kRows>
    GPU_DEVICE void take(const float (&x)[kRows][kWide]) {
#pragma unroll
      for (int j = 0; j < kWide; ++j) take_column(x, j);
    }

   private:
    template <int kRows>
    GPU_DEVICE void take_column(const float (&x)[kRows][kWide], int j) {
      constexpr int kChains = kWide > 1 || kRows < 8 ? 1 : 4;
      float largest[kChains] = {}, terms[kChains] = {};
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        const int c = i % kChains;
        largest[c] = i < kChains ? x[i][j] : fmaxf(largest[c], x[i][j]);
      }
      const float next = fminf(fmaxf(top[j], merge_halves<Top>(largest)), kLargest);
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        const int c = i % kChains;
        const float term = power(x[i][j] - next);
        terms[c] = i < kChains ? term : terms[c] + term;
      }
      sum[j] = fmaf(sum[j], power(top[j] - next), merge_halves<Sum>(terms));
      top[j] = next;
    }
  };

  struct Finish {
    Result dst;

    GPU_DEVICE static float value(const Numbers& x) { return x.v[0] + log_close(x.v[1]); }
    GPU_DEVICE void store(int64_t at, const Numbers& x) const { dst.store(at, value(x)); }
    template <int kCount>
    GPU_DEVICE void store_pack(int64_t at, const Many<kCount>& all) const {
      float x[kCount];
#pragma unroll
      for (int j = 0; j < kCount; ++j) x[j] = value(all.get(j));
      dst.store_pack(at, x);
    }
    bool aligned() const { return reinterpret_cast<uintptr_t>(dst.data) % 16 == 0; }
  };
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_REDUCTION_LOG_SUM_H_
