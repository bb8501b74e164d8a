// Depthwise convolutions of 16 bits as products of matrices. A row of 8 results, times a filter's row, is
// what they read of one row of the image, times a matrix that has the filter's row on its diagonals.
// Sums are float32, as by fmaf(): products of 16 bits are exact there.
//
// A band is 7 rows of results, as many as leave none over in images of 7, 14, 28, 56 and 112. A wave
// takes the a-th rows of 16 bands at a time, of several images, as the 16 rows of a matrix: what it
// has read for one of 7 + taps - 1 rows, it multiplies by all rows of the filter.
//
// multiply_add<T>(c, a, b)    C += A B by 32 neighbouring lanes, which all must come: 16 rows by 8 or 16 by
//                             8. Lane 4 g + t has, in words of two elements, a: A's columns 2 t, 2 t + 1
//                             of row g and of row g + 8, then those of columns 8 further; b: B's rows 2 t,
//                             2 t + 1 of column g, then those 8 further; c: columns 2 t, 2 t + 1 of row g, then
//                             of row g + 8
//
// The matrix has zeros where a filter does not reach. Where the image has an infinity or a NaN these give a
// NaN: a result that is one is computed again, tap by tap.
#ifndef POLYOPS_GPU_CONVOLUTION_BANDS_H_
#define POLYOPS_GPU_CONVOLUTION_BANDS_H_

#include "band_tiles.h"
#include "matrix.h"

namespace polyops::gpu {
namespace {

// What a lane's words are of: see above. kOuter: whether rows are longer than two units.
template <int kWidth, bool kOuts>
struct BandWindow {
  static constexpr int kTaps = kWidth, kPadding = (kWidth - 1) / 2;
  static constexpr int kSets = kBandRows + kTaps - 1;  // rows that a band reads
  static constexpr bool kOuter = kOuts;
};

struct BandLane {
  int group, pair;
  GPU_DEVICE BandLane() : group(thread_id() % 32 / 4), pair(thread_id() % 4 * 2) {}
};

// The filters of a tile's channels in the block's memory. Those of a channel twice, as words of two taps
// from even places on and from odd ones: [channel][place % 2][row][place / 2], where tap j is at place
// kZeros + j and all others are 0.
template <class W>
struct BandFilters {
  static constexpr int kZeros = 2 * kUnit, kRowWords = 20, kChannelWords = 2 * W::kTaps * kRowWords;
  static constexpr int kWords = kBandWaves * kChannelWords;  // a wave has a channel at least
};

// By all threads; a barrier follows.
template <class W, class T>
GPU_DEVICE void fetch_filters(const Taps<T>& taps, const BandTile& tile, uint32_t* words) {
  using F = BandFilters<W>;
  for (int32_t index = thread_id(); index < tile.channels * F::kChannelWords;
       index += kBandThreads) {
    const int32_t place = index % F::kRowWords * 2 + index / (F::kRowWords * W::kTaps) % 2;
    const int32_t row = index / F::kRowWords % W::kTaps;
    const T* const p =
        taps.data + ((tile.channel + index / F::kChannelWords) * taps.c + row * taps.h);
    const auto tap = [&](int32_t j) -> uint32_t {
      if (static_cast<uint32_t>(j) >= static_cast<uint32_t>(W::kTaps)) return 0;
      return reinterpret_cast<const HalfWord*>(p + j * taps.w)->w;
    };
    words[index] = tap(place - F::kZeros) | tap(place - F::kZeros + 1) << 16;
  }
}

// A filter's row i for units of 8 columns d - 1 further than the results'.
template <class W>
struct BandFilter {
  uint32_t rows[W::kTaps][3];

  // words: of the channel.
  GPU_DEVICE void load(const uint32_t* words, const BandLane& lane) {
    using F = BandFilters<W>;
    const int place = F::kZeros - kUnit + lane.pair - lane.group + W::kPadding;
    words += place % 2 * (W::kTaps * F::kRowWords) + place / 2;
#pragma unroll
    for (int i = 0; i < W::kTaps; ++i) {
#pragma unroll
      for (int d = 0; d < 3; ++d) rows[i][d] = words[i * F::kRowWords + d * (kUnit / 2)];
    }
  }
};

// Which bands a lane's two rows of matrices are: of which image, from which row of the tile; none where
// `rows`, how many the image has from there on, is 0.
struct BandRow {
  int32_t image, row, rows;

  GPU_DEVICE BandRow(const BandTiles& t, const BandTile& tile, int index) {
    auto rest = static_cast<uint32_t>(index);
    row = static_cast<int32_t>(take_remainder(t.of_image, &rest)) * kBandRows;
    image = static_cast<int32_t>(rest);
    rows = image < tile.images && row < tile.rows ? tile.rows - row : 0;
    if (rows == 0) image = row = 0;
  }
};

// The sums of two units of 8 columns of a wave's bands.
template <class W, class T>
struct BandProducts {
  float sums[kBandRows][2][4];

