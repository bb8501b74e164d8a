// Pieces of rows in the block's memory, and the sums for a filter's taps over one: what
// row_bands_gradients.h has of a wave.
//
// The sums for the filter's taps: a matrix has the gradients of the results in its 16 rows, each
// moved by one more, and the input in the columns of the other, moved by 16 more each. A column of
// ones gives the sum of the gradients. A wave has some pieces of the channel's rows, one after the
// other, which come to the block's memory, with zeros around a row.
#ifndef POLYOPS_GPU_CONVOLUTION_ROW_PIECES_H_
#define POLYOPS_GPU_CONVOLUTION_ROW_PIECES_H_

#include "row_bands.h"
#include "sums.h"

namespace polyops::gpu {
namespace {

constexpr int kPieceMargin = 48;  // elements around a piece that it reads
constexpr int kPieceReads = kRowResults + 2 * kPieceMargin;
constexpr int kPieceRoom =
    kPieceReads + kPieceMargin + 16;  // of a tensor's piece, a pack to be aligned
constexpr int kRowBandColumns = 2;    // of the other matrix; then the ones

// A piece of a row of so many, in the block's memory.
template <class T>
struct RowPiece {
  T* memory;
  int32_t begin, end;  // what there is of the places
  int32_t first;       // of the places

  GPU_DEVICE RowPiece(T* room, int32_t at, int32_t columns) : memory(room + kPieceMargin) {
    first = at - kPieceMargin;
    begin = first < 0 ? 0 : first;
    end = Tile::least(first + kPieceReads, columns);
    if (end < begin) end = begin;
  }
  // By a wave's 32 lanes.
  GPU_DEVICE void fetch(const T* row) const {
    const T* const from = row + begin;
    const int32_t shift = misplaced(from);
    for (int32_t at = thread_id() % 32 * kPack<T> - shift; at < end - begin; at += 32 * kPack<T>) {
      copy_16_later(memory + (shift + at), from + at);
    }
  }
  // That place of the row.
  GPU_DEVICE T* at(const T* row, int32_t place) const {
    return memory + (misplaced(row + begin) + place - begin);
  }
  GPU_DEVICE void clear_outside(const T* row) const {
    for (int32_t place = first + thread_id() % 32 * 2; place < first + kPieceReads; place += 64) {
      if (place < begin || place >= end) reinterpret_cast<Word*>(at(row, place))->w = 0;
    }
  }
};

// Adds a piece's products. grads, src: place `first` of their rows; padding: that of the rows.
template <class T>
GPU_DEVICE void sum_piece(const T* grads, const T* src, int32_t padding, float (&total)[4]) {
  const BandLane lane;
  const int32_t odd = padding % 2, place = lane.pair - lane.group - odd, half = place & 1;
  const uint32_t fill = lane.group == kRowBandColumns ? narrow2<T>(1, 1) : 0;
  const uint32_t inside = lane.group < kRowBandColumns ? ~0u : 0;
  const T* const moved = grads + (place - half);
  // Of columns that are none: any.
  const T* const columns = src + (lane.pair - padding - odd) +
                           (lane.group < kRowBandColumns ? lane.group : 0) * kMatrixRows;
  const auto moved_by = [&](int32_t at) {
    const T* const p = moved + at;
    return funnel_right(reinterpret_cast<const Word*>(p)->w,
                        reinterpret_cast<const Word*>(p + 2)->w, 16 * half);
  };
  float sums[4] = {0, 0, 0, 0};
  uint32_t before = moved_by(-kUnit);
#pragma unroll 4
  for (int32_t at = 0; at < kRowResults; at += kMatrixRows) {
    const uint32_t near = moved_by(at), far = moved_by(at + kUnit);
    uint32_t b[2];
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      b[k] = (reinterpret_cast<const Word*>(columns + at + k * kUnit)->w & inside) | fill;
    }
    multiply_add<T>(sums, {near, before, far, near}, b);
    before = far;
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) total[i] += sums[i];
}

// A tap's sum of a piece again: of the same products.
template <class T>
GPU_DEVICE float sum_piece_again(const AnySumsCall<T>& call, int32_t n, int32_t channel,
                                 int32_t first, int32_t tap) {
  const Axis& w = call.shape.w;
  const bool of_bias = tap == w.taps;
  const int32_t moved = of_bias ? 0 : tap % kMatrixRows;
  const int32_t begin = first - moved - w.padding % 2;
  const T* const grad = call.grad + call.of_grad.at(n, channel, 0, 0);
  const T* const src = call.src + call.of_src.at(n, channel, 0, 0);
  float sum = 0;
#pragma unroll 1
  for (int32_t y = begin; y < begin + kRowResults; ++y) {
    const int32_t x = y + tap - w.padding;
    if (y < 0 || y >= w.out) continue;
    if (of_bias) {
      sum += widen(grad[y]);
    } else if (x >= 0 && x < w.in) {
      sum = fmaf(widen(grad[y]), widen(src[x]), sum);
    }
  }
  return sum;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_ROW_PIECES_H_
