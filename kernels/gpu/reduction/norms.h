// Norms of vectors: magnitudes, or their powers, are summed up, or the largest is found; what
// becomes of that number is up to the norm, one of those below.
#ifndef POLYOPS_GPU_REDUCTION_NORMS_H_
#define POLYOPS_GPU_REDUCTION_NORMS_H_

#include <cmath>
#include <cstdint>

#include "gpu.h"
#include "op.h"
#include "states.h"

namespace polyops::gpu {
namespace {

struct Squares : Sum {
  GPU_DEVICE float lift(float x) const { return x * x; }
  GPU_DEVICE float finish(float x) const { return sqrtf(x); }
};

struct Magnitudes : Sum {
  GPU_DEVICE float lift(float x) const { return fabsf(x); }
  GPU_DEVICE float finish(float x) const { return x; }
};

// The smallest magnitude is the largest with its sign set.
struct ExtremeMagnitude : Largest {
  uint32_t sign;
  GPU_DEVICE float lift(float x) const {
    return float_of_bits((float_bits(x) & 0x7fffffffu) | sign);
  }
  GPU_DEVICE float finish(float x) const { return fabsf(x); }
};

// Of any other order; of 0 it counts. A power, other than the third, takes some fifty instructions:
// no more of them at once than a pack has.
struct Powers : Sum {
  static constexpr bool kFewAtOnce = true;
  float order;
  GPU_DEVICE float lift(float x) const {
    if (order == 0) return x != 0 ? 1.0f : 0.0f;
    if (order == 3) return fabsf(x * x * x);
    return powf(fabsf(x), order);
  }
  GPU_DEVICE float finish(float x) const { return order == 0 ? x : powf(x, 1 / order); }
};

template <class Norm>
struct NormOf {
  using Numbers = gpu::Numbers<1>;
  static constexpr bool kFewAtOnce = requires { Norm::kFewAtOnce; };

  struct Finish;

  GPU_DEVICE static Numbers none() { return {{Norm::kNone}}; }
  GPU_DEVICE static Numbers merge(const Numbers& a, const Numbers& b) {
    return {{Norm::merge(a.v[0], b.v[0])}};
  }

  template <int kWide>
  struct Many {
    Norm norm;
    float folded[kWide];

    GPU_DEVICE explicit Many(const Finish& to) : norm(to.norm) {
#pragma unroll
      for (int j = 0; j < kWide; ++j) folded[j] = Norm::kNone;
    }
    GPU_DEVICE Numbers get(int j) const { return {{folded[j]}}; }

    template <int kRows>
    GPU_DEVICE void take(const float (&x)[kRows][kWide]) {
#pragma unroll
      for (int j = 0; j < kWide; ++j) take_column(x, j);
    }

   private:
    template <int kRows>
    GPU_DEVICE void take_column(const float (&x)[kRows][kWide], int j) {
      constexpr int kChains = kWide > 1 || kRows < 8 ? 1 : 4;
      float parts[kChains] = {};
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        const int c = i % kChains;
        const float one = norm.lift(x[i][j]);
        parts[c] = i < kChains ? one : Norm::merge(parts[c], one);
      }
      folded[j] = Norm::merge(folded[j], merge_halves<Norm>(parts));
    }
  };

  template <int kWide>
  GPU_DEVICE static Many<kWide> begin(const Finish& to) {
    return Many<kWide>(to);
  }

  struct Finish {
    Result dst;
    Norm norm;

    GPU_DEVICE void store(int64_t at, const Numbers& x) const {
      dst.store(at, norm.finish(x.v[0]));
    }
    template <int kCount>
    GPU_DEVICE void store_pack(int64_t at, const Many<kCount>& all) const {
      float x[kCount];
#pragma unroll
      for (int j = 0; j < kCount; ++j) x[j] = norm.finish(all.folded[j]);
      dst.store_pack(at, x);
    }
    bool aligned() const { return reinterpret_cast<uintptr_t>(dst.data) % 16 == 0; }
  };
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_REDUCTION_NORMS_H_
