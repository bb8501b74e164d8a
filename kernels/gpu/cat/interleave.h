// Two or four inputs of rows of one element, as torch.stack(dim=-1) has them, where the result is
// one run of memory: a thread makes packs of 16 bytes of the same elements of all inputs. Bound:
// memory.
#ifndef POLYOPS_GPU_CAT_INTERLEAVE_H_
#define POLYOPS_GPU_CAT_INTERLEAVE_H_

#include <cstdint>

#include "gpu.h"
#include "pieces.h"

namespace polyops::gpu {
namespace {

// kInputs' elements: of each, what a pack has of it is 16 / kInputs bytes.
template <int kInputs>
struct Interleaved {
  const char* src[kInputs];
  int64_t steps[kInputs];  // bytes from one element to the next
  char* dst;
  uint32_t packs;
};

template <int kBytes>
struct alignas(kBytes) CatUnit {
  uint32_t w[kBytes / 4];
} __attribute__((may_alias));

template <class T>
struct CatElement {
  T bits;
} __attribute__((may_alias));

// Elements that begin with that of number `first`.
template <class T, int kBytes>
GPU_DEVICE CatUnit<kBytes> elements_of(const char* src, int64_t step, uint32_t first) {
  constexpr int kCount = kBytes / static_cast<int>(sizeof(T));
  const char* from = src + first * step;
  if (step == int64_t{sizeof(T)}) return *reinterpret_cast<const CatUnit<kBytes>*>(from);
  T x[kCount];
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    x[i] = reinterpret_cast<const CatElement<T>*>(from + i * step)->bits;
  }
  CatUnit<kBytes> unit = {};
#pragma unroll
  for (int i = 0; i < kBytes / 4; ++i) {
    if constexpr (sizeof(T) == 8) {
      unit.w[i] = static_cast<uint32_t>(x[0] >> 32 * i);
    } else if constexpr (sizeof(T) == 4) {
      unit.w[i] = x[i];
    } else {
      unit.w[i] = x[2 * i] | static_cast<uint32_t>(x[2 * i + 1]) << 16;
    }
  }
  return unit;
}

template <class T>
GPU_DEVICE Words interleave(const CatUnit<8> (&x)[2]) {
  const uint32_t *a = x[0].w, *b = x[1].w;
  if constexpr (sizeof(T) == 8) return {{a[0], a[1], b[0], b[1]}};
  if constexpr (sizeof(T) == 4) return {{a[0], b[0], a[1], b[1]}};
  return {{permute_bytes(a[0], b[0], 0x5410), permute_bytes(a[0], b[0], 0x7632),
           permute_bytes(a[1], b[1], 0x5410), permute_bytes(a[1], b[1], 0x7632)}};
}
template <class T>
GPU_DEVICE Words interleave(const CatUnit<4> (&x)[4]) {
  const uint32_t a = x[0].w[0], b = x[1].w[0], c = x[2].w[0], d = x[3].w[0];
  if constexpr (sizeof(T) == 4) return {{a, b, c, d}};
  return {{permute_bytes(a, b, 0x5410), permute_bytes(c, d, 0x5410), permute_bytes(a, b, 0x7632),
           permute_bytes(c, d, 0x7632)}};
}

template <class T, int kInputs>
GPU_KERNEL(kCatThreads)
cat_interleaved(const Interleaved<kInputs> c) {
  await_earlier();
  constexpr int kBytes = 16 / kInputs;
  CatUnit<kBytes> units[kCatPacks][kInputs];
  const uint32_t first = static_cast<uint32_t>(block_id()) * kCatItems + thread_id();
#pragma unroll
  for (int k = 0; k < kCatPacks; ++k) {
    const uint32_t pack = first + k * kCatThreads;
    if (pack >= c.packs) break;
#pragma unroll
    for (int i = 0; i < kInputs; ++i) {
      units[k][i] = elements_of<T, kBytes>(c.src[i], c.steps[i],
                                           pack * (kBytes / static_cast<uint32_t>(sizeof(T))));
    }
  }
#pragma unroll
  for (int k = 0; k < kCatPacks; ++k) {
    const uint32_t pack = first + k * kCatThreads;
    if (pack >= c.packs) break;
    store_words(c.dst + int64_t{pack} * 16, interleave<T>(units[k]));
  }
}

// Whether these, of one element along the dimension, are such inputs; rows are those of pieces.
template <class T, int kInputs>
bool interleaves(const Piece<2> (&pieces)[kInputs], Interleaved<kInputs>* to) {
  constexpr int64_t kWidth = sizeof(T), kBytes = 16 / kInputs;
  const int64_t rows = pieces[0].rows;
  to->dst = pieces[0].dst;
  to->packs = static_cast<uint32_t>(rows * kWidth / kBytes);
  if (reinterpret_cast<uintptr_t>(to->dst) % 16 != 0 || rows * kWidth % kBytes != 0) return false;
  for (int i = 0; i < kInputs; ++i) {
    const Piece<2>& p = pieces[i];
    if (p.bytes != kWidth || p.levels != 1 || p.dst_steps[0] != kInputs * kWidth) return false;
    const bool adjacent = p.src_steps[0] == kWidth;
    if (adjacent && reinterpret_cast<uintptr_t>(p.src) % kBytes != 0) return false;
    to->src[i] = p.src;
    to->steps[i] = p.src_steps[0];
  }
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CAT_INTERLEAVE_H_
