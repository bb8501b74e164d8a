// Depthwise convolutions of 16 bits as products of matrices. A row of 8 results, times a filter's
// row, is what they read of one row of the image, times a matrix that has the filter's row on its
// diagonals. Sums are float32, as by fmaf(): products of 16 bits are exact there.
//
// A band is 7 rows of results, as many as leave none over in images of 7, 14, 28, 56 and 112. A
// wave takes the a-th rows of 16 bands at a time, of several images, as the 16 rows of a matrix:
// what it has read for one of 7 + taps - 1 rows, it multiplies by all rows of the filter.
//
// The matrix has zeros where a filter does not reach. Where the image has an infinity or a NaN
// these give a NaN: a result that is one is computed again, tap by tap.
#ifndef POLYOPS_GPU_CONVOLUTION_BANDS_H_
#define POLYOPS_GPU_CONVOLUTION_BANDS_H_

#include "band_products.h"

namespace polyops::gpu {
namespace {

// Of a lane's results, the first of which are in that column, those that are NaN.
template <class W, class T>
GPU_DEVICE void convolve_again(const AnywhereCall<T>& call, const BandTiles& t,
                               const BandTile& tile, T* out, int32_t channel, int32_t column) {
  const Shape& s = call.shape;
#pragma unroll 1
  for (int index = 0; index < 2 * kBandRows * 4; ++index) {
    const int a = index / 4 % kBandRows, x = index / 2 % 2 * kUnit + index % 2;
    const BandRow band(t, tile, BandLane().group + (index < 4 * kBandRows ? 0 : 8));
    if (a >= band.rows || column + x >= s.w.out) continue;
    T* const result = out +
                      place_of(s, t, tile, call.dst, band.image, channel, tile.row, tile.rows) +
                      (band.row + a) * s.w.out + column + x;
    const float sum = widen(*result);
    if (sum == sum) continue;
    Element e;
    e.n = tile.image + band.image;
    e.c = tile.channel + channel;
    e.h = tile.row + band.row + a;
    e.w = column + x;
    *result = narrow<T>(convolve_at(call, e));
  }
}

// A wave's results of one channel of the tile and of two units of columns: from `in` to `out`, in
// the block's memory. from, to: where they lie in the device's.
template <class W, class T>
GPU_DEVICE void convolve_bands(const AnywhereCall<T>& call, const BandTiles& t,
                               const BandTile& tile, const uint32_t* filters, const T* in, T* out,
                               int32_t channel, int32_t units) {
  const Shape& s = call.shape;
  const BandLane lane;
  const int32_t column = units * 2 * kUnit + lane.pair;  // the lane's first one
  const BandRow bands[2] = {BandRow(t, tile, lane.group), BandRow(t, tile, lane.group + 8)};
  int32_t at[2], to[2];
  uint32_t has[2], inside[4];
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const BandRow& band = bands[h];
    const int32_t first = tile.row + band.row - W::kPadding;  // row that it reads
    at[h] = place_of(s, t, tile, call.src, band.image, channel, tile.in_row, tile.in_rows) +
            (first - tile.in_row) * s.w.in + column - kUnit;
    to[h] = place_of(s, t, tile, call.dst, band.image, channel, tile.row, tile.rows) +
            band.row * s.w.out + column;
    const int32_t before = first < 0 ? -first : 0, end = Tile::least(s.h.in - first, W::kSets);
    has[h] = band.rows == 0 ? 0 : (1u << end) - (1u << before);
  }
#pragma unroll
  for (int unit = 0; unit < 4; ++unit) {
    const int32_t x = column + (unit - 1) * kUnit;
    inside[unit] = static_cast<uint32_t>(x) < static_cast<uint32_t>(s.w.in) ? ~0u : 0;
  }
  BandFilter<W> filter;
  filter.load(filters + channel * BandFilters<W>::kChannelWords, lane);
  BandProducts<W, T> products;
  const float bias = call.bias.at(tile.channel + channel);
  products.for_sums([&](float* sum) { *sum = bias; });
  products.add(in, at, has, inside, s.w.in, filter);
  products.for_words(bands, [&](int h, int a, int unit, float first, float second) {
    if (column + unit * kUnit >= s.w.out) return;
    T* const p = out + (to[h] + a * s.w.out) + unit * kUnit;
    reinterpret_cast<Word*>(p)->w = narrow2<T>(first, second);
  });
  float spoilt = 0;
  products.for_sums([&](const float* sum) { spoilt = fmaf(*sum, 0.0f, spoilt); });
  if (!(spoilt == 0)) convolve_again<W>(call, t, tile, out, channel, column);
}

// All results of a tile, by all waves.
template <class W, class T>
GPU_DEVICE void convolve_tile(const AnywhereCall<T>& call, const BandTiles& t, const BandTile& tile,
                              const uint32_t* filters, const T* in, T* out) {
  const int32_t items = tile.channels * static_cast<int32_t>(t.columns.divisor);
#pragma unroll 1
  for (int32_t item = thread_id() / 32; item < items; item += kBandWaves) {
    auto channel = static_cast<uint32_t>(item);
    const auto units = static_cast<int32_t>(take_remainder(t.columns, &channel));
    convolve_bands<W>(call, t, tile, filters, in, out, static_cast<int32_t>(channel), units);
  }
}

// Calls f.operator()<W>().
template <class F>
int with_band_window(const Shape& s, F f) {
  const auto with = [&]<int kTaps>() {
    if (s.w.in > 2 * kUnit) return f.template operator()<BandWindow<kTaps, true>>();
    return f.template operator()<BandWindow<kTaps, false>>();
  };
  return s.w.taps == 5 ? with.template operator()<5>() : with.template operator()<7>();
}

template <class T>
struct BandsCall {
  AnywhereCall<T> plain;
  BandTiles tiles;
};

template <class W, class T>
GPU_KERNEL(kBandThreads, kBandBlocks)
convolve_band_tiles(BandsCall<T> call) {
  await_earlier();
  GPU_DYNAMIC_SHARED(T, memory);
  GPU_SHARED(uint32_t, filters, BandFilters<W>::kWords);
  const Shape& s = call.plain.shape;
  const BandTiles& t = call.tiles;
  const auto block = static_cast<uint32_t>(block_id());
  const auto run = block / static_cast<uint32_t>(t.groups);
  const BandTile tile(s, t, static_cast<int32_t>(block - run * static_cast<uint32_t>(t.groups)),
                      static_cast<int32_t>(run), W::kPadding);
  T* const in = memory + kBandSlack;
  T* const out = in + t.area;
  fetch_tile(s, t, tile, call.plain.src, in);
  close_copies();
  fetch_filters<W>(call.plain.taps, tile, filters);
  wait_copies<0>();
  barrier();
  convolve_tile<W>(call.plain, t, tile, filters, in, out);
  barrier();
  store_tile(s, t, tile, call.plain.dst, out);
}

template <class T>
int launch_bands(const Shape& s, const T* src, T* dst, const Taps<T>& taps, const Bias<T>& bias,
                 const polyops_context* ctx) {
  const BandTiles tiles(s);
  const int64_t plane = int64_t{s.h.in} * s.w.in;
  const Strides strides = {s.channels * plane, plane, s.w.in, 1};
  const BandsCall<T> call = {{s, src, dst, strides, strides, taps, bias, 0, false}, tiles};
  const LaunchShape shape = {int64_t{tiles.groups} * tiles.runs, kBandThreads,
                             tiles.bytes(/*areas=*/2)};
  return with_band_window(
      s, [&]<class W>() { return launch(convolve_band_tiles<W, T>, shape, ctx, call); });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_BANDS_H_
