// Which kernels of layer_norm_backward a call takes, in how many blocks, and their workspace.
#ifndef POLYOPS_GPU_LAYER_NORM_BACKWARD_LAUNCH_H_
#define POLYOPS_GPU_LAYER_NORM_BACKWARD_LAUNCH_H_

#include "backward.h"
#include "backward_long.h"
#include "backward_strided.h"

namespace polyops::gpu {
namespace {

using BackwardArgs = polyops_layer_norm_backward_args;

// Blocks that walk rows, one per multiprocessor: as many as the largest chip of today has, and more
// would not be used. scratch_bytes() cannot see the device.
constexpr int64_t kMostWalkers = 160;
// Blocks and the rows each has at least, where they are tiles of columns and chunks of rows.
constexpr int64_t kTileBlocks = 512;
constexpr int64_t kLeastTileRows = 16;

inline bool wants_sums(const BackwardArgs& a) {
  return polyops_is_present(&a.grad_weight) || polyops_is_present(&a.grad_bias);
}

inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

struct Tiling {
  int64_t tiles, chunks;
};
inline Tiling tile(const Shape& shape, int64_t columns) {
  const int64_t tiles = round_up(shape.n, columns) / columns;
  const int64_t most = round_up(shape.rows, kLeastTileRows) / kLeastTileRows;
  const int64_t chunks = smaller(most, kTileBlocks / tiles);
  return {tiles, chunks < 1 ? 1 : chunks};
}

inline int64_t pack_elements(int32_t dtype) { return 16 / polyops_dtype_size(dtype); }
inline int64_t sums_stride(const Shape& shape) { return round_up(shape.n, 4); }

// Packs of a row at most that backward_rows() takes; not aligned ones have one more.
constexpr int64_t kMostBackwardPacks = 4 * kBackwardThreads;
inline bool is_long(const BackwardArgs& a, const Shape& shape) {
  return packs_of(shape.n, static_cast<int>(pack_elements(a.src.dtype)), false) >
         kMostBackwardPacks;
}

inline size_t sums_bytes(const Shape& shape, int64_t rows) {
  return static_cast<size_t>(rows * 2 * sums_stride(shape)) * sizeof(float);
}

inline size_t backward_scratch(const void* p, int32_t) {
  const auto& a = *static_cast<const BackwardArgs*>(p);
  if (!wants_sums(a)) return 0;
  const Shape shape = shape_of(a.src, a.normalized_rank);
  const int64_t columns = kTileThreads * pack_elements(a.src.dtype);
  return sums_bytes(
      shape, is_long(a, shape) ? tile(shape, columns).chunks : smaller(kMostWalkers, shape.rows));
}

inline size_t backward_strided_scratch(const void* p, int32_t) {
  const auto& a = *static_cast<const BackwardArgs*>(p);
  if (!wants_sums(a)) return 0;
  const Shape shape = shape_of(a.src, a.normalized_rank);
  return sums_bytes(shape, tile(shape, strided_threads(shape.n)).chunks);
}

// grad, src and grad_src, or src again where that is not wanted.
inline Space<3> backward_space(const BackwardArgs& a, int begin, int end) {
  const polyops_tensor* out = polyops_is_present(&a.grad_src) ? &a.grad_src : &a.src;
  return make_space<3>({&a.grad_dst, &a.src, out}, begin, end);
}

template <class T, class P>
BackwardCall<T, P> make_backward(const BackwardArgs& a, const Shape& shape,
                                 const polyops_context* ctx) {
  return {static_cast<const T*>(a.grad_dst.data),
          static_cast<const T*>(a.src.data),
          polyops_is_present(&a.grad_src) ? static_cast<T*>(a.grad_src.data) : nullptr,
          parameters<P>(a.weight),
          values_of(a.mean),
          values_of(a.rstd),
          wants_sums(a) ? static_cast<float*>(ctx->scratch) : nullptr,
          sums_stride(shape),
          backward_space(a, 0, shape.first_normalized),
          static_cast<int32_t>(shape.rows),
          static_cast<int32_t>(shape.n),
          1 / static_cast<float>(shape.n)};
}

template <class T, class P>
int launch_sums(const BackwardCall<T, P>& call, const BackwardArgs& a, int64_t blocks,
                const polyops_context* ctx) {
  if (call.sums == nullptr) return POLYOPS_OK;
  const int64_t tiles = round_up(call.n, kSumColumns) / kSumColumns;
  int threads = 2 * kSumColumns;
  while (threads < blocks * kSumColumns / 4 && threads < kSumThreads) threads *= 2;
  return launch(column_sums<T>, {2 * tiles, threads}, ctx, call.sums, call.stride,
                static_cast<int32_t>(blocks), values_of(a.grad_weight), values_of(a.grad_bias),
                call.n);
}

// Packs per lane: as for 32 registers of sums, 64 for the longest rows of 16 bits.
template <class T, class P>
int launch_walk(const BackwardCall<T, P>& call, const BackwardArgs& a, const polyops_context* ctx) {
  const bool out = call.grad_src != nullptr;
  const bool aligned = rows_aligned(call.rows, out ? 2 : 0, out ? a.grad_src : a.grad_dst);
  const int64_t packs = packs_of(call.n, kPack<T>, aligned);
  const auto launch_as = [&](auto kernel, int kPacks) {
    const int team = team_of(packs, kPacks);
    const int64_t walkers = smaller(multiprocessors(ctx), kMostWalkers);
    const int threads =
        threads_of(round_up(call.row_count, walkers) / walkers, team, kBackwardThreads);
    const int teams = threads / team;
    int64_t blocks = smaller(walkers, round_up(call.row_count, teams) / teams);
    // Rows of a team that are cut alike: every eighth is at least.
    if (!aligned && blocks > kPack<T>) blocks -= blocks % kPack<T>;
    const int status = launch(kernel, {blocks, threads}, ctx, call, team);
    return status != POLYOPS_OK ? status : launch_sums(call, a, blocks, ctx);
  };
  if (packs <= 4) return launch_as(backward_rows<T, P, 1>, 1);
  if (packs <= 2 * kBackwardThreads) return launch_as(backward_rows<T, P, 2>, 2);
  return launch_as(backward_rows<T, P, 4>, 4);
}

template <class T, class P>
int launch_long(const BackwardCall<T, P>& call, const BackwardArgs& a, const Shape& shape,
                const polyops_context* ctx) {
  if (call.grad_src != nullptr) {
    const int status = launch(backward_long<T, P>, {shape.rows, kBackwardThreads}, ctx, call);
    if (status != POLYOPS_OK) return status;
  }
  if (call.sums == nullptr) return POLYOPS_OK;
  const Tiling t = tile(shape, kTileThreads * kPack<T>);
  const int status = launch(backward_columns<T, P>, {t.tiles * t.chunks, kTileThreads}, ctx, call,
                            static_cast<int32_t>(t.tiles), static_cast<int32_t>(t.chunks));
  return status != POLYOPS_OK ? status : launch_sums(call, a, t.chunks, ctx);
}

inline int backward_contiguous(const void* p, const polyops_context* ctx) {
  const auto& a = *static_cast<const BackwardArgs*>(p);
  const Shape shape = shape_of(a.src, a.normalized_rank);
  return with_types(a.src.dtype, a.weight, [&]<class T, class P>() {
    const BackwardCall<T, P> call = make_backward<T, P>(a, shape, ctx);
    return is_long(a, shape) ? launch_long(call, a, shape, ctx) : launch_walk(call, a, ctx);
  });
}

inline int backward_anywhere(const void* p, const polyops_context* ctx) {
  const auto& a = *static_cast<const BackwardArgs*>(p);
  const Shape shape = shape_of(a.src, a.normalized_rank);
  const int threads = strided_threads(shape.n);
  const Space<3> elements = backward_space(a, shape.first_normalized, a.src.rank);
  return with_types(a.src.dtype, a.weight, [&]<class T, class P>() {
    const BackwardCall<T, P> call = make_backward<T, P>(a, shape, ctx);
    if (call.grad_src != nullptr) {
      const int status = launch(backward_strided<T, P>, {shape.rows, threads}, ctx, call, elements);
      if (status != POLYOPS_OK) return status;
    }
    if (call.sums == nullptr) return static_cast<int>(POLYOPS_OK);
    const Tiling t = tile(shape, threads);
    const int status =
        launch(backward_strided_columns<T, P>, {t.tiles * t.chunks, threads}, ctx, call, elements,
               static_cast<int32_t>(t.tiles), static_cast<int32_t>(t.chunks));
    return status != POLYOPS_OK ? status : launch_sums(call, a, t.chunks, ctx);
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_BACKWARD_LAUNCH_H_
