// Which gradients backward_tiles() takes, and in how many blocks.
#ifndef POLYOPS_GPU_LAYER_NORM_BACKWARD_LAUNCH_TILES_H_
#define POLYOPS_GPU_LAYER_NORM_BACKWARD_LAUNCH_TILES_H_

#include "backward_launch.h"
#include "backward_tiles.h"

namespace polyops::gpu {
namespace {

constexpr int64_t kMostTileColumns = 1024;                // more fit no multiprocessor
constexpr int64_t kMostTileWalkers = 160 * kTilesBlocks;  // see kMostWalkers
constexpr int kMostColumnGroups = 8;

// Whether src lies across, and the others row by row, as 16 bytes at a time want it: whatever the
// memory is. Elements of 16 bits are copied first: 32x3136x96 took 34 us so, by tiles 36.
template <class Norm, class T>
bool lies_across(const typename Norm::BackwardArgs& a, const Shape& shape) {
  if constexpr (sizeof(T) == 2) return false;
  constexpr int64_t kAcross = kWideWords * kTileEach<T>;
  const auto elements = [&](const polyops_tensor& t) {
    return make_walk<1>({&t}, Order::kDimensions, shape.first_normalized, t.rank);
  };
  const bool out = polyops_is_present(&a.grad_src);
  const Walk<1> across = elements(a.src);
  const Walk<3> rows = backward_space(a, 0, shape.first_normalized);
  bool lies = shape.n % kPack<T> == 0 && shape.n <= kMostTileColumns && across.rank == 1 &&
              across.strides[0][0] % kAcross == 0 && rows.strides[1][0] == 1 &&
              rows.sizes[0] % kAcross == 0 && rows.sizes[0] >= kAcrossLanes &&
              elements(a.grad_dst).is_run() && (!out || elements(a.grad_src).is_run());
  for (int d = 0; d < rows.rank; ++d) {
    lies = lies && (d == 0 || rows.strides[1][d] % kAcross == 0) &&
           rows.strides[0][d] % kPack<T> == 0 && (!out || rows.strides[2][d] % kPack<T> == 0);
  }
  return lies;
}

template <class Norm>
size_t backward_tiles_scratch(const typename Norm::BackwardArgs& a) {
  const Shape shape = shape_of(a.src, a.normalized_rank);
  bool takes = false;
  with_types<Norm>(a.src.dtype, a.weight, [&]<class T, class P>() {
    takes = wants_sums<Norm>(a) && lies_across<Norm, T>(a, shape);
    return POLYOPS_OK;
  });
  return takes ? sums_bytes<Norm>(shape, kMostTileWalkers) : 0;
}

template <class Norm, class T, class P>
int launch_tiles_of(const typename Norm::BackwardArgs& a, const polyops_context* ctx) {
  using OfTile = Tile<T, kTileEach<T>>;
  const Shape shape = shape_of(a.src, a.normalized_rank);
  if (!lies_across<Norm, T>(a, shape)) return POLYOPS_DECLINED;
  const BackwardCall<Norm, T, P> call = make_backward<Norm, T, P>(a, shape, ctx);
  const auto aligned = [](const void* p, size_t to) {
    return reinterpret_cast<uintptr_t>(p) % to == 0;
  };
  int groups = static_cast<int>(kTilesThreads / shape.n);
  groups = groups < 1 ? 1 : groups > kMostColumnGroups ? kMostColumnGroups : groups;
  const int64_t of_run = (call.rows.sizes[0] - 1) / OfTile::kRows + 1;
  const int64_t all = of_run * (shape.rows / call.rows.sizes[0]);
  const int64_t bytes = 16 + shape.n * (OfTile::kPitch * 4 + OfTile::kRows * int64_t{sizeof(T)} +
                                        groups * Norm::kParameters * int64_t{sizeof(float)});
  const int64_t each =
      smaller(kTilesBlocks, blocks_that_share(ctx, bytes + OfTile::kRows * sizeof(TileRow)));
  const bool takes = aligned(call.grad, 16) && aligned(call.src, 16) &&
                     aligned(call.grad_src, 16) && aligned(call.weight, kWideWords * sizeof(P)) &&
                     all * 2 >= multiprocessors(ctx) && each > 0;
  if (!takes) return POLYOPS_DECLINED;
  const int64_t slots = smaller(multiprocessors(ctx) * each, kMostTileWalkers);
  const int64_t turns = (all + slots - 1) / slots, blocks = (all + turns - 1) / turns;
  const Tiles tiles = {
      static_cast<int32_t>(call.rows.sizes[0]),
      static_cast<int32_t>(of_run),
      make_walk<1>({&a.src}, Order::kDimensions, shape.first_normalized, a.src.rank).strides[0][0],
      0,
      true,
      true};
  const int status =
      launch(backward_tiles<Norm, T, P>, {blocks, kTilesThreads, static_cast<size_t>(bytes)}, ctx,
             call, tiles, static_cast<int32_t>(all), groups);
  return status != POLYOPS_OK ? status : launch_sums(call, a, blocks, ctx);
}

// POLYOPS_DECLINED where others do better, or memory is not aligned.
template <class Norm>
int launch_backward_tiles(const typename Norm::BackwardArgs& a, const polyops_context* ctx) {
  return with_types<Norm>(a.src.dtype, a.weight, [&]<class T, class P>() {
    if constexpr (sizeof(T) == 4) return launch_tiles_of<Norm, T, P>(a, ctx);
    return static_cast<int>(POLYOPS_DECLINED);
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_BACKWARD_LAUNCH_TILES_H_
