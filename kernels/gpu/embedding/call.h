// What the kernels that add up share: their arguments, the units of a row, events.
#ifndef POLYOPS_GPU_EMBEDDING_CALL_H_
#define POLYOPS_GPU_EMBEDDING_CALL_H_

#include <cstdint>

#include "division.h"
#include "gpu.h"
#include "shares.h"

namespace polyops::gpu {
namespace {

// Of a share: the row that it ends but another began, and the one that it leaves open; where their
// sums are. kNoRow: there is none.
struct Divided {
  uint32_t ended, ended_slot;
  uint32_t open, open_slot;
};

// A row has `columns`, in runs of `width` of which each lies next to that of the next row.
struct GradCall {
  Shares shares;
  const void* grad;
  const void* base;  // what sums are added to; embedding has none
  void* out;
  Divided* divided;
  float* ended_sums;  // slots of padded_columns
  float* open_sums;
  int64_t grad_step;  // from run to run
  int64_t out_step;
  Division of_run;
  int32_t width;
  int32_t columns;
  int32_t padded_columns;
  int32_t lanes;  // of a team
  int32_t teams;
  int32_t parts;  // blocks that have columns of the same share
  int32_t by_freq;
  float scale;
};

// Where row 0 has that column.
GPU_DEVICE int64_t place_of(const GradCall& c, int column, int64_t step) {
  if (c.columns == c.width) return column;
  auto run = static_cast<uint32_t>(column);
  const uint32_t place = take_remainder(c.of_run, &run);
  return run * step + place;
}

// Of sums of the row that a share which begins there divides: such shares are more than the slack
// of lookups apart.
GPU_DEVICE uint32_t slot_of(const GradCall& c, const Begin& begin) {
  return begin.lookup / (c.shares.slack + 1);
}

struct alignas(8) Event {
  int32_t lookup;
  float scale;  // where shares are by lookups, of an end the bits of its row
};
constexpr int32_t kEnd = -1, kNothing = -2;

struct alignas(8) HalfWords {
  uint32_t w[2];
} __attribute__((may_alias));

// Units of a row: 16 bytes, 8, or an element.
template <class T, int kUnit>
GPU_DEVICE void unpack_unit(const Words& words, float (&x)[kUnit]) {
  if constexpr (kUnit == 1) {
    x[0] = float_of_bits(words.w[0]);
  } else if constexpr (kUnit == kPack<T>) {
    unpack<T>(words, x);
  } else {
    float all[kPack<T>];
    unpack<T>(words, all);
#pragma unroll
    for (int j = 0; j < kUnit; ++j) x[j] = all[j];
  }
}
template <class T, int kUnit>
GPU_DEVICE void load_unit(const T* p, Words* words) {
  if constexpr (kUnit == 1) {
    words->w[0] = float_bits(widen(*p));
  } else if constexpr (kUnit == kPack<T>) {
    *words = load_words(p);
  } else {
    const HalfWords half = *reinterpret_cast<const HalfWords*>(p);
    *words = {half.w[0], half.w[1], 0, 0};
  }
}
template <class T, int kUnit>
GPU_DEVICE void store_unit(T* p, const float (&x)[kUnit]) {
  if constexpr (kUnit == 1) {
    *p = narrow<T>(x[0]);
  } else if constexpr (kUnit == kPack<T>) {
    store_words(p, pack<T>(x));
  } else {
    float all[kPack<T>] = {};
#pragma unroll
    for (int j = 0; j < kUnit; ++j) all[j] = x[j];
    const Words words = pack<T>(all);
    *reinterpret_cast<HalfWords*>(p) = {words.w[0], words.w[1]};
  }
}

// How many lookups have that row.
GPU_DEVICE uint32_t lookups_of(const Shares& s, uint32_t row) {
  uint32_t begin = 0, end = 0;
  for (uint32_t step = uint32_t{1} << 31; step != 0; step /= 2) {
    if (step <= s.lookups - begin && s.sorted[begin + step - 1].row < row) begin += step;
    if (step <= s.lookups - end && s.sorted[end + step - 1].row <= row) end += step;
  }
  return end - begin;
}

// What sums begin with: to a base it adds nothing, not even to one of -0; a row without lookups is
// +0.
template <bool kAdds>
constexpr float kNone = kAdds ? -0.0f : 0.0f;

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_EMBEDDING_CALL_H_
