// Zeros of rows without lookups, where those are most: written beside the sort, which leaves the
// memory idle, by blocks behind its own. The sums of rows with lookups come in launches after it.
#ifndef POLYOPS_GPU_EMBEDDING_ZEROS_H_
#define POLYOPS_GPU_EMBEDDING_ZEROS_H_

#include <cstdint>

#include "gpu.h"
#include "span.h"

namespace polyops::gpu {
namespace {

constexpr int64_t kZeroPacks = 4096;  // of a block
// So many rows to a lookup: those with lookups are written twice.
constexpr int64_t kMostlyZeros = 6;

struct Zeros {
  bf16* first;  // or of float32 a half
  int64_t count;

  int64_t blocks() const { return (count + kZeroPacks * 8 - 1) / (kZeroPacks * 8) + (count > 0); }
  // The i-th of so many parts, all but the last of whole packs.
  Zeros part(int64_t i, int64_t parts) const {
    const int64_t each = (count / parts / 8 + 1) * 8, begin = i * each;
    if (begin >= count) return {first, 0};
    return {first + begin, count - begin < each ? count - begin : each};
  }
  GPU_DEVICE void write(int64_t block) const {
    const Span<bf16> span(first, count);
    for (int64_t i = thread_id(); i < kZeroPacks; i += block_threads()) {
      const int64_t pack = block * kZeroPacks + i;
      if (span.whole(pack)) {
        store_words(span.base + pack * 8, Words{});
        continue;
      }
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        if (span.has(pack * 8 + j)) span.base[pack * 8 + j] = narrow<bf16>(0.0f);
      }
    }
  }
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_EMBEDDING_ZEROS_H_
