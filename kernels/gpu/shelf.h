// Short rows next to each other, a thread per row. A block copies its rows to shared memory as the
// packs of 16 bytes that they are together, so that no row has ends.
//
// Rows of a multiple of 32 bytes would all begin in a few banks; a part of a wave has those, which
// have no ends either.
#ifndef POLYOPS_GPU_SHELF_H_
#define POLYOPS_GPU_SHELF_H_

#include <cstdint>

#include "gpu.h"

namespace polyops::gpu {
namespace {

constexpr int kFewThreads = 128;
constexpr int kMostFew = 32;

template <class T>
constexpr bool fits_shelf(int64_t n) {
  return n <= kMostFew && n * static_cast<int64_t>(sizeof(T)) % 32 != 0;
}

// The block's rows, which begin at 16 aligned bytes.
template <class T>
struct Shelf {
  T* memory;
  int64_t first;  // element
  int count;      // elements

  GPU_DEVICE Shelf(T* shared, uint32_t rows, int n)
      : Shelf(shared, rows, n, static_cast<uint32_t>(block_id())) {}
  // number: of the shelf among all.
  GPU_DEVICE Shelf(T* shared, uint32_t rows, int n, uint32_t number) : memory(shared) {
    const uint32_t first_row = number * kFewThreads, left = rows - first_row;
    first = static_cast<int64_t>(uint64_t{first_row} * static_cast<uint32_t>(n));
    count = static_cast<int>(left < kFewThreads ? left : kFewThreads) * n;
  }
  GPU_DEVICE int packs() const { return count / kPack<T>; }
  // Is there when wait_copies() and a barrier() have been.
  GPU_DEVICE void fill(const T* src) const {
    const T* const from = src + first;
    for (int k = thread_id(); k < packs(); k += kFewThreads) {
      copy_16_later(memory + k * kPack<T>, from + k * kPack<T>);
    }
    close_copies();
    const int at = packs() * kPack<T> + thread_id();  // less than a pack
    if (at < count) memory[at] = from[at];
  }
  GPU_DEVICE void write(T* dst) const {
    for (int k = thread_id(); k < packs(); k += kFewThreads) {
      const Words words = *reinterpret_cast<const Words*>(memory + k * kPack<T>);
      store_words(dst + first + k * kPack<T>, words);
    }
    const int at = packs() * kPack<T> + thread_id();
    if (at < count) dst[first + at] = memory[at];
  }
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_SHELF_H_