  // memory: the tile's images; at: the lane's first word of both rows, of the unit before the first
  // one's; has: which of the rows that a band reads there are, by bits.
  GPU_DEVICE void add(const T* memory, const int32_t (&at)[2], const uint32_t (&has)[2],
                      const uint32_t (&inside)[4], int32_t pitch, const BandFilter<W>& filter) {
#pragma unroll
    for (int set = 0; set < W::kSets; ++set) {
      uint32_t x[4][2];
#pragma unroll
      for (int unit = W::kOuter ? 0 : 1; unit < (W::kOuter ? 4 : 3); ++unit) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          x[unit][h] = 0;
          if ((has[h] >> set & 1) != 0) {
            const T* const p = memory + (at[h] + set * pitch) + unit * kUnit;
            x[unit][h] = reinterpret_cast<const Word*>(p)->w & inside[unit];
          }
        }
      }
      const uint32_t both[4] = {x[1][0], x[1][1], x[2][0], x[2][1]};
#pragma unroll
      for (int a = 0; a < kBandRows; ++a) {
        const int i = set - a;
        if (i < 0 || i >= W::kTaps) continue;
        const auto& row = filter.rows[i];
        multiply_add<T>(sums[a][0], both, {row[1], row[2]});
        multiply_add<T>(sums[a][1], both, {row[0], row[1]});
        if constexpr (W::kOuter) {
          multiply_add<T>(sums[a][0], x[0], {row[0]});
          multiply_add<T>(sums[a][1], x[3], {row[2]});
        }
      }
    }
  }
  // Calls f(h, a, unit, x, y) for the words of a lane's rows h of matrices that are rows of results.
  template <class F>
  GPU_DEVICE void for_words(const BandRow (&bands)[2], F f) const {
#pragma unroll
    for (int a = 0; a < kBandRows; ++a) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        if (a >= bands[h].rows) continue;
#pragma unroll
        for (int unit = 0; unit < 2; ++unit) {
          f(h, a, unit, sums[a][unit][2 * h], sums[a][unit][2 * h + 1]);
        }
      }
    }
  }
};

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
    T* const result = out + result_place_of(s, t, tile, call.dst, band.image, channel) +
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

// A wave's results of one channel of the tile and of two units of columns: from `in` to `out`, in the
// block's memory. from, to: where they lie in the device's.
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
    at[h] = place_of(s, t, tile, call.src, band.image, channel) + (first - tile.in_row) * t.pitch +
            column - kUnit;
    to[h] =
        result_place_of(s, t, tile, call.dst, band.image, channel) + band.row * s.w.out + column;
    const int32_t before = first < 0 ? -first : 0, end = Tile::least(s.h.in - first, W::kSets);
    has[h] = band.rows == 0 ? 0 : (1u << end) - (1u << before);
  }
#pragma unroll
  for (int unit = 0; unit < 4; ++unit) {
    const int32_t x = column + (unit - 1) * kUnit;
    const bool first = static_cast<uint32_t>(x) < static_cast<uint32_t>(s.w.in);
    inside[unit] = !first ? 0 : x + 1 < s.w.in ? ~0u : 0xffffu;
  }
  BandFilter<W> filter;
  filter.load(filters + channel * BandFilters<W>::kChannelWords, lane);
  BandProducts<W, T> products;
  const float bias = call.bias.at(tile.channel + channel);
#pragma unroll
  for (auto& of_row : products.sums) {
#pragma unroll
    for (auto& of_unit : of_row) {
#pragma unroll
      for (float& sum : of_unit) sum = bias;
    }
  }
  products.add(in, at, has, inside, t.pitch, filter);
  // Both of a word's, or none, in rows of even lengths.
  if (t.is_even(s)) {
    products.for_words(bands, [&](int h, int a, int unit, float first, float second) {
      if (column + unit * kUnit >= s.w.out) return;
      T* const p = out + (to[h] + a * s.w.out) + unit * kUnit;
      reinterpret_cast<Word*>(p)->w = narrow2<T>(first, second);
    });
  } else {
    products.for_words(bands, [&](int h, int a, int unit, float first, float second) {
      T* const p = out + (to[h] + a * s.w.out) + unit * kUnit;
      if (column + unit * kUnit < s.w.out) p[0] = narrow<T>(first);
      if (column + unit * kUnit + 1 < s.w.out) p[1] = narrow<T>(second);
    });
  }
  float spoilt = 0;
#pragma unroll
  for (auto& of_row : products.sums) {
#pragma unroll
    for (auto& of_unit : of_row) {
#pragma unroll
      for (float& sum : of_unit) spoilt = fmaf(sum, 0.0f, spoilt);
    }
  }
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
  if (s.w.taps == 3) return with.template operator()<3>();
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
