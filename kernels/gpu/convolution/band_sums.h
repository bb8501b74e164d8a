// The sums for the filter's taps are a product of matrices, too: rows are some rows of the input,
// moved by each of a filter's columns, and columns the gradients of 8 rows of results, which all of
// those rows meet. One row more for each row of the input is of ones: it gives the sum of the
// gradients.
#ifndef POLYOPS_GPU_CONVOLUTION_BAND_SUMS_H_
#define POLYOPS_GPU_CONVOLUTION_BAND_SUMS_H_

#include "band_products.h"
#include "strip_sums.h"

namespace polyops::gpu {
namespace {

// Row kMoves p + j of such a matrix is row p of the input, moved by j; the last of kMoves the ones.
template <class W>
struct BandSums {
  static constexpr int kMoves = 8, kRows = kMatrixRows / kMoves;
  static constexpr int kSums = W::kTaps * W::kTaps + 1;
  // A wave's, a row of the matrix after the other, of which a column has the gradients of the n-th
  // row.
  static constexpr int kWords = kMatrixRows * 8;

  // Of a tap, the last sum that of the gradients.
  GPU_DEVICE static float sum_of(const float* matrix, int index) {
    const bool of_bias = index == kSums - 1;
    const int j = of_bias ? kMoves - 1 : index % W::kTaps;
    const int i = of_bias ? W::kPadding : index / W::kTaps;
    float sum = 0;
#pragma unroll
    for (int p = 0; p < kRows; ++p) {
      sum += matrix[(p * kMoves + j) * 8 + p + W::kTaps - 1 - i];
    }
    return sum;
  }
};

// Bits of two neighbouring columns that a row of so many has.
GPU_DEVICE uint32_t bits_inside(int32_t column, int32_t columns) {
  const bool first = static_cast<uint32_t>(column) < static_cast<uint32_t>(columns);
  const bool second = static_cast<uint32_t>(column + 1) < static_cast<uint32_t>(columns);
  return (first ? 0xffffu : 0) | (second ? 0xffff0000u : 0);
}

// A lane's part of the matrix.
template <class W, class T>
struct BandSumLane {
  static constexpr int kMoves = BandSums<W>::kMoves, kRows = BandSums<W>::kRows;
  float sums[4] = {0, 0, 0, 0};

  // Adds the products of 16 columns of an image, of every `waves`-th step of rows of the tile from
  // the wave-th on. src, grads: row 0 and column 0 in the block's memory. A lane has 4 neighbouring
  // columns, whatever their order in the matrices. It reads rows that there are not, and makes
  // nothing of them.
  GPU_DEVICE void add(const Shape& s, const BandTile& tile, const T* src, const T* grads,
                      int32_t columns, int32_t wave, int32_t waves) {
    const BandLane lane;
    const int32_t column = columns + 2 * lane.pair, place = column + lane.group - W::kPadding;
    const int32_t odd = place & 1;
    const uint32_t fill = lane.group == kMoves - 1 ? narrow2<T>(1, 1) : 0;
    uint32_t of_src[2], of_grads[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      of_src[i] = fill != 0 ? 0 : bits_inside(place + 2 * i, s.w.in);
      of_grads[i] = bits_inside(column + 2 * i, s.w.in);
    }
    const int32_t pitch = s.w.in;
    int32_t y = tile.row + wave * kRows;
    const T* a_row = src + (y * pitch + place - odd);
    const T* b_row = grads + ((y + lane.group - W::kPadding) * pitch + column);
    const int32_t end = tile.row + tile.rows, step = waves * kRows;
#pragma unroll 2
    for (; y < end; y += step, a_row += step * pitch, b_row += step * pitch) {
      uint32_t a[4], b[2];
#pragma unroll
      for (int h = 0; h < kRows; ++h) {
        const bool has = y + h < end;
        uint32_t words[3];
#pragma unroll
        for (int i = 0; i < 3; ++i) {
          words[i] = reinterpret_cast<const Word*>(a_row + h * pitch + 2 * i)->w;
        }
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          a[2 * i + h] =
              (funnel_right(words[i], words[i + 1], 16 * odd) & (has ? of_src[i] : 0)) | fill;
        }
      }
      const int32_t row = y + lane.group - W::kPadding;
      const bool has = static_cast<uint32_t>(row) < static_cast<uint32_t>(s.h.in);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        b[i] = reinterpret_cast<const Word*>(b_row + 2 * i)->w & (has ? of_grads[i] : 0);
      }
      multiply_add<T>(sums, a, b);
    }
  }
};

// A lane's part of the wave's matrix, of 16 rows of 8.
GPU_DEVICE void put_matrix(const float (&part)[4], float* matrices) {
  const BandLane lane;
  float* const matrix =
      matrices + thread_id() / 32 * (kMatrixRows * 8) + lane.group * 8 + lane.pair;
  matrix[0] = part[0], matrix[1] = part[1];
  matrix[64] = part[2], matrix[65] = part[3];
}

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
