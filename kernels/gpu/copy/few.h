// Copies that put two to four rows together element by element, as an image's channels on their way
// to NHWC, or take them apart again, where all is whole packs and the side on which the few lie
// next to each other is one run of memory. A thread turns a pack of each row over in its registers;
// the packs of the run it exchanges with its block, so that there too neighbours access neighbours.
#ifndef POLYOPS_GPU_COPY_FEW_H_
#define POLYOPS_GPU_COPY_FEW_H_

#include <cstdint>

#include "division.h"
#include "gpu.h"
#include "walk.h"

namespace polyops::gpu {
namespace {

constexpr int kFewThreads = 256;

// Bytes of a row: of less the neighbours' packs would be far from each other.
constexpr int64_t kShortestOfFew = 128;

struct Few {
  const char* src;
  char* dst;
  int64_t row_step;  // bytes from one of the few rows to the next
  uint32_t units;    // packs of all places that one of the few has
  int levels;        // dimensions of units, innermost first
  Division sizes[POLYOPS_MAX_RANK - 1];
  int64_t steps[POLYOPS_MAX_RANK - 1];  // bytes, where rows are
};

// x: the source's dimension of neighbours in the walk; the result's is the first. together: the
// result has the few as neighbours, and rows are the source's. False if tensors lie otherwise.
template <class T>
bool make_few(const Walk<2>& walk, int x, bool together, const void* src, void* dst, Few* f) {
  constexpr int64_t kWidth = sizeof(T);
  const int few = together ? 0 : x, row = together ? x : 0;
  const auto &rows = walk.strides[together ? 0 : 1], &run = walk.strides[together ? 1 : 0];
  if (walk.sizes[few] > 4 || walk.sizes[row] % kPack<T> != 0) return false;
  if (walk.sizes[row] * kWidth < kShortestOfFew) return false;
  *f = {};
  f->src = static_cast<const char*>(src);
  f->dst = static_cast<char*>(dst);
  f->row_step = rows[few] * kWidth;
  f->levels = 1;
  f->sizes[0] = Division(static_cast<uint32_t>(walk.sizes[row] / kPack<T>));
  f->steps[0] = 16;
  uint64_t places = reinterpret_cast<uintptr_t>(src) | reinterpret_cast<uintptr_t>(dst) |
                    static_cast<uint64_t>(f->row_step);
  if (run[row] != walk.sizes[few]) return false;
  int64_t dense = run[row] * walk.sizes[row];
  for (int d = 1; d < walk.rank; ++d) {
    if (d == x) continue;
    if (run[d] != dense) return false;
    dense *= walk.sizes[d];
    f->sizes[f->levels] = Division(static_cast<uint32_t>(walk.sizes[d]));
    f->steps[f->levels++] = rows[d] * kWidth;
    places |= static_cast<uint64_t>(rows[d] * kWidth);
  }
  f->units = static_cast<uint32_t>(dense / walk.sizes[few] / kPack<T>);
  return places % 16 == 0;
}

inline int64_t few_blocks(const Few& f) {
  return (int64_t{f.units} + kFewThreads - 1) / kFewThreads;
}

// From the first row's first pack to the unit's.
GPU_DEVICE int64_t place_of(const Few& f, uint32_t unit) {
  const int outermost = f.levels - 1;
  int64_t at = 0;
#pragma unroll 1
  for (int d = 0; d < outermost; ++d) at += take_remainder(f.sizes[d], &unit) * f.steps[d];
  return at + unit * f.steps[outermost];
}

// Elements i and j of those that the packs hold, one behind the other; of 4 bytes i alone.
template <class T, int kFew>
GPU_DEVICE uint32_t word_of(const Words (&x)[kFew], int i, int j) {
  const auto word = [&](int e) {
    constexpr int kIn = 4 / static_cast<int>(sizeof(T));
    return x[e / kPack<T>].w[e % kPack<T> / kIn];
  };
  if constexpr (sizeof(T) == 4) return word(i);
  const uint32_t low = i % 2 == 0 ? 0x10 : 0x32, high = j % 2 == 0 ? 0x54 : 0x76;
  return permute_bytes(word(i), word(j), high << 8 | low);
}

// Pack q of the run, of a pack of each row; or of row q, of packs of the run.
template <class T, int kFew, bool kTogether>
GPU_DEVICE Words turned_pack(const Words (&x)[kFew], int q) {
  // Where in x the element is that has that place in the result.
  const auto from = [](int place) {
    return kTogether ? place % kFew * kPack<T> + place / kFew
                     : place % kPack<T> * kFew + place / kPack<T>;
  };
  Words pack;
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    constexpr int kIn = 4 / static_cast<int>(sizeof(T));
    const int place = q * kPack<T> + k * kIn;
    pack.w[k] = word_of<T>(x, from(place), from(place + kIn - 1));
  }
  return pack;
}

// Where the block has a pack of its run: eight threads at a time meet all banks, both with packs
// next to each other and with those of eight units.
template <int kFew>
GPU_DEVICE int few_slot(int pack) {
  return kFew % 2 == 0 ? pack ^ (pack >> 3 & (kFew - 1)) : pack;
}

template <class T, int kFew>
GPU_KERNEL(kFewThreads)
copy_together(const GPU_CONSTANT Few f) {
  await_earlier();
  GPU_SHARED(Words, run, kFewThreads * kFew);
  const uint32_t first = static_cast<uint32_t>(block_id()) * kFewThreads;
  const uint32_t unit = first + static_cast<uint32_t>(thread_id());
  if (unit < f.units) {
    const char* const src = f.src + place_of(f, unit);
    Words x[kFew];
#pragma unroll
    for (int q = 0; q < kFew; ++q) x[q] = load_words(src + q * f.row_step);
#pragma unroll
    for (int q = 0; q < kFew; ++q) {
      run[few_slot<kFew>(kFew * thread_id() + q)] = turned_pack<T, kFew, true>(x, q);
    }
  }
  barrier();
  char* const dst = f.dst + int64_t{first} * (16 * kFew);
#pragma unroll
  for (int k = 0; k < kFew; ++k) {
    const int pack = k * kFewThreads + thread_id();
    if (first * kFew + static_cast<uint32_t>(pack) >= f.units * kFew) break;
    store_words(dst + 16 * pack, run[few_slot<kFew>(pack)]);
  }
}

template <class T, int kFew>
GPU_KERNEL(kFewThreads)
copy_apart(const GPU_CONSTANT Few f) {
  await_earlier();
  GPU_SHARED(Words, run, kFewThreads * kFew);
  const uint32_t first = static_cast<uint32_t>(block_id()) * kFewThreads;
  const char* const src = f.src + int64_t{first} * (16 * kFew);
#pragma unroll
  for (int k = 0; k < kFew; ++k) {
    const int pack = k * kFewThreads + thread_id();
    if (first * kFew + static_cast<uint32_t>(pack) >= f.units * kFew) break;
    run[few_slot<kFew>(pack)] = load_words(src + 16 * pack);
  }
  barrier();
  const uint32_t unit = first + static_cast<uint32_t>(thread_id());
  if (unit >= f.units) return;
  char* const dst = f.dst + place_of(f, unit);
  Words x[kFew];
#pragma unroll
  for (int q = 0; q < kFew; ++q) x[q] = run[few_slot<kFew>(kFew * thread_id() + q)];
#pragma unroll
  for (int q = 0; q < kFew; ++q) {
    store_words(dst + q * f.row_step, turned_pack<T, kFew, false>(x, q));
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_COPY_FEW_H_
