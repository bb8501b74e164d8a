// A row of elements next to each other as a team of lanes reads and writes it: whole packs of 16
// aligned bytes, and at both ends what is left, less than a pack, an element or a few to a lane. So
// an odd row costs an even one's time and a masked access more; a branch per pack instead cost the
// loads their place before the first use.
#ifndef POLYOPS_GPU_ROW_H_
#define POLYOPS_GPU_ROW_H_

#include <cstdint>

#include "gpu.h"
#include "store.h"
#include "walk.h"

namespace polyops::gpu {
namespace {

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
  // Packs without ends.
  GPU_DEVICE explicit Cut(int packs) : n(packs * kPack<T>), shift(0), head(0), whole(packs) {}
  template <class U>
  GPU_DEVICE bool fits(const U* first) const {
    return reinterpret_cast<uintptr_t>(first + head) % kStoreAlignment<U, kPack<T>> == 0;
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

template <class T>
GPU_DEVICE Words words_of(float x) {
  float all[kPack<T>];
#pragma unroll
  for (int j = 0; j < kPack<T>; ++j) all[j] = x;
  return pack<T>(all);
}

// Packs first, first + step, ... as they are in memory; `fill` where there is none. All loads are
// issued before the first is used.
template <int kPacks, class T>
GPU_DEVICE void load_row(const Cut<T>& cut, const T* row, int first, int step, float fill,
                         Words (&words)[kPacks]) {
  const Words none = words_of<T>(fill);
#pragma unroll
  for (int k = 0; k < kPacks; ++k) words[k] = none;
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

// A pack of the row, if it has that. `fits`: cut.fits(row).
template <class T, class U>
GPU_DEVICE void store_pack(const Cut<T>& cut, U* row, bool fits, int at,
                           const float (&x)[kPack<T>]) {
  if (at >= cut.whole) return;
  if (fits) {
    store_elements(row + cut.of_pack(at), x);
  } else {
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) row[cut.of_pack(at) + j] = narrow<U>(x[j]);
  }
}

// The elements of a lane at the ends, of a team of that many lanes: there are two packs' worth.
template <class T>
constexpr int ends_of(int lanes) {
  return lanes >= 2 * kPack<T> ? 1 : 2 * kPack<T> / lanes;
}

// Calls f(e, at) for those that a lane has; e < kEnds is a constant, so that x[e] is a register.
template <int kEnds, class T, class F>
GPU_DEVICE void for_each_end(const Cut<T>& cut, int lane, int lanes, F f) {
#pragma unroll
  for (int e = 0; e < kEnds; ++e) {
    if (e * lanes >= 2 * kPack<T>) break;
    const int place = lane + e * lanes;
    const int at = place < 2 * kPack<T> ? cut.of_end(place) : -1;
    if (at >= 0) f(e, at);
  }
}

template <int kEnds, class T>
GPU_DEVICE void load_ends(const Cut<T>& cut, const T* row, int lane, int lanes, float fill,
                          float (&x)[kEnds]) {
#pragma unroll
  for (int e = 0; e < kEnds; ++e) x[e] = fill;
  for_each_end<kEnds>(cut, lane, lanes, [&](int e, int at) { x[e] = widen(row[at]); });
}

template <int kEnds, class T, class U>
GPU_DEVICE void store_ends(const Cut<T>& cut, U* row, int lane, int lanes,
                           const float (&x)[kEnds]) {
  for_each_end<kEnds>(cut, lane, lanes, [&](int e, int at) { row[at] = narrow<U>(x[e]); });
}

// From the host: whether all rows of the walk's t-th tensor begin at 16 aligned bytes, given how
// many of its elements these are.
template <int kTensors>
bool rows_aligned(const Walk<kTensors>& walk, int t, const void* data, int per_pack) {
  if (reinterpret_cast<uintptr_t>(data) % 16 != 0) return false;
  for (int d = 0; d < walk.rank; ++d) {
    if (walk.sizes[d] != 1 && walk.strides[t][d] % per_pack != 0) return false;
  }
  return true;
}

// Rows, and what is in one, are counted in 32 bits, sums of such counts too.
constexpr int64_t kMostElements = (int64_t{1} << 31) - (1 << 20);

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_ROW_H_
