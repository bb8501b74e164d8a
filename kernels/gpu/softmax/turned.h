// Softmax along a dimension beside one of unit stride, into results that have unit stride along it,
// as of a transposed tensor: tiles of columns as in columns.h, whose results wait in shared memory,
// turned over, and leave row by row. (Written as they come they are parts of sectors.) A thread's
// rows lie next to each other, so that of its columns it has whole packs of results.
#ifndef POLYOPS_GPU_SOFTMAX_TURNED_H_
#define POLYOPS_GPU_SOFTMAX_TURNED_H_

#include "columns_kernels.h"
#include "layout.h"
#include "op.h"
#include "row.h"

namespace polyops::gpu {
namespace {

constexpr int kTurnedWide = 4;                                  // columns to a thread
constexpr int kMostTurned = 1024;                               // rows, all held in registers
constexpr int64_t kTurnedBytes = 72 << 10;                      // of a tile of results, at most
constexpr int64_t kMostTurnedParts = 16 * 64 * sizeof(MaxSum);  // waves, columns

template <class T, class U>
struct TurnedTiles {
  const T* src;
  U* dst;
  Tiles<2> tiles;  // of src
  int64_t apart;   // elements from where a column goes to where the next one does
  bool whole;      // results: rows of them begin and end a pack
  int each;        // rows of a thread, whole packs of results
  int pitch;       // elements of a column in shared memory, whole packs
  int team_log2;   // lanes that store one
};

// n results that begin a pack in shared memory, to where they need not, by lanes of which this is
// one.
template <class U>
GPU_DEVICE void store_turned(U* to, int n, const U* from, int lanes, int lane) {
  for (int at = lane * kPack<U> - misplaced(to); at < n; at += lanes * kPack<U>) {
    if (at >= 0 && at + kPack<U> <= n) {
      float x[kPack<U>];
#pragma unroll
      for (int j = 0; j < kPack<U>; ++j) x[j] = widen(from[at + j]);
      store_words(to + at, pack<U>(x));
      continue;
    }
#pragma unroll 1
    for (int e = at < 0 ? 0 : at; e < at + kPack<U> && e < n; ++e) to[e] = from[e];
  }
}

template <class Op, class T, class U>
GPU_KERNEL(kColumnThreads)
softmax_turned(TurnedTiles<T, U> p) {
  await_earlier();
  constexpr int kWide = kTurnedWide, kRows = kColumnRows<T, kWide>;
  GPU_DYNAMIC_SHARED(U, tile);
  MaxSum* const shared = parts_behind<MaxSum>(tile, p.tiles);
  const Place<2> place(p.tiles);
  int64_t at[2];
  place.find(p.tiles, kWide, at);
  const int row = place.first * p.each, left = place.inside ? p.tiles.n - row : 0;
  const int mine = left < p.each ? left : p.each, live = left > 0 ? p.each : 0;
  Piece<T, kWide> x[kRows];
  MaxSum sum[kWide];
  load_rows(p.src + at[0] + row * p.tiles.strides[0], p.tiles.strides[0], mine, live, kMinusInf, x);
  absorb_rows(x, live, sum);
  using Normalize = typename Op::template Normalize<U>;
  merge_columns(place, 1, shared, nullptr, sum, parts_of_row<Normalize>);

#pragma unroll
  for (int j = 0; j < kWide; ++j) {
    const auto normalize = Normalize::of_parts(sum[j]);
    // A thread's columns lie apart in shared memory, its neighbours' do not.
    U* const to = tile + (j * place.across + place.group) * p.pitch + row;
#pragma unroll
    for (int k = 0; k < kRows; k += kPack<U>) {
      if (k >= mine) break;
      float results[kPack<U>];
#pragma unroll
      for (int i = 0; i < kPack<U>; ++i) {
        float v[kWide];
        x[k + i].get(v);
        results[i] = normalize(v[j]);
      }
      *reinterpret_cast<Words*>(to + k) = pack<U>(results);
    }
  }
  barrier();
  // Tiles' columns of the same j, a team after the other.
  const int lanes = 1 << p.team_log2, lane = thread_id() & (lanes - 1);
  const int teams = block_threads() >> p.team_log2, team = thread_id() >> p.team_log2;
  const uint32_t first = place.column - static_cast<uint32_t>(place.group);
  const int beyond = static_cast<int>(p.tiles.groups - first);
  const int groups = beyond < place.across ? beyond : place.across;
  // A place has columns side by side.
  U* const rows = p.dst + (at[1] - int64_t{place.column} * kWide) + first * kWide * p.apart;
  const int next = teams > place.across ? teams >> p.tiles.across_log2 : 1;
  const int first_j = team >> p.tiles.across_log2, step = next * place.across * p.pitch;
  const int64_t apart = next * p.apart;
  for (int group = team & (place.across - 1); group < groups; group += teams) {
    const U* from = tile + (first_j * place.across + group) * p.pitch;
    U* to = rows + (group * kWide + first_j) * p.apart;
    if (p.whole) {  // here, too, they begin and end a pack
      for (int at = lane * kPack<U>; at < p.tiles.n; at += lanes * kPack<U>) {
        Words results[kWide];
        const U* take = from + at;
#pragma unroll
        for (int k = 0; k < kWide; ++k, take += step) {
          if (first_j + k * next < kWide) results[k] = load_words(take);
        }
        U* put = to + at;
#pragma unroll
        for (int k = 0; k < kWide; ++k, put += apart) {
          if (first_j + k * next < kWide) store_words(put, results[k]);
        }
      }
      continue;
    }
    for (int j = first_j; j < kWide; j += next, from += step, to += apart) {
      store_turned(to, p.tiles.n, from, lanes, lane);
    }
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
  const int packs = (n + kPack<U> - 1) / kPack<U>;
  p->pitch = (packs | 1) * kPack<U>;  // columns in banks of their own
  int down_log2 = 0, across_log2 = kWidest;
  while ((kRows << down_log2) < n) ++down_log2;
  const int64_t room = most_shared(ctx) - kMostTurnedParts;
  const int64_t most = room < kTurnedBytes ? room : kTurnedBytes;
  const auto bytes = [&] {
    return (int64_t{kTurnedWide} << across_log2) * p->pitch * static_cast<int64_t>(sizeof(U));
  };
  while (across_log2 + down_log2 > 9 || bytes() > most) --across_log2;
  if (across_log2 + down_log2 < 6) across_log2 = 6 - down_log2;  // whole waves
  p->each = (((packs - 1) >> down_log2) + 1) * kPack<U>;
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
  tiles.parts_at = static_cast<int>(bytes());
  tiles.tiles = Division(static_cast<uint32_t>((groups + (1 << across_log2) - 1) >> across_log2));
  p->apart = turned.apart;
  p->whole = n % kPack<U> == 0 && p->apart % kPack<U> == 0 &&
             rows_aligned(tiles.outer, 1, p->dst, kPack<U>);
  const int64_t parts =
      parts_of(threads, kTurnedWide << across_log2, 1) * static_cast<int64_t>(sizeof(MaxSum));
  return {tiles.outer.numel() * tiles.tiles.divisor, threads, static_cast<size_t>(bytes() + parts)};
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_SOFTMAX_TURNED_H_
