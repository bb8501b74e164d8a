// All gradients of such images as bands.h takes, at once. Bound: memory, input and gradient of the
// results read once, gradient of the input written once. That is the convolution of the results' by
// the filter turned.
//
// Beyond the image there are zeros, which an infinity or a NaN makes NaN: a sum that is one is
// added up again.
#ifndef POLYOPS_GPU_CONVOLUTION_BANDS_GRADIENTS_H_
#define POLYOPS_GPU_CONVOLUTION_BANDS_GRADIENTS_H_

#include "band_sums.h"
#include "bands.h"

namespace polyops::gpu {
namespace {

template <class T>
struct BandsGradientsCall {
  AnywhereCall<T> plain;  // of the results' gradients, by the filter turned
  AnySumsCall<T> of_sums;
  BandTiles tiles;
  int32_t turns;  // tiles of a block, one after the other
};

// Adds the products of one of a tile's channels, by some waves of which this one is the wave-th, to
// its matrix.
template <class W, class T>
GPU_DEVICE void sum_channel(const BandsGradientsCall<T>& call, const BandTile& tile, const T* src,
                            const T* grads, int32_t channel, int32_t wave, int32_t waves,
                            float* matrices) {
  const Shape& s = call.plain.shape;
  const BandTiles& t = call.tiles;
  BandSumLane<W, T> lane;
#pragma unroll 1
  for (int32_t image = 0; image < tile.images; ++image) {
    const auto row_0 = [&](const T* p) {
      return place_of(s, t, tile, p, image, channel, tile.in_row, tile.in_rows) -
             tile.in_row * s.w.in;
    };
    const T* const of_src = src + row_0(call.of_sums.src);
    const T* const of_grads = grads + row_0(call.of_sums.grad);
#pragma unroll 1
    for (int32_t columns = 0; columns < s.w.in; columns += 2 * kUnit) {
      lane.add(s, tile, of_src, of_grads, columns, wave, waves);
    }
  }
  lane.put(matrices + thread_id() / 32 * BandSums<W>::kWords);
}

// A sum again, of a tile's rows of the input.
template <class T>
GPU_DEVICE float sum_again(const AnySumsCall<T>& call, const BandTile& tile, int32_t channel,
                           int32_t tap) {
  const Shape& s = call.shape;
  const bool of_bias = tap == s.taps();
  const int32_t i = tap / s.w.taps, ahead = of_bias ? 0 : s.h.padding - i;
  float sum = 0;
#pragma unroll 1
  for (int32_t index = 0; index < tile.images * tile.rows; ++index) {
    const int32_t n = tile.image + index / tile.rows, y = tile.row + index % tile.rows;
    if (static_cast<uint32_t>(y + ahead) >= static_cast<uint32_t>(s.h.out)) continue;
    sum += sum_row(call, call.grad + call.of_grad.at(n, channel, y + ahead, 0),
                   call.src + call.of_src.at(n, channel, y, 0), tap - i * s.w.taps, of_bias);
  }
  return sum;
}

template <class W, class T>
GPU_KERNEL(kBandThreads, kBandBlocks)
gradients_of_bands(BandsGradientsCall<T> call) {
  await_earlier();
  using Of = BandSums<W>;
  GPU_DYNAMIC_SHARED(T, memory);
  GPU_SHARED(uint32_t, filters, BandFilters<W>::kWords);
  GPU_SHARED(float, matrices, kBandWaves* Of::kWords);
  GPU_SHARED(float, slots, kBandWaves* Of::kSums* kMostCluster);
  const Shape& s = call.plain.shape;
  const BandTiles& t = call.tiles;
  const SplitOfChannel own(t.groups);
  // Behind the last one there are tiles of no image.
  const auto tile_of = [&](int32_t turn) {
    return BandTile(s, t, own.channel, own.split * call.turns + turn, W::kPadding);
  };
  T* const src = memory + kBandSlack;
  T* const grads = src + t.area;
  T* const out = grads + t.area;
  const int32_t waves = kBandWaves / t.channels, wave = thread_id() / 32;
  const int32_t channel = wave / waves;
  fetch_filters<W>(call.plain.taps, tile_of(0), filters);
  for (int i = thread_id(); i < kBandWaves * Of::kWords; i += kBandThreads) matrices[i] = 0;
#pragma unroll 1
  for (int32_t turn = 0; turn <= call.turns; ++turn) {
    // The next tile is on its way while the last one's results are stored.
    const BandTile tile = tile_of(turn);
    const bool has = turn < call.turns && tile.images > 0;
    if (has) {
      fetch_tile(s, t, tile, call.of_sums.grad, grads);
      fetch_tile(s, t, tile, call.of_sums.src, src);
      close_copies();
    }
    if (turn > 0) store_tile(s, t, tile_of(turn - 1), call.plain.dst, out);
    if (!has) break;
    wait_copies<0>();
    barrier();
    convolve_tile<W>(call.plain, t, tile, filters, grads, out);
    if (channel < tile.channels) {
      sum_channel<W>(call, tile, src, grads, channel, wave - channel * waves, waves, matrices);
    }
    barrier();
  }
  const BandTile first = tile_of(0);
  put_band_sums(s, call.of_sums.sums, own, first.channel, first.channels, Of::kSums, slots,
                [&](int32_t c, int32_t tap) {
                  float sum = 0;
                  for (int32_t i = c * waves; i < (c + 1) * waves; ++i) {
                    sum += Of::sum_of(matrices + i * Of::kWords, tap);
                  }
                  if (sum == sum) return sum;
                  sum = 0;
                  for (int32_t turn = 0; turn < call.turns; ++turn) {
                    sum += sum_again(call.of_sums, tile_of(turn), first.channel + c, tap);
                  }
                  return sum;
                });
}

// As long as keep the device busy: a block takes the time of half a tile to begin, which longer
// ones than the longest have little of.
inline int32_t band_turns(const BandTiles& t) {
  constexpr int64_t kAtOnce = kSumMultiprocessors * kBandBlocks;
  constexpr int32_t kMostTurns = 64;
  int64_t least = INT64_MAX;
  int32_t best = 1;
  for (int32_t turns = 1; turns <= std::min(t.runs, kMostTurns); ++turns) {
    const int64_t blocks = ceil_div(t.runs, turns) * t.groups;
    const int64_t time = ceil_div(blocks, kAtOnce) * (2 * turns + 1);
    if (time > least) continue;
    least = time;
    best = turns;
  }
  return best;
}
inline int64_t band_splits(const Shape& s, int element_bytes) {
  if (!has_bands(s, element_bytes)) return 0;
  const BandTiles t(s);
  return ceil_div(t.runs, band_turns(t));
}

// Whether a block has the memory.
inline bool fits_bands_gradients(const Shape& s, const polyops_context* ctx) {
  constexpr int64_t kBesides = 16 << 10;  // of a block's own arrays
  return static_cast<int64_t>(BandTiles(s).bytes(/*areas=*/3)) + kBesides <= most_shared(ctx);
}

template <class T>
int launch_bands_gradients(const BackwardArgs& a, const Shape& s, const polyops_context* ctx) {
  const BandTiles t(s);
  const int32_t turns = band_turns(t);
  const int64_t splits = ceil_div(t.runs, turns);
  const int cluster = cluster_of(splits, ctx);
  const auto* grad = static_cast<const T*>(a.grad_dst.data);
  const auto* src = static_cast<const T*>(a.src.data);
  const Strides strides = strides_of(a.src);
  const BandsGradientsCall<T> call = {
      {s,
       grad,
       static_cast<T*>(a.grad_src.data),
       strides,
       strides,
       turned(taps_of<T>(a.weight), s),
       {nullptr, 0},
       0,
       false},
      {s, grad, src, strides, strides, sums_of<T>(a, cluster > 1 ? 1 : splits, ctx), 0, 0},
      t,
      turns};
  const LaunchShape shape = {splits * t.groups, kBandThreads, t.bytes(/*areas=*/3), cluster};
  const int status = with_band_window(
      s, [&]<class W>() { return launch(gradients_of_bands<W, T>, shape, ctx, call); });
  return launch_add_parts(status, s, call.of_sums.sums, ctx);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_BANDS_GRADIENTS_H_
