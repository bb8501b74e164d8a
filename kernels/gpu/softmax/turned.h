// Softmax along a dimension beside one of unit stride, into results that have unit stride along it,
// as of a transposed tensor: tiles of columns as in columns.h, whose results wait in shared memory,
// turned over, and leave row by row. (Written as they come they are parts of sectors.)
#ifndef POLYOPS_GPU_SOFTMAX_TURNED_H_
#define POLYOPS_GPU_SOFTMAX_TURNED_H_

#include "columns_kernels.h"
#include "layout.h"
#include "op.h"
#include "row.h"
#include "span.h"

namespace polyops::gpu {
namespace {

constexpr int kTurnedWide = 4;              // columns to a thread
constexpr int kMostTurned = 1024;           // rows, all held in registers
constexpr int64_t kTurnedBytes = 72 << 10;  // of a tile of results, at most

template <class T, class U>
struct TurnedTiles {
  const T* src;
  U* dst;
  Tiles<2> tiles;  // of src
  int64_t apart;   // elements from where a column goes to where the next one does
  int width;       // columns
  int pitch;       // elements of one in shared memory, whole packs
  int team_log2;   // lanes that store one
};

// Where a tile's column is among those in shared memory: a thread's lie apart, its neighbours' not.
GPU_DEVICE int turned_slot(int column, int across_log2) {
  return ((column % kTurnedWide) << across_log2) + column / kTurnedWide;
}

template <class Op, class T, class U>
GPU_KERNEL(kColumnThreads)
softmax_turned(TurnedTiles<T, U> p) {
  constexpr int kWide = kTurnedWide, kRows = kColumnRows<T, kWide>;
  GPU_SHARED(MaxSum, shared, kMostParts);
  GPU_DYNAMIC_SHARED(U, tile);
  const Place<2> place(p.tiles, kWide);
  const int columns = kWide << p.tiles.across_log2;
  Piece<T, kWide> x[kRows];
  MaxSum sum[kWide];
  load_rows(p.src + place.at[0], p.tiles.strides[0], place, 0, kMinusInf, x);
  absorb_rows(x, place.live(0), sum);
  merge_columns(place, 1, shared, sum);

  const int first_column = static_cast<int>(place.column) * kWide - place.group * kWide;
  // A place has columns side by side.
  U* const rows = p.dst + (place.at[1] - int64_t{place.column} * kWide) + first_column * p.apart;
  if (place.inside) {
    using Normalize = typename Op::template Normalize<U>;
    Normalize normalize[kWide];
    U* to[kWide];
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      const int column = place.group * kWide + j;
      normalize[j] = Normalize(sum[j]);
      to[j] = tile + turned_slot(column, p.tiles.across_log2) * p.pitch +
              misplaced(rows + column * p.apart) + place.first;
    }
#pragma unroll
    for (int k = 0; k < kRows; ++k) {
      if (place.first + k * place.down >= p.tiles.n) break;
      float v[kWide];
      x[k].get(v);
#pragma unroll
      for (int j = 0; j < kWide; ++j) to[j][k * place.down] = narrow<U>(normalize[j](v[j]));
    }
  }
  barrier();
  const int lanes = 1 << p.team_log2, lane = thread_id() & (lanes - 1);
  const int left = p.width - first_column, count = left < columns ? left : columns;
  for (int c = thread_id() >> p.team_log2; c < count; c += block_threads() >> p.team_log2) {
    store_run(rows + c * p.apart, p.tiles.n, tile + turned_slot(c, p.tiles.across_log2) * p.pitch,
              lanes, lane);
  }
}

// Columns of src that are rows of dst; width 0: they are not, or not whole pieces.
struct TurnedColumns {
  Columns<2> columns = {};
  int64_t apart = 0;
};

inline TurnedColumns turned_columns(const polyops_tensor* const (&tensors)[2], int dim) {
  const polyops_tensor &src = *tensors[0], &dst = *tensors[1];
  constexpr int kSector = 32;
  TurnedColumns turned;
  if (src.sizes[dim] > kMostTurned || src.strides[dim] % kTurnedWide != 0) return turned;
  if (dst.strides[dim] != 1) return turned;
  Walk<2> walk = walk_rows(tensors, dim);
  for (int d = 0; d < walk.rank; ++d) {
    if (walk.strides[0][d] != 1 || walk.sizes[d] == 1) continue;
    const int64_t width = walk.sizes[d];
    turned.apart = walk.strides[1][d];
    remove_dimension(&walk, d);
    const bool whole = width % kTurnedWide == 0 &&
                       width * polyops_dtype_size(src.dtype) >= kSector &&
                       rows_aligned(walk, 0, src.data, kTurnedWide);
    turned.columns = {whole ? width : 0, walk};
    return turned;
  }
  return turned;
}

// Completes p, of which src and dst are known.
template <class T, class U>
LaunchShape choose_turned(const TurnedColumns& turned, int n, int64_t stride,
                          const polyops_context* ctx, TurnedTiles<T, U>* p) {
  constexpr int kRows = kColumnRows<T, kTurnedWide>;
  constexpr int kWidest = sizeof(T) == 4 ? 3 : 4;  // log2: 128 bytes
  const int packs = (n + 2 * kPack<U> - 2) / kPack<U>;
  p->pitch = (packs | 1) * kPack<U>;  // columns in banks of their own
  int down_log2 = 0, across_log2 = kWidest;
  while ((kRows << down_log2) < n) ++down_log2;
  const int64_t room = most_shared(ctx) - kMostParts * static_cast<int64_t>(sizeof(MaxSum));
  const int64_t most = room < kTurnedBytes ? room : kTurnedBytes;
  const auto bytes = [&] {
    return (int64_t{kTurnedWide} << across_log2) * p->pitch * static_cast<int64_t>(sizeof(U));
  };
  while (across_log2 + down_log2 > 9 || bytes() > most) --across_log2;
  if (across_log2 + down_log2 < 6) across_log2 = 6 - down_log2;  // whole waves
  while (p->team_log2 < 5 && (1 << p->team_log2) < packs) ++p->team_log2;
  const int64_t groups = turned.columns.width / kTurnedWide;
  const int threads = 1 << (across_log2 + down_log2);
  Tiles<2>& tiles = p->tiles;
  tiles.outer = turned.columns.outer;
  tiles.strides[0] = stride;
  tiles.n = tiles.share = n;
  tiles.groups = static_cast<uint32_t>(groups);
  tiles.across_log2 = across_log2;
  tiles.down_log2 = down_log2;
  tiles.tiles = Division(static_cast<uint32_t>((groups + (1 << across_log2) - 1) >> across_log2));
  p->apart = turned.apart;
  p->width = static_cast<int>(turned.columns.width);
  return {tiles.outer.numel() * tiles.tiles.divisor, threads, static_cast<size_t>(bytes())};
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_SOFTMAX_TURNED_H_
