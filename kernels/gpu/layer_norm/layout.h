// What forward and backward of layer_norm and rms_norm share: parameters in two dtypes, and which
// rows a block and a team of its lanes take.
#ifndef POLYOPS_GPU_LAYER_NORM_LAYOUT_H_
#define POLYOPS_GPU_LAYER_NORM_LAYOUT_H_

#include "gpu.h"
#include "op.h"
#include "reduce.h"
#include "turns.h"
#include "window.h"

namespace polyops::gpu {
namespace {

// Teams have as many lanes at least, and a lane of one so many elements at the ends.
constexpr int kLeastTeam = 4;
template <class T>
constexpr int kMostEnds = ends_of<T>(kLeastTeam);
constexpr int kClusterEnds = 1;  // of a block that has a section of a row

// `rows` rows (leading dimensions) of n elements each (trailing ones).
struct Shape {
  int first_normalized;
  int64_t rows, n;
};

inline Shape shape_of(const polyops_tensor& src, int normalized_rank) {
  Shape shape = {src.rank - normalized_rank, 1, 1};
  for (int d = 0; d < src.rank; ++d) {
    (d < shape.first_normalized ? shape.rows : shape.n) *= src.sizes[d];
  }
  return shape;
}

// A parameter or statistic, in T or in float32; absent: null.
struct Values {
  void* data;
  bool is_float;
};

inline Values values_of(const polyops_tensor& t) {
  return {polyops_is_present(&t) ? t.data : nullptr, t.dtype == POLYOPS_FLOAT32};
}

template <class T>
GPU_DEVICE float load_value(const Values& v, int64_t at) {
  return v.is_float ? static_cast<const float*>(v.data)[at]
                    : widen(static_cast<const T*>(v.data)[at]);
}

// The same in two steps, of which only the second waits.
template <class T>
GPU_DEVICE uint32_t load_bits(const Values& v, uint32_t at) {
  const char* const p =
      static_cast<const char*>(v.data) + int64_t{at} * (sizeof(T) == 4 || v.is_float ? 4 : 2);
  if (sizeof(T) == 4 || v.is_float) return float_bits(*reinterpret_cast<const float*>(p));
  return *reinterpret_cast<const uint16_t*>(p);
}
template <class T>
GPU_DEVICE float value_of_bits(const Values& v, uint32_t bits) {
  if constexpr (sizeof(T) == 4) {
    return float_of_bits(bits);
  } else {
    float value, beside;
    widen2<T>(bits, &value, &beside);
    return v.is_float ? float_of_bits(bits) : value;
  }
}

template <class T>
GPU_DEVICE void store_value(const Values& v, int64_t at, float x) {
  if (v.is_float) {
    static_cast<float*>(v.data)[at] = x;
  } else {
    static_cast<T*>(v.data)[at] = narrow<T>(x);
  }
}

// Calls f.operator()<T, P>(): P the parameters' type, T or float.
template <class Norm, class F>
int with_types(int32_t dtype, const polyops_tensor& parameter, F f) {
  return with_type(dtype, [&]<class T>() {
    if constexpr (Norm::kMixed && sizeof(T) < sizeof(float)) {
      if (polyops_is_present(&parameter) && parameter.dtype == POLYOPS_FLOAT32) {
        return f.template operator()<T, float>();
      }
    }
    return f.template operator()<T, T>();
  });
}

template <class P>
const P* parameters(const polyops_tensor& t) {
  return polyops_is_present(&t) ? static_cast<const P*>(t.data) : nullptr;
}

// The parameters of the pack; anything where it reaches beyond the row.
template <class P, int kCount>
GPU_DEVICE void load_parameters(const P* p, const Grid& cut, int32_t pack, float (&x)[kCount]) {
  constexpr int kPer = kPack<P>;
  Words words[kCount / kPer];
  Window<P, kCount>(p, cut).load(pack, words);
#pragma unroll
  for (int i = 0; i < kCount / kPer; ++i) {
    float part[kPer];
    unpack<P>(words[i], part);
#pragma unroll
    for (int j = 0; j < kPer; ++j) x[i * kPer + j] = part[j];
  }
}

// Those of a row that is cut otherwise, as only ragged ones are, go to their places by elements, a
// pack at a time: registers are for the others.
template <int kPacks, class T, class Place>
GPU_DEVICE void copy_misfit(const Cut<T>& cut, const T* row, int lane, int team, Place place) {
#pragma unroll 1
  for (int k = 0; k < kPacks && lane + k * team < cut.whole; ++k) {
    Words words[1];
    load_row(cut, row, lane + k * team, team, 0.0f, words);
    *place(k) = words[0];
  }
}

// A sum of many: what rounding takes from it is kept beside it (Kahan), since as many equal squares
// one after the other drift by units of the sum's last place.
struct LongSum {
  float sum = 0, rest = 0;
  GPU_DEVICE void add(float x) {
    const float y = x - rest;
    const float next = sum + y;
    rest = (next - sum) - y;
    sum = next;
  }
  // Of terms of which none is negative: an infinite one makes the sum infinite, not a NaN.
  GPU_DEVICE void add_square(float x) {
    add(x);
    if (sum - sum != 0) rest = 0;
  }
};

// What a block has of its rows: all of each, or of each the same section, whose beginning is as
// aligned as the row's.
struct Section {
  int32_t begin, n;

