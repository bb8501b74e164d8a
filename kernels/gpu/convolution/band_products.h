// What bands.h multiplies: rows of 16 bands, and a filter on the diagonals of a matrix.
//
// multiply_add<T>(c, a, b)    C += A B by 32 neighbouring lanes, which all must come: 16 rows by 8
//                             or 16 by 8. Lane 4 g + t has, in words of two elements, a: A's
//                             columns 2 t, 2 t + 1 of row g and of row g + 8, then those of columns
//                             8 further; b: B's rows 2 t, 2 t + 1 of column g, then those 8
//                             further; c: columns 2 t, 2 t + 1 of row g, then of row g + 8
// load_matrices(row, w)       by the same lanes, four matrices of 8 rows of 8 elements in the
//                             block's memory, row r of the m-th at 16 aligned bytes that lane
//                             8 m + r names. Lane 4 g + t has in w[m] columns 2 t, 2 t + 1 of row g
// load_matrices_turned        the same, of column g rows 2 t, 2 t + 1
// after_products()            the lanes' memory may be written again: a product itself has waited
//                             for all lanes, but tools that look for races know barriers alone
#ifndef POLYOPS_GPU_CONVOLUTION_BAND_PRODUCTS_H_
#define POLYOPS_GPU_CONVOLUTION_BAND_PRODUCTS_H_

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

// The filters of a tile's channels in the block's memory. Those of a channel twice, as words of two
// taps from even places on and from odd ones: [channel][place % 2][row][place / 2], where tap j is
// at place kZeros + j and all others are 0.
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

// Which bands a lane's two rows of matrices are: of which image, from which row of the tile; none
// where `rows`, how many the image has from there on, is 0.
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
      }
      // In a loop of its own: a product waits for the last one into the same sums.
      if constexpr (W::kOuter) {
#pragma unroll
        for (int a = 0; a < kBandRows; ++a) {
          const int i = set - a;
          if (i < 0 || i >= W::kTaps) continue;
          multiply_add<T>(sums[a][0], x[0], {filter.rows[i][0]});
          multiply_add<T>(sums[a][1], x[3], {filter.rows[i][2]});
        }
      }
    }
  }
  template <class F>
  GPU_DEVICE void for_sums(F f) {
#pragma unroll
    for (auto& of_row : sums) {
#pragma unroll
      for (auto& of_unit : of_row) {
#pragma unroll
        for (float& sum : of_unit) f(&sum);
      }
    }
  }
  // Calls f(h, a, unit, x, y) for the words of a lane's rows h of matrices that are rows of
  // results.
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

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_BAND_PRODUCTS_H_
