// Channels whose elements find room in the shared memory of a cluster of blocks, so that memory is
// read once: how tiles of such channels lie, and sums over each of them.
//
// A tensor is rows of `stride` elements: samples of planes, or pixels of channels next to each
// other. A tile is so many packs next to each other of every row, several whole channels (of one:
// walk.h). A thread keeps to its place in the rows, so that it has the same channels in all of
// them.
#ifndef POLYOPS_GPU_BATCH_NORM_HELD_H_
#define POLYOPS_GPU_BATCH_NORM_HELD_H_

#include "channel_norm/apply.h"
#include "division.h"
#include "reduce.h"

namespace polyops::gpu {
namespace {

constexpr int kHeldThreads = 1024;  // at most: 64 registers

struct HeldTiles {
  int64_t stride, step;     // from a row to the next, from a thread's pack to its next
  int32_t rows, width;      // of a tile; packs of its row
  int32_t tiles, channels;  // of a tile
  int32_t inner;            // elements of a channel in a row
  Division by_width, by_inner;
  int32_t blocks, threads;        // of a cluster, of a block
  int32_t part;                   // rows of a block
  int32_t packs;                  // of a thread and a tensor, at most
  int32_t parts, lines_at, ends;  // floats of store_parts(), before the lines, of all
};

// What a thread takes: the pack at its place of rows `first`, first + step, ...
template <class T>
struct HeldShare {
  int32_t tile, place;
  int64_t offset;  // of the first pack
  int32_t count;

  GPU_DEVICE explicit HeldShare(const HeldTiles& of)
      : tile(static_cast<int32_t>(block_id()) / of.blocks) {
    auto row = static_cast<uint32_t>(thread_id());
    const int32_t begin = cluster_rank() * of.part;
    const int32_t end = of.rows - begin < of.part ? of.rows : begin + of.part;
    place = static_cast<int32_t>(take_remainder(of.by_width, &row));
    const int32_t step = block_threads() / of.width;
    const int32_t first = begin + static_cast<int32_t>(row);
    const bool idle = static_cast<int32_t>(row) >= step;
    count = idle || first >= end ? 0 : (end - first + step - 1) / step;
    offset = first * of.stride + (int64_t{tile} * of.width + place) * kPack<T>;
  }
  // Calls f(k, offset of the k-th pack).
  template <class F>
  GPU_DEVICE void for_each(const HeldTiles& of, F f) const {
    int64_t to = offset;
#pragma unroll 2
    for (int k = 0; k < count; ++k) {
      f(k, to);
      to += of.step;
    }
  }
  // Of the tile, that of the j-th element of each pack.
  GPU_DEVICE int32_t channel(const HeldTiles& of, int j) const {
    return static_cast<int32_t>(of.by_inner.quotient(place * kPack<T> + j));
  }
};

// Of each element's channel, from an array of the tile's.
template <class T>
GPU_DEVICE void gather(const HeldTiles& of, const HeldShare<T>& share, const float* from,
                       float (&x)[kPack<T>]) {
#pragma unroll
  for (int j = 0; j < kPack<T>; ++j) x[j] = from[share.channel(of, j)];
}

// Threads of which those in the same place add up by shuffles, where channels lie next to each
// other; the others take a row together.
GPU_DEVICE int held_team(const HeldTiles& of) {
  return of.inner == 1 && of.width < wave_size() ? wave_size() : of.width;
}

// Each thread's sums by element of a pack go to `parts`, [kValues][teams][elements of a row].
template <int kValues, int kCount>
GPU_DEVICE void store_parts(const HeldTiles& of, float (&x)[kValues][kCount], float* parts) {
  const int team = held_team(of), teams = block_threads() / team;
  if (team > of.width) {
    for (int mask = of.width; mask < wave_size(); mask *= 2) {
#pragma unroll
      for (int v = 0; v < kValues; ++v) {
#pragma unroll
        for (int j = 0; j < kCount; ++j) x[v][j] += shuffle_xor(x[v][j], mask);
      }
    }
  }
  const int mine = thread_id() / team, place = thread_id() - mine * team;
  if (mine >= teams || place >= of.width) return;
#pragma unroll
  for (int v = 0; v < kValues; ++v) {
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      parts[((v * teams + mine) * of.width + place) * kCount + j] = x[v][j];
    }
  }
}

// To a block of the cluster, which may be this one alone and then is not launched as a cluster.
GPU_DEVICE void send(const HeldTiles& of, float* place, int rank, float x) {
  if (of.blocks == 1) {
    *place = x;
  } else {
    cluster_send(place, rank, x);
  }
}

// What the block has of each channel goes into all blocks' slots, [blocks][kValues][channels]; it
// is there after the next cluster_barrier(). Of parts, first each column is added up, then each
// channel.
template <int kValues, int kCount>
GPU_DEVICE void send_sums(const HeldTiles& of, float (&x)[kValues][kCount], float* parts,
                          float* slots) {
  static_assert(kValues <= 2);
  slots += cluster_rank() * kValues * of.channels;
  store_parts(of, x, parts);
  barrier();
  const int teams = block_threads() / held_team(of), row = of.width * kCount;
#pragma unroll
  for (int v = 0; v < kValues; ++v) {
    for (int column = thread_id(); column < row; column += block_threads()) {
      float* at = parts + v * teams * row + column;
      float sum = *at;
      for (int team = 1; team < teams; ++team) sum += at[team * row];
      *at = sum;
      if (of.inner != 1) continue;
      for (int rank = 0; rank < of.blocks; ++rank) {
        send(of, slots + v * of.channels + column, rank, sum);
      }
    }
  }
  if (of.inner == 1) return;
  barrier();
  const int waves = block_threads() / wave_size(), lane = thread_id() % wave_size();
  for (int i = thread_id() / wave_size(); i < kValues * of.channels; i += waves) {
    const int v = i < of.channels ? 0 : 1;
    const float* from = parts + v * teams * row + (i - v * of.channels) * of.inner;
    float sum = 0;
#pragma unroll 4
    for (int e = lane; e < of.inner; e += wave_size()) sum += from[e];
    sum = sum_of_lanes(sum, wave_size());
    if (lane < of.blocks) send(of, slots + i, lane, sum);
  }
}

// Of channel c of the tile, from all blocks.
template <int kValues>
GPU_DEVICE float sum_sent(const HeldTiles& of, const float* slots, int v, int c) {
  float sum = 0;
  for (int rank = 0; rank < of.blocks; ++rank) sum += slots[(rank * kValues + v) * of.channels + c];
  return sum;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_BATCH_NORM_HELD_H_
