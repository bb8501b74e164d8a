// Images whose channels are no whole packs, several of them together: tiles of held.h that a block
// has room for. It walks over them as clusters do over channels (channel_norm/walk.h). Bound:
// memory, 2 elements moved per element forward, 3 backward.
#ifndef POLYOPS_GPU_BATCH_NORM_TILES_H_
#define POLYOPS_GPU_BATCH_NORM_TILES_H_

#include "call.h"
#include "channel_norm/sums.h"
#include "channel_norm/welford.h"
#include "held.h"

namespace polyops::gpu {
namespace {

constexpr int kTileThreads = 512;  // at most, twice: 64 registers

struct TileWalk {
  HeldTiles of;
  int32_t places;  // of a tile's packs, of each tensor
  int32_t ahead;   // from a tile's places to the next one's; 0: the same
};

// A thread's pack has elements of at most two channels: so many of the first one.
template <class T>
struct TileShare {
  HeldShare<T> held;
  int32_t channel, split;  // of the tile

  GPU_DEVICE explicit TileShare(const HeldTiles& of)
      : held(of),
        channel(held.channel(of, 0)),
        split((channel + 1) * of.inner - held.place * kPack<T>) {
    if (split > kPack<T>) split = kPack<T>;
  }
  // The value of each element's channel, from an array of the tile's.
  GPU_DEVICE void gather(const float* from, float (&x)[kPack<T>]) const {
    const float first = from[channel], second = split < kPack<T> ? from[channel + 1] : 0.0f;
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) x[j] = j < split ? first : second;
  }
  // Sums over the elements of each channel.
  GPU_DEVICE void fold(const float (&x)[kPack<T>], float (&sums)[2]) const {
    sums[0] = sums[1] = 0;
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) {
      sums[0] += j < split ? x[j] : 0.0f;
      sums[1] += j < split ? 0.0f : x[j];
    }
  }
  GPU_DEVICE float elements(int slot) const {
    return static_cast<float>(slot == 0 ? split : kPack<T> - split);
  }
};

// Calls f(value's place in `parts`, elements) for what threads have of a channel, each lane of a
// wave some. parts: [values][slots][threads].
template <class T, class F>
GPU_DEVICE void for_each_part(const HeldTiles& of, int channel, F f) {
  const int begin = channel * of.inner, end = begin + of.inner, teams = block_threads() / of.width;
  for (int team = 0; team < teams && team < of.rows; ++team) {
    const int rows = (of.rows - team + teams - 1) / teams;
    for (int place = begin / kPack<T> + thread_id() % wave_size(); place * kPack<T> < end;
         place += wave_size()) {
      const int first = place * kPack<T>, last = first + kPack<T>;
      const int own = (last < end ? last : end) - (first < begin ? begin : first);
      const int slot = first < begin ? 1 : 0;
      f(slot * block_threads() + team * of.width + place, static_cast<float>(rows * own));
    }
  }
}

template <class T, int kInputs>
GPU_DEVICE void begin_tile(const TileWalk& walk, const TileShare<T>& share,
                           const T* const (&in)[kInputs], int32_t tile, Words* to) {
  const int64_t first = int64_t{tile - share.held.tile} * walk.of.width * kPack<T>;
  if (tile < walk.of.tiles) {
    share.held.for_each(walk.of, [&](int k, int64_t offset) {
#pragma unroll
      for (int i = 0; i < kInputs; ++i) {
        copy_16_later(to + i * walk.places + k * block_threads(), in[i] + first + offset);
      }
    });
  }
  close_copies();
}

GPU_DEVICE void wait_tile(const TileWalk& walk) {
  if (walk.ahead != 0) {
    wait_copies<1>();
  } else {
    wait_copies<0>();
  }
}

// Each result of a tile, y = f(j, elements of each input), and copies of the tile `next` to where
// those were.
template <class T, int kInputs, class F>
GPU_DEVICE void store_tile(const TileWalk& walk, const TileShare<T>& share,
                           const RunPointers<T, kInputs>& p, int32_t tile, int32_t next,
                           Words* here, F f) {
  const int64_t row = int64_t{walk.of.width} * kPack<T>;
  T* const out = p.out + (tile - share.held.tile) * row;
  const int64_t later = (next - share.held.tile) * row;
  const bool more = next < walk.of.tiles;
  share.held.for_each(walk.of, [&](int k, int64_t offset) {
    float x[kInputs][kPack<T>], y[kPack<T>];
#pragma unroll
    for (int i = 0; i < kInputs; ++i) {
      unpack<T>(here[i * walk.places + k * block_threads()], x[i]);
    }
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) y[j] = f(j, operands(x, j));
    store_words(out + offset, pack<T>(y));
    if (!more) return;
#pragma unroll
    for (int i = 0; i < kInputs; ++i) {
      copy_16_later(here + i * walk.places + k * block_threads(), p.in[i] + later + offset);
    }
  });
  close_copies();
}

