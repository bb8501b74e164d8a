// Elementwise where one input has another order of dimensions than the result, as a contiguous
// gradient of a permuted tensor does: by the tiles of copy/. The turned input's tile goes through
// shared memory, from where its elements lie next to each other to where the result's do; the
// other input is read as the result is written. Whole packs of 16 aligned bytes on both sides, or
// element by element, neighbouring lanes at neighbouring elements all the same. Bound: memory,
// each tensor once: on an H200 88 to 96 % of a copy's speed, 19 to 37 % without the tiles
// (gradients of 32768x1536 elements).
#ifndef POLYOPS_GPU_ELEMENTWISE_TURNED_H_
#define POLYOPS_GPU_ELEMENTWISE_TURNED_H_

#include <cstdint>
#include <type_traits>

#include "copy/tiles.h"
#include "copy/turn.h"
#include "elementwise_shifted.h"
#include "gpu.h"
#include "walk.h"

namespace polyops::gpu {
namespace {

// Tiles that are emptier read more than they need; fewer leave too many multiprocessors idle.
constexpr double kMostTurnedWaste = 4;
constexpr int64_t kFewestTurnedTiles = 16;

// The input that is turned as the tiles' source, and the other one, if there is one.
struct TurnedTiles {
  Tiles tiles;
  const char* other;
  int64_t other_x, other_y;  // bytes from one x to the next, and from one y
  int64_t other_steps[POLYOPS_MAX_RANK - 2];
  bool packs;  // all is whole packs
};

// Where the block's tile begins in the other input.
template <class T>
GPU_DEVICE const char* other_of(const TurnedTiles& t, const TilePlace& at, uint32_t block) {
  const char* p = t.other + at.x * t.other_x + at.y * t.other_y;
  if (t.tiles.outer == 0) return p;
  take_remainder(t.tiles.x_tiles, &block);
  take_remainder(t.tiles.y_tiles, &block);
#pragma unroll 1
  for (int d = 0; d < t.tiles.outer; ++d) {
    p += take_remainder(t.tiles.sizes[d], &block) * t.other_steps[d];
  }
  return p;
}

// f of the turned input's element, which is operand kTurned, and of the other one's.
template <int kInputs, int kTurned, class Function>
GPU_DEVICE float apply_turned(const Function& f, float turned, float other) {
  float operands[kInputs], results[1];
#pragma unroll
  for (int i = 0; i < kInputs; ++i) operands[i] = i == kTurned ? turned : other;
  apply(f, operands, results);
  return results[0];
}

template <class T, int kInputs, int kTurned, class Function>
GPU_KERNEL(kTileThreads<T>, 3)
turned_packs(Function f, const GPU_CONSTANT TurnedTiles t) {
  await_earlier();
  GPU_SHARED(Words, tile, kTileThreads<T> * kPack<T>);
  constexpr int kRows = 4;  // of the result, whose loads are all under way before the first is used
  const Tiles& tiles = t.tiles;
  const TilePlace at = place_of<T>(tiles, static_cast<uint32_t>(block_id()));
  read_aligned<T, true>(tiles, at, tile);
  const int high_bits = kTileBits<T> - tiles.wide_bits;
  const int p = thread_id() & ((1 << high_bits) - 1), first = thread_id() >> high_bits;
  const char* other = nullptr;
  if constexpr (kInputs > 1) other = other_of<T>(t, at, static_cast<uint32_t>(block_id())) + 16 * p;
  char* const result = at.dst + 16 * p;
  const bool inside = at.y + static_cast<uint32_t>(p * kPack<T>) < tiles.y_size;
  barrier();
  if (!inside) return;
#pragma unroll
  for (int begin = 0; begin < kPack<T>; begin += kRows) {
    Words words[kRows];
#pragma unroll
    for (int k = 0; kInputs > 1 && k < kRows; ++k) {
      const int x = first + ((begin + k) << tiles.wide_bits);
      if (at.x + static_cast<uint32_t>(x) >= tiles.x_size) break;
      words[k] = load_words(other + x * t.other_x);
    }
#pragma unroll
    for (int k = 0; k < kRows; ++k) {
      const int x = first + ((begin + k) << tiles.wide_bits);
      if (at.x + static_cast<uint32_t>(x) >= tiles.x_size) return;
      float turned[kPack<T>], others[kPack<T>] = {}, y[kPack<T>];
      unpack<T>(tile[slot_of<T>(tiles, x, p)], turned);
      if constexpr (kInputs > 1) unpack<T>(words[k], others);
#pragma unroll
      for (int j = 0; j < kPack<T>; ++j) {
        y[j] = apply_turned<kInputs, kTurned>(f, turned[j], others[j]);
      }
      store_words(result + x * tiles.dst_step, pack<T>(y));
    }
  }
}

// The same of elements that lie anywhere. The rows of their tile begin an odd number of words
// apart, so that lanes at neighbouring rows meet different banks.
template <class T, int kInputs, int kTurned, class Function>
GPU_KERNEL(kTileThreads<T>, 3)
turned_anywhere(Function f, const GPU_CONSTANT TurnedTiles t) {
  await_earlier();
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint16_t>;
  constexpr uint32_t kThreads = kTileThreads<T>, kElements = kThreads * kPack<T> * kPack<T>;
  constexpr uint32_t kPad = 4 / sizeof(T), kWidest = kPack<T> << kMostWideBits<T>;
  constexpr uint32_t kSome = 4;  // of a thread, which are under way at a time
  GPU_SHARED(Bits, tile, kElements + kWidest * kPad);
  const Tiles& tiles = t.tiles;
  const TilePlace at = place_of<T>(tiles, static_cast<uint32_t>(block_id()));
  const int wide_bits = tiles.wide_bits + (kPack<T> == 4 ? 2 : 3);
  const uint32_t wide = uint32_t{1} << wide_bits, high = kElements >> wide_bits;
  const uint32_t pitch = high + kPad, thread = static_cast<uint32_t>(thread_id());
  const uint32_t columns = Block<T>::left(tiles.x_size, at.x);
  const uint32_t rows = Block<T>::left(tiles.y_size, at.y);
#pragma unroll 1
  for (uint32_t begin = thread; begin < kElements; begin += kSome * kThreads) {
    Bits some[kSome];
#pragma unroll
    for (uint32_t k = 0; k < kSome; ++k) {
      const uint32_t e = begin + k * kThreads, x = e & (wide - 1), y = e >> wide_bits;
      if (x >= columns || y >= rows) continue;
      const char* const from = at.src + y * tiles.src_step + x * int64_t{sizeof(T)};
      some[k] = reinterpret_cast<const Element<Bits>*>(from)->bits;
    }
#pragma unroll
    for (uint32_t k = 0; k < kSome; ++k) {
      const uint32_t e = begin + k * kThreads, x = e & (wide - 1), y = e >> wide_bits;
      if (x < columns && y < rows) tile[x * pitch + y] = some[k];
    }
  }
  const char* other = nullptr;
  if constexpr (kInputs > 1) other = other_of<T>(t, at, static_cast<uint32_t>(block_id()));
  const int high_bits = kTileBits<T> + (kPack<T> == 4 ? 4 : 6) - wide_bits;
  barrier();
#pragma unroll 1
  for (uint32_t begin = thread; begin < kElements; begin += kSome * kThreads) {
    T some[kSome];
#pragma unroll
    for (uint32_t k = 0; kInputs > 1 && k < kSome; ++k) {
      const uint32_t e = begin + k * kThreads, y = e & (high - 1), x = e >> high_bits;
      if (x >= columns || y >= rows) continue;
      some[k] = *reinterpret_cast<const T*>(other + x * t.other_x + y * t.other_y);
    }
#pragma unroll
    for (uint32_t k = 0; k < kSome; ++k) {
      const uint32_t e = begin + k * kThreads, y = e & (high - 1), x = e >> high_bits;
      if (x >= columns || y >= rows) continue;
      const float turned = widen(reinterpret_cast<const Element<T>*>(tile + x * pitch + y)->bits);
      const float other_value = kInputs > 1 ? widen(some[k]) : 0.0f;
      *reinterpret_cast<T*>(at.dst + x * tiles.dst_step + y * int64_t{sizeof(T)}) =
          narrow<T>(apply_turned<kInputs, kTurned>(f, turned, other_value));
    }
  }
}

// The input that is turned: whose elements lie next to each other along another dimension than the
// result's, which is *x then. -1 if that is none, or if it is all of several.
template <class T, int kInputs, int kOutputs>
int turned_input(const Walk<kInputs + kOutputs>& walk, int* x) {
  if (kInputs > 2 || kOutputs > 1 || walk.strides[kInputs][0] != 1) return -1;
  if (walk.numel() >= INT32_MAX) return -1;
  int turned = -1;
  for (int i = 0; i < kInputs; ++i) {
    if (walk.strides[i][0] == 1 || walk.strides[i][0] == 0) continue;
    if (turned >= 0) return -1;
    turned = i;
  }
  if (turned < 0) return -1;
  for (int d = 1; d < walk.rank; ++d) {
    if (walk.strides[turned][d] != 1) continue;
    *x = d;
    return best_shape<T>(walk.sizes[d], walk.sizes[0], 0).waste < kMostTurnedWaste ? turned : -1;
  }
  return -1;
}

template <class T, int kInputs, int kOutputs>
TurnedTiles make_turned(const Walk<kInputs + kOutputs>& walk, int x, int turned,
                        const Pointers<T, kInputs, kOutputs>& p) {
  constexpr int64_t kWidth = sizeof(T);
  Walk<2> pair = {};
  pair.rank = walk.rank;
  for (int d = 0; d < walk.rank; ++d) {
    pair.sizes[d] = walk.sizes[d];
    pair.strides[0][d] = walk.strides[turned][d];
    pair.strides[1][d] = walk.strides[kInputs][d];
  }
  TurnedTiles t = {};
  t.tiles = make_tiles<T>(pair, x, p.in[turned], p.out[0], false);
  t.packs = t.tiles.of_packs && t.tiles.to_packs;
  if (kInputs == 1) return t;
  const int other = kInputs - 1 - turned;
  const int64_t(&strides)[POLYOPS_MAX_RANK] = walk.strides[other];
  t.other = reinterpret_cast<const char*>(p.in[other]);
  t.other_x = strides[x] * kWidth;
  t.other_y = strides[0] * kWidth;
  uint64_t places = reinterpret_cast<uintptr_t>(t.other) | static_cast<uint64_t>(t.other_x);
  for (int d = 1, outer = 0; d < walk.rank; ++d) {
    if (d == x) continue;
    t.other_steps[outer] = strides[d] * kWidth;
    places |= static_cast<uint64_t>(t.other_steps[outer++]);
  }
  t.packs &= strides[0] == 1 && places % 16 == 0;
  return t;
}

template <int kInputs, int kTurned, class T, class Function>
int launch_turned(Function f, const TurnedTiles& t, const polyops_context* ctx) {
  return gpu::launch(t.packs ? turned_packs<T, kInputs, kTurned, Function>
                             : turned_anywhere<T, kInputs, kTurned, Function>,
                     {tile_count(t.tiles), kTileThreads<T>}, ctx, f, t);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_ELEMENTWISE_TURNED_H_
