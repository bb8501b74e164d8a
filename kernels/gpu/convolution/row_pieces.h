// Depthwise convolutions of 16 bits along rows as products of matrices, as bands.h has them of
// images: 8 neighbouring results are a row of a matrix, 16 such that follow each other are one.
// Without stride and dilation, by filters of Conformer's 31 taps and such.
//
// A wave has a piece of a row in the block's memory: units of 8 elements that begin where 16
// aligned bytes do in the device's, with zeros around the row, from which whole matrices are
// loaded.
#ifndef POLYOPS_GPU_CONVOLUTION_ROW_PIECES_H_
#define POLYOPS_GPU_CONVOLUTION_ROW_PIECES_H_

#include "bands.h"

namespace polyops::gpu {
namespace {

constexpr int kRowMatrices = 3;  // of results, of a piece
constexpr int kPieceResults = kRowMatrices * kMatrixRows * kUnit;
constexpr int kRowUnits = 6;  // that a row of results reads, its first unit not as a whole
constexpr int32_t kMostBandTaps = (kRowUnits - 2) * kUnit;
constexpr int kPieceUnits = kPieceResults / kUnit + kRowUnits - 1;
constexpr int kPieceRoom = kPieceUnits * kUnit;

// What is read ahead of a row of results, in whole units.
inline int32_t units_ahead(int32_t padding) {
  return static_cast<int32_t>(ceil_div(padding, kUnit)) * kUnit;
}
// Of so many elements, with what is lost where a row does not begin with a unit.
inline int64_t pieces_of_row(int64_t results, int64_t columns) {
  return ceil_div(results + (columns % kUnit == 0 ? 0 : kUnit - 2), kPieceResults);
}

// Begins to bring a piece, whose first unit begins at the place `first` of a row of so many, by the
// lanes of a wave.
template <class T>
GPU_DEVICE void fetch_piece(const T* row, int32_t first, int32_t columns, T* room) {
  const int32_t lane = thread_id() % 32;
  if (first >= 0 && first + kPieceRoom <= columns) {
    const T* const from = row + (first + lane * kUnit);
    T* const to = room + lane * kUnit;
#pragma unroll
    for (int k = 0; k < kPieceUnits; k += 32) {
      if (k + lane < kPieceUnits) copy_16_later(to + k * kUnit, from + k * kUnit);
    }
    return;
  }
#pragma unroll
  for (int k = 0; k < kPieceUnits; k += 32) {
    const int32_t unit = k + lane, place = first + unit * kUnit;
    if (unit >= kPieceUnits) break;
    int32_t count = Tile::least(columns - place, kUnit);
    if (count < 0 || place <= -kUnit) count = 0;
    copy_16_later(room + unit * kUnit, row + place, count * static_cast<int>(sizeof(T)));
  }
}
// When it has arrived: of the unit that the row begins in, what lies before.
template <class T>
GPU_DEVICE void clear_before_row(int32_t first, T* room) {
  const int32_t lane = thread_id() % 32, at = -first / kUnit * kUnit + lane * 2;
  if (lane < 4 && at < -first) reinterpret_cast<Word*>(room + at)->w = 0;
}

// A filter in the block's memory, twice, as words of two taps from even places on and from odd
// ones: tap j is at place kFilterZeros + j, and all others are 0.
constexpr int kFilterZeros = 2 * kUnit, kFilterWords = 32;

// By the lanes of a wave.
template <class T>
GPU_DEVICE void fetch_row_filter(const T* taps, int64_t step, int32_t count, uint32_t* words) {
  const int32_t lane = thread_id() % 32, first = lane * 2 - kFilterZeros;
  uint32_t halves[3];
#pragma unroll
  for (int k = 0; k < 3; ++k) {
    halves[k] = 0;
    if (static_cast<uint32_t>(first + k) >= static_cast<uint32_t>(count)) continue;
    halves[k] = reinterpret_cast<const HalfWord*>(taps + (first + k) * step)->w;
  }
  words[lane] = halves[0] | halves[1] << 16;
  words[kFilterWords + lane] = halves[1] | halves[2] << 16;
}
// Its words for the units of what a row of results reads, whose first result's first tap is the
// before-th element.
GPU_DEVICE void load_row_filter(const uint32_t* words, int32_t before,
                                uint32_t (&filter)[kRowUnits]) {
  const BandLane lane;
  const int32_t place = kFilterZeros + lane.pair - lane.group - before;
  words += place % 2 * kFilterWords + place / 2;
#pragma unroll
  for (int unit = 0; unit < kRowUnits; ++unit) filter[unit] = words[unit * (kUnit / 2)];
}

// Of a lane's results, the first of which is `first`, those that are NaN.
template <class T>
GPU_DEVICE void convolve_row_again(const AnywhereCall<T>& call, uint32_t plane, T* row,
                                   int32_t first) {
  const auto channels = static_cast<uint32_t>(call.shape.channels);
#pragma unroll 1
  for (int index = 0; index < kRowMatrices * 4; ++index) {
    Element e;
    e.n = static_cast<int32_t>(plane / channels);
    e.c = static_cast<int32_t>(plane % channels);
    e.h = 0;
    e.w = first + index / 2 * (8 * kUnit) + index % 2;
    if (static_cast<uint32_t>(e.w) >= static_cast<uint32_t>(call.shape.w.out)) continue;
    const float sum = widen(row[e.w]);
    if (sum != sum) row[e.w] = narrow<T>(convolve_at<1>(call, e));
  }
}

// A wave's results, from the place `first` of a plane's row on, of a piece that begins with what
// they read.
template <class T>
GPU_DEVICE void convolve_piece(const AnywhereCall<T>& call, uint32_t plane, int32_t first,
                               const T* piece, const uint32_t (&filter)[kRowUnits], float bias) {
  const auto columns = static_cast<uint32_t>(call.shape.w.out);
  const BandLane own;
  const int32_t lane = thread_id() % 32, begin = first + own.group * kUnit + own.pair;
  T* const row = call.dst + plane * columns;
  const T* const from = piece + (lane % 16 + lane / 16) * kUnit;
  float spoilt = 0;
#pragma unroll
  for (int m = 0; m < kRowMatrices; ++m) {
    float sums[4] = {bias, bias, bias, bias};
#pragma unroll
    for (int unit = 0; unit < kRowUnits; unit += 2) {
      uint32_t words[4];
      load_matrices(from + (m * kMatrixRows + unit) * kUnit, words);
      multiply_add<T>(sums, words, {filter[unit], filter[unit + 1]});
    }
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      spoilt = fmaf(sums[2 * h], 0.0f, fmaf(sums[2 * h + 1], 0.0f, spoilt));
      const int32_t at = begin + (m * kMatrixRows + h * 8) * kUnit;
      if (static_cast<uint32_t>(at) >= columns) continue;
      reinterpret_cast<Word*>(row + at)->w = narrow2<T>(sums[2 * h], sums[2 * h + 1]);
    }
  }
  if (!(spoilt == 0)) convolve_row_again(call, plane, row, begin);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_ROW_PIECES_H_
