// Which batches are walked over tile by tile.
#ifndef POLYOPS_GPU_BATCH_NORM_TILES_LAUNCH_H_
#define POLYOPS_GPU_BATCH_NORM_TILES_LAUNCH_H_

#include "channel_norm/walk_plan.h"
#include "held_launch.h"
#include "layout.h"
#include "tiles_backward.h"

namespace polyops::gpu {
namespace {

constexpr int64_t kTileThreadsWanted = 384;  // of a block, in whole rows

// Blocks; 0: no such tiles. `inputs`: tensors that are read.
inline int64_t divide_tiles(const BatchShape& shape, int64_t pack, int inputs,
                            const polyops_context* ctx, TileWalk* walk, size_t* bytes) {
  if (shape.last || shape.pixels < pack) return 0;
  const auto i32 = [](int64_t x) { return static_cast<int32_t>(x); };
  const int64_t width = held_width(shape, pack, 0), channels = width * pack / shape.pixels;
  if (channels < 2 || width > kTileThreads) return 0;
  const int64_t teams = width < kTileThreadsWanted ? kTileThreadsWanted / width : 1;
  const int64_t threads = quotient_up(teams * width, kWholeWaves) * kWholeWaves;
  const int64_t step = threads / width, tiles = shape.channels / channels;
  const int64_t packs = quotient_up(shape.samples, step), places = packs * threads;
  if (tiles * 4 < multiprocessors(ctx) * 3) return 0;
  const int64_t besides = (6 * threads + 3 * channels) * static_cast<int64_t>(sizeof(float));
  const int64_t of_tile = places * inputs * 16;
  // All tiles at once, or two in turn, if not one after the other.
  int64_t resident = room_for_blocks(of_tile + besides, ctx);
  const int64_t two = room_for_blocks(2 * of_tile + besides, ctx);
  const bool ahead = two > 0 && tiles > multiprocessors(ctx) * resident;
  if (ahead) resident = two;
  if (resident == 0) return 0;
  *walk = {};
  HeldTiles& of = walk->of;
  of.stride = shape.channels * shape.pixels;
  of.step = step * of.stride;
  of.rows = of.part = i32(shape.samples), of.width = i32(width);
  of.tiles = i32(tiles), of.channels = i32(channels), of.inner = i32(shape.pixels);
  of.by_width = Division(static_cast<uint32_t>(width));
  of.by_inner = Division(static_cast<uint32_t>(shape.pixels));
  of.blocks = 1, of.threads = i32(threads), of.packs = i32(packs);
  walk->places = i32(places);
  walk->ahead = ahead ? i32(places * inputs) : 0;
  *bytes = static_cast<size_t>(of_tile * (ahead ? 2 : 1) + besides);
  return walking_clusters(tiles, multiprocessors(ctx) * resident);
}

// Whether it was launched; `status` then says how that went.
template <class T, int kInputs, class What>
bool launch_tiles(const RunPointers<T, kInputs>& p, const BatchShape& shape, const What& what,
                  void (*kernel)(TileWalk, What, RunPointers<T, kInputs>),
                  const polyops_context* ctx, int* status) {
  TileWalk walk;
  size_t bytes;
  if (!aligned({p.in[0], p.in[kInputs - 1], p.out})) return false;
  const int64_t blocks = divide_tiles(shape, kPack<T>, kInputs, ctx, &walk, &bytes);
  if (blocks == 0) return false;
  *status = launch(kernel, {blocks, walk.of.threads, bytes}, ctx, walk, what, p);
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_BATCH_NORM_TILES_LAUNCH_H_
