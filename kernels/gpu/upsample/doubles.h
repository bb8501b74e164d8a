// Nearest places of planes that get twice as many rows and columns: a thread reads 8 bytes, doubles each
// element of them, and stores that 16 bytes in two rows. Bound: memory, mostly what is written.
#ifndef POLYOPS_GPU_UPSAMPLE_DOUBLES_H_
#define POLYOPS_GPU_UPSAMPLE_DOUBLES_H_

#include <cstdint>

#include "division.h"
#include "gpu.h"
#include "image.h"

namespace polyops::gpu {
namespace {

constexpr int kDoubledParts = 4;  // of a thread, whose loads are in flight at once

// T: bits.
template <class T>
GPU_DEVICE Words doubled(const HalfPack& part) {
  Words words;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const uint32_t word = part.w[i / 2];
    words.w[i] = sizeof(T) == 4 ? word : permute_bytes(word, word, i % 2 == 0 ? 0x1010 : 0x3232);
  }
  return words;
}

// row: parts of one of src.
template <class T>
GPU_KERNEL(kUpsampleThreads)
upsample_doubles(const T* in, T* out, uint32_t parts, Division row) {
  constexpr int kShort = 8 / static_cast<int>(sizeof(T));
  const uint32_t first = static_cast<uint32_t>(block_id()) * (kDoubledParts * kUpsampleThreads) +
                         static_cast<uint32_t>(thread_id());
  HalfPack part[kDoubledParts];
#pragma unroll
  for (int k = 0; k < kDoubledParts; ++k) {
    const uint32_t i = first + k * kUpsampleThreads;
    if (i < parts) part[k] = *reinterpret_cast<const HalfPack*>(in + int64_t{i} * kShort);
  }
#pragma unroll
  for (int k = 0; k < kDoubledParts; ++k) {
    const uint32_t i = first + k * kUpsampleThreads;
    if (i >= parts) break;
    const int64_t before = int64_t{row.quotient(i)} * row.divisor;  // of the rows above
    T* const to = out + (i + before) * (2 * kShort);
    const Words words = doubled<T>(part[k]);
    store_words(to, words);
    store_words(to + int64_t{row.divisor} * (2 * kShort), words);
  }
}

// Whether it was launched, and what that returned.
template <class T>
bool forward_doubles(const Image<T>& image, const polyops_context* ctx, int* status) {
  constexpr int kShort = 8 / static_cast<int>(sizeof(T));
  for (const Axis& axis : {image.rows, image.columns}) {
    if (axis.to != 2 * axis.from || axis.scale != 0.5f) return false;
    if (axis.to > 1 << 23) return false;  // Nearest rounds places beyond
  }
  if (image.columns.from % kShort != 0 || reinterpret_cast<uintptr_t>(image.in) % 8 != 0 ||
      reinterpret_cast<uintptr_t>(image.out) % 16 != 0) {
    return false;
  }
  const int64_t row = image.columns.from / kShort;
  const int64_t parts = int64_t{image.planes} * image.rows.from * row;
  constexpr int64_t kOfBlock = kDoubledParts * kUpsampleThreads;
  *status = gpu::launch(upsample_doubles<T>, {(parts + kOfBlock - 1) / kOfBlock, kUpsampleThreads},
                        ctx, image.in, image.out, static_cast<uint32_t>(parts),
                        Division(static_cast<uint32_t>(row)));
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_UPSAMPLE_DOUBLES_H_
