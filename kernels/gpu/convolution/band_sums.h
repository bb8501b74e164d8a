// The sums for the filter's taps are products of matrices, too: of a band of 7 rows of the input,
// each of which is one, columns are the row moved by each of the filter's columns, and rows the
// gradients of all rows of results that the band meets. One column more is of ones: it gives the
// sum of the gradients.
#ifndef POLYOPS_GPU_CONVOLUTION_BAND_SUMS_H_
#define POLYOPS_GPU_CONVOLUTION_BAND_SUMS_H_

#include "band_products.h"
#include "strip_sums.h"

namespace polyops::gpu {
namespace {

template <class W>
struct BandSums {
  static constexpr int kMoves = 8;  // the last of which is the ones
  static constexpr int kSums = W::kTaps * W::kTaps + 1;
  static constexpr int kWords = W::kTaps * kMoves;  // a wave's, a row of the filter after the other

  // Of a tap, the last sum that of the gradients.
  GPU_DEVICE static float sum_of(const float* words, int index) {
    const bool of_bias = index == kSums - 1;
    const int i = of_bias ? W::kPadding : index / W::kTaps;
    return words[i * kMoves + (of_bias ? kMoves - 1 : index % W::kTaps)];
  }
};

// Bits of two neighbouring columns that a row of so many has.
GPU_DEVICE uint32_t bits_inside(int32_t column, int32_t columns) {
  const bool first = static_cast<uint32_t>(column) < static_cast<uint32_t>(columns);
  const bool second = static_cast<uint32_t>(column + 1) < static_cast<uint32_t>(columns);
  return (first ? 0xffffu : 0) | (second ? 0xffff0000u : 0);
}

// A lane's part of the matrices.
template <class W, class T>
struct BandSumLane {
  static constexpr int kMoves = BandSums<W>::kMoves;
  float sums[kBandRows][4] = {};

  // Adds the products of 16 columns of an image, of every `waves`-th band of the tile from the
  // wave-th on. src, grads: row 0 and column 0 in the block's memory. A lane has 4 neighbouring
  // columns, whatever their order in the matrices.
  GPU_DEVICE void add(const Shape& s, const BandTile& tile, const T* src, const T* grads,
                      int32_t columns, int32_t wave, int32_t waves) {
    const BandLane lane;
    const int32_t column = columns + 2 * lane.pair, place = column + lane.group - W::kPadding;
    const int32_t odd = place & 1, pitch = s.w.in, end = tile.row + tile.rows;
    const int32_t in_end = tile.in_row + tile.in_rows;
    const uint32_t fill = lane.group == kMoves - 1 ? narrow2<T>(1, 1) : 0;
    uint32_t of_src[2], of_grads[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      of_src[i] = fill != 0 ? 0 : bits_inside(place + 2 * i, s.w.in);
      of_grads[i] = bits_inside(column + 2 * i, s.w.in);
    }
    const auto add_band = [&]<bool kWhole>(int32_t y) {
      uint32_t a[4], words[kBandRows][3];
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int32_t row = y - W::kPadding + lane.group + 8 * h;
        const bool has = row >= tile.in_row && row < in_end;
        const T* const p = grads + ((has ? row : y) * pitch + column);
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const uint32_t word = reinterpret_cast<const Word*>(p + 2 * i)->w & of_grads[i];
          a[2 * i + h] = has ? word : 0;
        }
      }
      const T* from = src + (y * pitch + place - odd);
#pragma unroll
      for (int u = 0; u < kBandRows; ++u) {
#pragma unroll
        for (int i = 0; i < 3; ++i) words[u][i] = reinterpret_cast<const Word*>(from + 2 * i)->w;
        if (kWhole || y + u + 1 < end) from += pitch;
      }
#pragma unroll
      for (int u = 0; u < kBandRows; ++u) {
        if (!kWhole && y + u >= end) break;
        uint32_t b[2];
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          b[i] = (funnel_right(words[u][i], words[u][i + 1], 16 * odd) & of_src[i]) | fill;
        }
        multiply_add<T>(sums[u], a, b);
      }
    };
#pragma unroll 1
    for (int32_t y = tile.row + wave * kBandRows; y < end; y += waves * kBandRows) {
      if (y + kBandRows <= end) {
        add_band.template operator()<true>(y);
      } else {
        add_band.template operator()<false>(y);
      }
    }
  }
  // Adds them to the wave's, by a row of each matrix at a time: lanes then have different taps.
  GPU_DEVICE void put(float* words) const {
    const BandLane lane;
#pragma unroll
    for (int u = 0; u < kBandRows; ++u) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int i = u + 2 * W::kPadding - 8 * h - lane.group;
        if (static_cast<uint32_t>(i) < static_cast<uint32_t>(W::kTaps)) {
          words[i * kMoves + lane.pair] += sums[u][2 * h];
          words[i * kMoves + lane.pair + 1] += sums[u][2 * h + 1];
        }
        after_products();
      }
    }
  }
};

// Puts the sums of a block's channels, or a cluster's: a thread has some of them. sum_of(c, tap):
// of the block, of the c-th channel; slots: kMostCluster of each sum.
template <class T, class SumOf>
GPU_DEVICE void put_band_sums(const Shape& s, const Sums<T>& sums, const SplitOfChannel& own,
                              int32_t channel, int32_t channels, int32_t taps, float* slots,
                              SumOf sum_of) {
  const int blocks = cluster_blocks();
  if (blocks > 1) cluster_barrier();  // all have begun
#pragma unroll 1
  for (int32_t index = thread_id(); index < channels * taps; index += kBandThreads) {
    const int32_t c = index / taps;
    const float sum = sum_of(c, index - c * taps);
    if (blocks > 1) {
      cluster_send(slots + (index * kMostCluster + cluster_rank()), 0, sum);
    } else {
      sums.put(s, own.split, channel + c, index - c * taps, sum);
    }
  }
  if (blocks == 1) return;
  cluster_barrier();
  if (cluster_rank() != 0) return;
#pragma unroll 1
  for (int32_t index = thread_id(); index < channels * taps; index += kBandThreads) {
    const int32_t c = index / taps;
    float sum = 0;
    for (int i = 0; i < blocks; ++i) sum += slots[index * kMostCluster + i];
    sums.put(s, 0, channel + c, index - c * taps, sum);
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_BAND_SUMS_H_
