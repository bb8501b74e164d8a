// Copies that turn over a dimension of few elements which lie next to each other in the source,
// such as the channels of an image in NHWC, where tiles would be mostly air: a block reads a dense
// run of the source, 16 bytes per access, into shared memory, and puts the result's packs together
// from there. A word of padding behind every 32 keeps elements at even steps in different banks.
//
// Rows of the result are cut by where they have their packs, as tiles' are: a block reads a pack of
// y more than it writes.
#ifndef POLYOPS_GPU_COPY_NARROW_H_
#define POLYOPS_GPU_COPY_NARROW_H_

#include <cstdint>

#include "cat/copy.h"
#include "copy/gather.h"
#include "copy/tiles.h"
#include "gpu.h"

namespace polyops::gpu {
namespace {

constexpr int kNarrowThreads = 256;
constexpr int kNarrowLoads = 6;  // packs of a thread
constexpr int kNarrowBytes = 16 * kNarrowThreads * kNarrowLoads;
constexpr int kNarrowWords = kNarrowBytes / 4 + kNarrowBytes / 128;

// Bytes of the longest x: of more a block would have too few packs of each row.
constexpr int64_t kMostNarrow = 64;

// Elements of the other dimension, from which on a block finds enough of them.
constexpr int64_t kLongRow = 256;

struct Narrow {
  Tiles tiles;     // one along x; owned: packs
  Division packs;  // of a row in a tile, and one place for what is before them
};

// x: its dimension in the walk, if it has one there.
inline bool is_narrow(const Walk<2>& walk, int x, int64_t width) {
  return x != 0 && walk.sizes[x] * width <= kMostNarrow && walk.strides[0][0] == walk.sizes[x] &&
         walk.sizes[0] >= kLongRow;
}

template <class T>
Narrow make_narrow(const Walk<2>& walk, int x, const void* src, void* dst) {
  Narrow n = {make_tiles<T>(walk, x, src, dst), {}};
  Tiles& t = n.tiles;
  const auto column = static_cast<uint32_t>(kPack<T> * t.x_size * sizeof(T));
  t.owned = static_cast<int>((kNarrowBytes - 16) / column) - 1;
  const uint32_t high = kPack<T> * static_cast<uint32_t>(t.owned);
  t.x_tiles = Division();
  t.y_tiles = Division((t.y_size + high - 1) / high);
  n.packs = Division(static_cast<uint32_t>(t.owned) + 1);
  return n;
}

// Where the run's byte is among the words; byte is not negative.
GPU_DEVICE int padded(int byte) { return byte + (byte >> 7) * 4; }

template <class T>
GPU_DEVICE T element_at(const uint32_t* words, int byte) {
  if constexpr (sizeof(T) == 8) {
    const uint32_t* const p = &words[padded(byte) / 4];
    return p[0] | uint64_t{p[1]} << 32;
  } else {
    return reinterpret_cast<const Element<T>*>(reinterpret_cast<const char*>(words) + padded(byte))
        ->bits;
  }
}

template <class T>
GPU_DEVICE void put_element(uint32_t* words, int byte, T x) {
  if constexpr (sizeof(T) == 8) {
    words[padded(byte) / 4] = static_cast<uint32_t>(x);
    words[padded(byte) / 4 + 1] = static_cast<uint32_t>(x >> 32);
  } else {
    reinterpret_cast<Element<T>*>(reinterpret_cast<char*>(words) + padded(byte))->bits = x;
  }
}

template <class T>
GPU_DEVICE void put_run(const Tiles& t, const char* first, int bytes, uint32_t* words) {
  Words packs[kNarrowLoads];
  const auto is_whole = [&](const char* p) { return p >= t.src && p + 16 <= t.src_end; };
#pragma unroll
  for (int k = 0; k < kNarrowLoads; ++k) {
    const int at = 16 * (k * kNarrowThreads + thread_id());
    if (at < bytes && is_whole(first + at)) packs[k] = load_words(first + at);
  }
#pragma unroll
  for (int k = 0; k < kNarrowLoads; ++k) {
    const int at = 16 * (k * kNarrowThreads + thread_id());
    if (at >= bytes) continue;
    if (is_whole(first + at)) {
#pragma unroll
      for (int i = 0; i < 4; ++i) words[padded(at) / 4 + i] = packs[k].w[i];
      continue;
    }
#pragma unroll 1
    for (int byte = at; byte < at + 16; byte += static_cast<int>(sizeof(T))) {
      const char* const p = first + byte;
      if (p < t.src || p >= t.src_end) continue;
      put_element<T>(words, byte, *reinterpret_cast<const T*>(p));
    }
  }
}

// Elements first..end of row x. skew: bytes before the run among the words.
template <class T>
GPU_DEVICE void write_few(const Tiles& t, const uint32_t* words, int skew, uint32_t x,
                          uint32_t first, uint32_t end, char* row) {
#pragma unroll 1
  for (uint32_t e = first; e < end; ++e) {
    const auto at = static_cast<int>((e * t.x_size + x) * sizeof(T));
    reinterpret_cast<T*>(row)[e] = element_at<T>(words, skew + at);
  }
}

template <class T>
GPU_DEVICE void write_run(const Narrow& n, const TilePlace& at, const uint32_t* words, int skew) {
  const Tiles& t = n.tiles;
  const uint32_t left = t.y_size - at.y;
#pragma unroll 1
  for (auto item = static_cast<uint32_t>(thread_id()); item < t.x_size * n.packs.divisor;
       item += kNarrowThreads) {
    uint32_t x = item;
    const uint32_t p = take_remainder(n.packs, &x);
    char* const row = at.dst + x * t.dst_step;
    const uint32_t head = (-behind_pack(row) & 15) / static_cast<uint32_t>(sizeof(T));
    const uint32_t first = head + p * kPack<T>;
    if (p == static_cast<uint32_t>(t.owned)) {
      if (at.y == 0) write_few<T>(t, words, skew, x, 0, head < left ? head : left, row);
    } else if (first + kPack<T> <= left) {
      T elements[kPack<T>];
      const auto step = static_cast<int>(t.x_size * sizeof(T));
      const int begin = skew + static_cast<int>(first) * step + static_cast<int>(x * sizeof(T));
#pragma unroll
      for (int i = 0; i < kPack<T>; ++i) elements[i] = element_at<T>(words, begin + i * step);
      store_words(row + int64_t{first} * int64_t{sizeof(T)}, words_of<T>(elements));
    } else {
      write_few<T>(t, words, skew, x, first, left, row);
    }
  }
}

template <class T>
GPU_KERNEL(kNarrowThreads)
copy_narrow(const GPU_CONSTANT Narrow n) {
  await_earlier();
  GPU_SHARED(uint32_t, words, kNarrowWords);
  const Tiles& t = n.tiles;
  const TilePlace at = place_of<T>(t, static_cast<uint32_t>(block_id()));
  const auto skew = static_cast<int>(behind_pack(at.src));
  const uint32_t most = kPack<T> * (static_cast<uint32_t>(t.owned) + 1), left = t.y_size - at.y;
  const auto bytes = static_cast<int>((left < most ? left : most) * t.x_size * sizeof(T));
  put_run<T>(t, at.src - skew, skew + bytes, words);
  barrier();
  write_run<T>(n, at, words, skew);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_COPY_NARROW_H_