// Each thread's moments of its channels to `parts`, [mean, low, squares][slots][threads]: around
// the mean of its first pack's, of which the squares are at most as many times those around the
// mean of all as it has packs, and one.
template <class T>
GPU_DEVICE void store_tile_moments(const TileShare<T>& share, const Words* mine, float* parts) {
  if (share.held.count == 0) return;
  float x[kPack<T>], centers[2], center[kPack<T>], deviations[kPack<T>] = {},
                                                   squares[kPack<T>] = {};
  unpack<T>(mine[0], x);
  share.fold(x, centers);
  centers[0] *= reciprocal_fast(share.elements(0));
  if (share.split < kPack<T>) centers[1] *= reciprocal_fast(share.elements(1));
#pragma unroll
  for (int j = 0; j < kPack<T>; ++j) center[j] = j < share.split ? centers[0] : centers[1];
#pragma unroll 2
  for (int32_t k = 0; k < share.held.count; ++k) {
    unpack<T>(mine[k * block_threads()], x);
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) {
      const float d = x[j] - center[j];
      deviations[j] += d;
      squares[j] = fmaf(d, d, squares[j]);
    }
  }
  float sums[2], both[2];
  share.fold(deviations, sums);
  share.fold(squares, both);
#pragma unroll
  for (int slot = 0; slot < 2; ++slot) {
    const float count = static_cast<float>(share.held.count) * share.elements(slot);
    const Welford w = moved(centers[slot], sums[slot], both[slot], count);
    const int at = slot * block_threads() + thread_id();
    parts[at] = w.mean;
    parts[2 * block_threads() + at] = w.low;
    parts[4 * block_threads() + at] = w.square;
  }
}

// Of a channel; by a whole wave, each lane of which gets the same bits.
template <class T>
GPU_DEVICE Welford moments_of_tile(const HeldTiles& of, int channel, const float* parts) {
  const int first = channel * of.inner / kPack<T>;
  const int slot = first * kPack<T> < channel * of.inner ? 1 : 0;
  const float center = parts[slot * block_threads() + first];
  float sums[2] = {};
  for_each_part<T>(of, channel, [&](int at, float count) {
    const float d = (parts[at] - center) + parts[2 * block_threads() + at];
    sums[0] = fmaf(d, count, sums[0]);
    sums[1] += fmaf(d * count, d, parts[4 * block_threads() + at]);
  });
  sum_lanes(sums, wave_size());
  return moved(center, sums[0], sums[1], static_cast<float>(of.rows) * of.inner);
}

template <class T>
GPU_KERNEL(kTileThreads, 2)
tile_forward(TileWalk walk, BatchCall call, RunPointers<T, 1> p) {
  await_earlier();
  GPU_DYNAMIC_SHARED(Words, held);
  const HeldTiles& of = walk.of;
  auto* const parts = reinterpret_cast<float*>(held + walk.places + walk.ahead);
  float* const lines = parts + 6 * block_threads();
  const TileShare<T> share(of);
  const auto step = static_cast<int32_t>(grid_blocks());
  int32_t tile = share.held.tile;
  begin_tile<T, 1>(walk, share, p.in, tile, held + thread_id());
  if (walk.ahead != 0) {
    begin_tile<T, 1>(walk, share, p.in, tile + step, held + thread_id() + walk.ahead);
  }
  const int waves = block_threads() / wave_size(), lane = thread_id() % wave_size();
  for (int turn = 0; tile < of.tiles; ++turn, tile += step) {
    Words* const here = held + thread_id() + turn % 2 * walk.ahead;
    wait_tile(walk);
    store_tile_moments<T>(share, here, parts);
    barrier();
    for (int c = thread_id() / wave_size(); c < of.channels; c += waves) {
      const int32_t channel = tile * of.channels + c;
      const ChannelAffine affine = affine_of<T>(call, channel);
      const Welford w = moments_of_tile<T>(of, c, parts);
      if (lane != 0) continue;
      const ChannelMoments moments = {w.mean, 0, w.low, w.square};
      const Line line = line_of(call, affine, moments);
      lines[c] = line.center;
      lines[of.channels + c] = line.scale;
      lines[2 * of.channels + c] = line.shift;
      store_moments<T>(call, channel, moments);
    }
    barrier();
    float center[kPack<T>], scale[kPack<T>], shift[kPack<T>];
    share.gather(lines, center);
    share.gather(lines + of.channels, scale);
    share.gather(lines + 2 * of.channels, shift);
    store_tile(walk, share, p, tile, tile + (walk.ahead != 0 ? 2 : 1) * step, here,
               [&](int j, const Operands<1>& x) { return Line{center[j], scale[j], shift[j]}(x); });
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_BATCH_NORM_TILES_H_
