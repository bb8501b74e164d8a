// A row of elements next to each other as a team of lanes reads and writes it: whole packs of 16
// aligned bytes, and at both ends what is left, less than a pack, an element or a few to a lane. So an
// odd row costs an even one's time and a masked access more.
#ifndef POLYOPS_GPU_ROW_H_
#define POLYOPS_GPU_ROW_H_

#include <cstdint>

#include "gpu.h"

namespace polyops::gpu {
namespace {

template <class T>
GPU_DEVICE int misplaced(const T* p) {
  return static_cast<int>(reinterpret_cast<uintptr_t>(p) % 16 / sizeof(T));
}

// How a row falls into packs. Decided by one tensor; those that lie otherwise go by elements.
template <class T>
struct Cut {
  int n;
  int shift;  // elements before the row in the 16 bytes where it begins
  int head;   // elements before the first whole pack
  int whole;  // packs

  GPU_DEVICE Cut(const T* first, int elements) : n(elements), shift(misplaced(first)) {
    head = -shift & (kPack<T> - 1);
    if (head > n) head = n;
    whole = (n - head) / kPack<T>;
  }
  GPU_DEVICE bool fits(const T* first) const {
    return reinterpret_cast<uintptr_t>(first + head) % 16 == 0;
  }
  GPU_DEVICE int of_pack(int pack) const { return head + pack * kPack<T>; }
  // The element at that place of 2 kPack at the ends; negative if there is none.
  GPU_DEVICE int of_end(int place) const {
    if (place < kPack<T>) return place < head ? place : -1;
    const int at = of_pack(whole) + place - kPack<T>;
    return at < n ? at : -1;
  }
  GPU_DEVICE int ends() const { return n - whole * kPack<T>; }
};

// Packs first, first + step, ... as they are in memory; zeros where there is none. All loads are
// issued before the first is used.
template <int kPacks, class T>
GPU_DEVICE void load_row(const Cut<T>& cut, const T* row, int first, int step,
                         Words (&words)[kPacks]) {
#pragma unroll
  for (int k = 0; k < kPacks; ++k) words[k] = {};
  if (cut.fits(row)) {
#pragma unroll
    for (int k = 0; k < kPacks; ++k) {
      const int at = first + k * step;
      if (at < cut.whole) words[k] = load_words(row + cut.of_pack(at));
    }
    return;
  }
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    const int at = first + k * step;
    if (at >= cut.whole) break;
    float x[kPack<T>];
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) x[j] = widen(row[cut.of_pack(at) + j]);
    words[k] = pack<T>(x);
  }
}

template <class T>
GPU_DEVICE void store_pack(const Cut<T>& cut, T* row, bool fits, int at,
                           const float (&x)[kPack<T>]) {
  if (fits) {
    store_words(row + cut.of_pack(at), pack<T>(x));
  } else {
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) row[cut.of_pack(at) + j] = narrow<T>(x[j]);
  }
}

// Teams have as many lanes at least, and a lane of one so many elements at the ends.
constexpr int kLeastTeam = 4;
template <class T>
constexpr int kEnds = 2 * kPack<T> / kLeastTeam;

template <class T>
constexpr int ends_of(int lanes) {
  return lanes >= 2 * kPack<T> ? 1 : 2 * kPack<T> / lanes;
}

// Calls f(e, at) for those that a lane has, e a constant.
template <class T, class F>
GPU_DEVICE void for_each_end(const Cut<T>& cut, int lane, int lanes, F f) {
#pragma unroll
  for (int e = 0; e < kEnds<T>; ++e) {
    if (e * lanes >= 2 * kPack<T>) break;
    const int place = lane + e * lanes;
    const int at = place < 2 * kPack<T> ? cut.of_end(place) : -1;
    if (at >= 0) f(e, at);
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_ROW_H_
