// Tiles of columns that a cluster holds in registers (columns.h), one after the other: while one is
// merged and stored the next one comes into shared memory, each pack to where its thread has it.
#ifndef POLYOPS_GPU_SOFTMAX_COLUMNS_AHEAD_H_
#define POLYOPS_GPU_SOFTMAX_COLUMNS_AHEAD_H_

#include "columns_kernels.h"

namespace polyops::gpu {
namespace {

constexpr int kAheadThreads = 256;
constexpr int kAheadBlocks = 4;  // of a multiprocessor
// Parts of its waves and of its cluster's blocks of at most 64 columns, and what they come to.
constexpr int kAheadColumns = 64, kAheadParts = (kAheadThreads / 32 + 16) * kAheadColumns;

// A thread's pieces of a tile on their way, of one tensor.
template <class T, int kWide, int kRows, int N>
GPU_DEVICE void rows_later(const T* column, int64_t stride, const Place<N>& place,
                           Piece<T, kWide>* to) {
  const int row = place.begin + place.first, rows = place.inside ? place.end - row : 0;
  const T* p = column + row * stride;
#pragma unroll
  for (int k = 0; k < kRows; ++k) {
    if (k * place.down >= rows) break;
    if constexpr (sizeof(*to) == 16) {
      copy_16_later(to + k * kAheadThreads, p);
    } else {
      copy_8_later(to + k * kAheadThreads, p);
    }
    p += place.down * stride;
  }
}

template <class T, int kWide, int kRows, int N>
GPU_DEVICE void take_rows(const Place<N>& place, const Piece<T, kWide>* from, float fill,
                          Piece<T, kWide> (&x)[kRows]) {
  const int row = place.begin + place.first, rows = place.inside ? place.end - row : 0;
#pragma unroll
  for (int k = 0; k < kRows; ++k) {
    x[k].fill(fill);
    if (k * place.down < rows) x[k] = from[k * kAheadThreads];
  }
}

// Where the next tile of this cluster is, and whether it has one.
struct AheadTurn {
  uint32_t tile, step, count;

  GPU_DEVICE explicit AheadTurn(uint32_t tiles) : count(tiles) {
    const auto blocks = static_cast<uint32_t>(cluster_blocks());
    tile = static_cast<uint32_t>(block_id()) / blocks;
    step = static_cast<uint32_t>(grid_blocks()) / blocks;
  }
  GPU_DEVICE bool next() {
    if (count - tile <= step) return false;
    tile += step;
    return true;
  }
};

template <class Op, class T, class U>
GPU_KERNEL(kAheadThreads, kAheadBlocks)
softmax_columns_ahead(ForwardTiles<T, U> p, uint32_t tiles) {
  using P = Piece<T, 4>;
  constexpr int kRows = kColumnRows<T, 4>;
  GPU_SHARED(MaxSum, shared, kAheadParts + kAheadColumns);
  GPU_DYNAMIC_SHARED(P, ahead);
  P* const mine = ahead + thread_id();
  AheadTurn turn(tiles);
  Place<2> place(p.tiles, 4, turn.tile);
  rows_later<T, 4, kRows>(p.src + place.at[0], p.tiles.strides[0], place, mine);
  close_copies();
  for (bool more = true; more;) {
    cluster_arrive();
    const Place<2> here = place;
    P x[kRows];
    wait_copies<0>();
    take_rows(here, mine, kMinusInf, x);
    more = turn.next();
    if (more) {
      place = Place<2>(p.tiles, 4, turn.tile);
      rows_later<T, 4, kRows>(p.src + place.at[0], p.tiles.strides[0], place, mine);
      close_copies();
    }
    MaxSum sum[4];
    absorb_rows(x, here.down, here.end - here.begin, sum);
    merge_columns(here, cluster_blocks(), shared, shared + kAheadParts, sum);
    using Normalize = typename Op::template Normalize<U>;
    Normalize normalize[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) normalize[j] = Normalize(sum[j]);
    store_columns(normalize, x, here, here.begin, p.dst + here.at[1], p.tiles.strides[1]);
  }
}

template <class Op, class T, class U>
GPU_KERNEL(kAheadThreads, kAheadBlocks)
softmax_backward_columns_ahead(BackwardTiles<T, U> p, uint32_t tiles) {
  using P = Piece<T, 4>;
  constexpr int kRows = kGradientRows<T, 4>;
  GPU_SHARED(float, shared, kAheadParts + kAheadColumns);
  GPU_DYNAMIC_SHARED(P, ahead);
  P* const grads = ahead + thread_id();
  P* const ys = grads + kRows * kAheadThreads;
  AheadTurn turn(tiles);
  Place<3> place(p.tiles, 4, turn.tile);
  rows_later<T, 4, kRows>(p.grad + place.at[0], p.tiles.strides[0], place, grads);
  rows_later<T, 4, kRows>(p.y + place.at[1], p.tiles.strides[1], place, ys);
  close_copies();
  for (bool more = true; more;) {
    cluster_arrive();
    const Place<3> here = place;
    P grad[kRows], y[kRows];
    wait_copies<0>();
    take_rows(here, grads, 0.0f, grad);
    take_rows(here, ys, 0.0f, y);
    more = turn.next();
    if (more) {
      place = Place<3>(p.tiles, 4, turn.tile);
      rows_later<T, 4, kRows>(p.grad + place.at[0], p.tiles.strides[0], place, grads);
      rows_later<T, 4, kRows>(p.y + place.at[1], p.tiles.strides[1], place, ys);
      close_copies();
    }
    float sum[4] = {};
    add_terms<Op>(grad, y, sum);
    merge_columns(here, cluster_blocks(), shared, shared + kAheadParts, sum);
    store_gradients<Op>(grad, y, sum, here, here.begin, p.out + here.at[2], p.tiles.strides[2]);
  }
}

inline uint32_t tile_count(const LaunchShape& shape) {
  return static_cast<uint32_t>(shape.blocks / shape.cluster);
}

// Clusters that go on from tile to tile, rather than one to each; 0 blocks: there are too few.
template <class Kernel>
LaunchShape ahead_shape(Kernel kernel, LaunchShape shape, const ColumnNeeds& needs,
                        const polyops_context* ctx) {
  if (shape.cluster == 1 || shape.threads != kAheadThreads) return {};
  shape.shared_bytes = size_t{kAheadThreads} * needs.rows * needs.bytes;
  const int64_t clusters = clusters_at_a_time(kernel, shape, ctx);
  if (clusters >= tile_count(shape)) return {};
  shape.blocks = clusters * shape.cluster;
  return shape;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_SOFTMAX_COLUMNS_AHEAD_H_