  template <class P>
  GPU_DEVICE const P* of(const P* parameters) const {
    return parameters == nullptr ? nullptr : parameters + begin;
  }
};

// Sections of a row, for the blocks of a cluster.
struct Sections {
  int blocks;
  int32_t elements;  // of each but the last, which has the rest
};
inline Sections cut_in_sections(int64_t n, int blocks, int per_pack) {
  const int64_t packs = (n + per_pack - 1) / per_pack;
  return {blocks, static_cast<int32_t>((packs + blocks - 1) / blocks * per_pack)};
}
// This block's.
GPU_DEVICE Section section_of_cluster(int32_t elements, int32_t n) {
  const int32_t begin = cluster_rank() * elements;
  return {begin, n - begin < elements ? n - begin : elements};
}

// Lanes of a team that takes so many packs, kPacks each. Half the largest wave is a part of every
// wave, and twice that is a multiple of every wave.
constexpr int kHalfWave = 32;
constexpr int kWholeWaves = 64;
inline int team_of(int64_t packs, int kPacks) {
  const int64_t lanes = (packs + kPacks - 1) / kPacks;
  int team = kLeastTeam;
  while (team < lanes && team < kHalfWave) team *= 2;
  if (lanes <= team) return team;
  return static_cast<int>((lanes + kWholeWaves - 1) / kWholeWaves * kWholeWaves);
}

// Threads of a block for so many teams, whole waves up to `most`.
inline int threads_of(int64_t teams, int team, int most) {
  int threads = team > kWholeWaves ? team : kWholeWaves;
  while (threads < teams * team && 2 * threads <= most) threads *= 2;
  return threads;
}

// Packs of a row at worst.
inline int64_t packs_of(int64_t n, int per_pack, bool aligned) {
  return (n + (aligned ? 0 : per_pack - 1) + per_pack - 1) / per_pack;
}

// ---- What may be asked for.

// A parameter, its gradient or a statistic: contiguous, of one dtype or another.
inline const char* values_reason(const polyops_tensor& t, int32_t dtype, int32_t other) {
  if (!polyops_is_present(&t)) return nullptr;
  if (t.dtype != dtype && t.dtype != other) return "dtype";
  return polyops_is_contiguous(&t) ? nullptr : "layout";
}
template <class Norm>
const char* parameter_reason(const polyops_tensor& t, int32_t src) {
  return values_reason(t, src, Norm::kMixed ? POLYOPS_FLOAT32 : src);
}
template <class Norm>
const char* statistic_reason(const polyops_tensor& t, int32_t src) {
  return values_reason(t, POLYOPS_FLOAT32, Norm::kMixed ? src : POLYOPS_FLOAT32);
}

inline const char* shape_reason(const Shape& shape) {
  return shape.n <= kMostElements && shape.rows <= kMostElements ? nullptr : "shape";
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_LAYOUT_H_
