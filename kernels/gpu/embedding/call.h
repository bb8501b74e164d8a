// What the kernels that add up share: their arguments, the units of a row, events.
#ifndef POLYOPS_GPU_EMBEDDING_CALL_H_
#define POLYOPS_GPU_EMBEDDING_CALL_H_

#include <cstdint>

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

struct GradCall {
  Shares shares;
  const void* grad;
  void* out;
  Divided* divided;
  float* ended_sums;  // slots of padded_width
  float* open_sums;
  int32_t width;
  int32_t padded_width;
  int32_t lanes;  // of a team
  int32_t teams;
  int32_t parts;  // blocks that have columns of the same share
  int32_t by_freq;
};

// Of sums of the row that a share which begins there divides: such shares are more than the slack
// of lookups apart.
GPU_DEVICE uint32_t slot_of(const GradCall& c, const Begin& begin) {
  return begin.lookup / (c.shares.slack + 1);
}

struct alignas(8) Event {
  int32_t lookup;
  float scale;
};
constexpr int32_t kEnd = -1, kNothing = -2;

// Units of a row: 16 bytes, or an element.
template <class T, int kUnit>
GPU_DEVICE void unpack_unit(const Words& words, float (&x)[kUnit]) {
  if constexpr (kUnit == 1) {
    x[0] = float_of_bits(words.w[0]);
  } else {
    unpack<T>(words, x);
  }
}
template <class T, int kUnit>
GPU_DEVICE void load_unit(const T* p, Words* words) {
  if constexpr (kUnit == 1) {
    words->w[0] = float_bits(widen(*p));
  } else {
    *words = load_words(p);
  }
}
template <class T, int kUnit>
GPU_DEVICE void store_unit(T* p, const float (&x)[kUnit]) {
  if constexpr (kUnit == 1) {
    *p = narrow<T>(x[0]);
  } else {
    store_words(p, pack<T>(x));
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

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_EMBEDDING_CALL_H_
