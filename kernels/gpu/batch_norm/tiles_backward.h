// The gradient of what tiles.h normalises.
#ifndef POLYOPS_GPU_BATCH_NORM_TILES_BACKWARD_H_
#define POLYOPS_GPU_BATCH_NORM_TILES_BACKWARD_H_

#include "tiles.h"

namespace polyops::gpu {
namespace {

// Each thread's sums to `parts`, [grad (src - mean), grad][slots][threads].
template <class T>
GPU_DEVICE void store_tile_sums(const TileWalk& walk, const TileShare<T>& share, const Words* mine,
                                const float (&mean)[kPack<T>], float* parts) {
  float products[kPack<T>] = {}, plain[kPack<T>] = {};
#pragma unroll 2
  for (int32_t k = 0; k < share.held.count; ++k) {
    float g[kPack<T>], x[kPack<T>];
    unpack<T>(mine[k * block_threads()], g);
    unpack<T>(mine[walk.places + k * block_threads()], x);
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) {
      products[j] = fmaf(g[j], x[j] - mean[j], products[j]);
      plain[j] += g[j];
    }
  }
  float product[2], sum[2];
  share.fold(products, product);
  share.fold(plain, sum);
#pragma unroll
  for (int slot = 0; slot < 2; ++slot) {
    parts[slot * block_threads() + thread_id()] = product[slot];
    parts[(2 + slot) * block_threads() + thread_id()] = sum[slot];
  }
}

// p.in: the gradient and src. kConstant: the moments are no function of src, as in evaluation.
template <class T, bool kConstant>
GPU_KERNEL(kTileThreads, 2)
tile_backward(TileWalk walk, ChannelResults to, RunPointers<T, 2> p) {
  await_earlier();
  GPU_DYNAMIC_SHARED(Words, held);
  const HeldTiles& of = walk.of;
  auto* const parts = reinterpret_cast<float*>(held + 2 * walk.places + walk.ahead);
  float* const lines = parts + 4 * block_threads();
  const TileShare<T> share(of);
  const auto step = static_cast<int32_t>(grid_blocks());
  int32_t tile = share.held.tile;
  begin_tile<T, 2>(walk, share, p.in, tile, held + thread_id());
  if (walk.ahead != 0) {
    begin_tile<T, 2>(walk, share, p.in, tile + step, held + thread_id() + walk.ahead);
  }
  const int waves = block_threads() / wave_size(), lane = thread_id() % wave_size();
  for (int turn = 0; tile < of.tiles; ++turn, tile += step) {
    Words* const here = held + thread_id() + turn % 2 * walk.ahead;
    const int32_t first = tile * of.channels, channel = first + share.channel;
    const float means[2] = {
        load_value<T>(to.statistics.mean, channel),
        share.split < kPack<T> ? load_value<T>(to.statistics.mean, channel + 1) : 0.0f};
    float mean[kPack<T>], factor[kPack<T>], scale[kPack<T>], shift[kPack<T>];
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) mean[j] = j < share.split ? means[0] : means[1];
    wait_tile(walk);
    store_tile_sums<T>(walk, share, here, mean, parts);
    barrier();
    for (int c = thread_id() / wave_size(); c < of.channels; c += waves) {
      const ChannelGradient from = channel_gradient<T>(to, first + c);
      float sums[2] = {};
      for_each_part<T>(of, c, [&](int at, float) {
        sums[0] += parts[at];
        sums[1] += parts[2 * block_threads() + at];
      });
      sum_lanes(sums, wave_size());
      if (lane != 0) continue;
      const float product = sums[0] * from.rstd;
      const GradientLine line = gradient_line(from, to.inv_n, product, sums[1]);
      lines[c] = line.factor;
      lines[of.channels + c] = line.scale;
      lines[2 * of.channels + c] = line.shift;
      store_sums<T>(to, first + c, product, sums[1]);
    }
    barrier();
    share.gather(lines, factor);
    share.gather(lines + of.channels, scale);
    share.gather(lines + 2 * of.channels, shift);
    store_tile(walk, share, p, tile, tile + (walk.ahead != 0 ? 2 : 1) * step, here,
               [&](int j, const Operands<2>& x) {
                 const GradientLine line = {factor[j], mean[j], scale[j], shift[j]};
                 return kConstant ? x.x[0] * line.factor : line(x);
               });
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_BATCH_NORM_TILES_BACKWARD_H_
