// All gradients of what row_bands.h convolves, at once. Bound: memory, input and gradient of the results read
// once, gradient of the input written once.
//
// The sums for the filter's taps: a matrix has the gradients of the results in its 16 rows, each moved by one
// more, and the input in the columns of the other, moved by 16 more each. A column of ones gives the sum of
// the gradients. A wave has some pieces of the channel's rows, one after the other, which come to the
// block's memory, with zeros around a row.
#ifndef POLYOPS_GPU_CONVOLUTION_ROW_BANDS_GRADIENTS_H_
#define POLYOPS_GPU_CONVOLUTION_ROW_BANDS_GRADIENTS_H_

#include "bands_gradients.h"
#include "row_bands.h"

namespace polyops::gpu {
namespace {

constexpr int kPieceMargin = 48;  // elements around a piece that it reads
constexpr int kPieceReads = kRowResults + 2 * kPieceMargin;
constexpr int kPieceRoom =
    kPieceReads + kPieceMargin + 16;  // of a tensor's piece, a pack to be aligned
constexpr int kRowBandColumns = 2;    // of the other matrix; then the ones

template <class T>
struct RowBandsGradientsCall {
  AnywhereCall<T> plain;  // of the results' gradients, by the filter turned
  AnySumsCall<T> of_sums;
  Division pieces;   // of a row
  int32_t count;     // of a channel
  int32_t turns;     // pieces of a wave
  bool wants_input;  // its gradient
};

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

// A wave's results of a piece. grads: place `first` of the row.
template <class T>
GPU_DEVICE void convolve_piece(const AnywhereCall<T>& call, int32_t n, int32_t channel,
                               int32_t first, const T* grads, const uint32_t (&filter)[kRowUnits]) {
  const Axis& w = call.shape.w;
  const BandLane lane;
  const int32_t own = lane.group * kUnit + lane.pair;
  T* const dst = call.dst + (int64_t{n} * call.shape.channels + channel) * w.out;
  const T* const from = grads + own - w.padding - w.padding % 2;
  float spoilt = 0;
#pragma unroll
  for (int m = 0; m < kRowMatrices; ++m) {
    uint32_t words[kRowUnits][2];
#pragma unroll
    for (int unit = 0; unit < kRowUnits; ++unit) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int ahead = (m * kMatrixRows + h * 8 + unit) * kUnit;
        words[unit][h] = reinterpret_cast<const Word*>(from + ahead)->w;
      }
    }
    float sums[4] = {0, 0, 0, 0};
    multiply_row<T>(words, filter, sums);
    store_row(sums, dst, first + own + m * kMatrixRows * kUnit, w.out, &spoilt);
  }
  if (!(spoilt == 0)) convolve_row_again(call, n, channel, dst, first + own);
}

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

template <class T>
GPU_KERNEL(kBandThreads, 8)
gradients_of_row_bands(RowBandsGradientsCall<T> call) {
  constexpr int kMostSums = kMostBandTaps + 1;
  GPU_SHARED(Words, memory, 2 * kBandWaves * kPieceRoom / kPack<T>);
  GPU_SHARED(float, matrices, kBandWaves* kMatrixRows * 8);
  GPU_SHARED(float, slots, kMostSums* kMostCluster);
  const Shape& s = call.of_sums.shape;
  const SplitOfChannel own(s.channels);
  const BandLane lane;
  const int32_t wave = thread_id() / 32;
  T* const room = reinterpret_cast<T*>(memory) + wave * 2 * kPieceRoom;
  const Taps<T>& taps = call.plain.taps;
  uint32_t filter[kRowUnits];
  load_row_filter(taps.data + own.channel * taps.c, taps.w, s.w.taps,
                  call.plain.shape.w.padding % 2, filter);
  // Of a wave's turns, the number of its piece.
  const auto piece_of = [&](int32_t turn, int32_t of_wave) {
    return (own.split * call.turns + turn) * kBandWaves + of_wave;
  };
  float total[4] = {0, 0, 0, 0};
#pragma unroll 1
  for (int32_t turn = 0; turn < call.turns; ++turn) {
    auto image = static_cast<uint32_t>(piece_of(turn, wave));
    const bool has = static_cast<int32_t>(image) < call.count;
    const int32_t first = static_cast<int32_t>(take_remainder(call.pieces, &image)) * kRowResults;
    const auto n = static_cast<int32_t>(has ? image : 0);
    const int64_t plane = int64_t{n} * s.channels + own.channel;
    const T* const grad = call.of_sums.grad + plane * s.w.out;
    const T* const src = call.of_sums.src + plane * s.w.in;
    const RowPiece<T> grads(room, first, s.w.out), values(room + kPieceRoom, first, s.w.in);
    if (has) {
      grads.fetch(grad);
      values.fetch(src);
    }
    close_copies();
    wait_copies<0>();
    barrier();
    if (has) {
      grads.clear_outside(grad);
      values.clear_outside(src);
    }
    barrier();
    if (has) {
      sum_piece(grads.at(grad, first), values.at(src, first), s.w.padding, total);
      if (call.wants_input) {
        convolve_piece(call.plain, n, own.channel, first, grads.at(grad, first), filter);
      }
    }
    // A wave has its own room, and has read it when it multiplies.
  }
  put_matrix(total, matrices);
  barrier();
  put_band_sums(s, call.of_sums.sums, own, own.channel, 1, s.w.taps + 1, slots,
                [&](int32_t, int32_t tap) {
                  const int at =
                      tap == s.w.taps ? kRowBandColumns : tap % kMatrixRows * 8 + tap / kMatrixRows;
                  float sum = 0;
                  for (int i = 0; i < kBandWaves; ++i) sum += matrices[i * kMatrixRows * 8 + at];
                  if (sum == sum) return sum;
                  sum = 0;
                  for (int32_t i = 0; i < call.turns * kBandWaves; ++i) {
                    auto image = static_cast<uint32_t>(piece_of(0, i));
                    if (static_cast<int32_t>(image) >= call.count) break;
                    const auto piece = static_cast<int32_t>(take_remainder(call.pieces, &image));
                    sum += sum_piece_again(call.of_sums, static_cast<int32_t>(image), own.channel,
                                           piece * kRowResults, tap);
                  }
                  return sum;
                });
}

// Blocks that keep the largest chip of today busy, a power of two for each channel, as far as there are
// pieces.
inline int64_t row_bands_splits(const Shape& s, int64_t count) {
  const int64_t wanted = kSumMultiprocessors * 8;
  int64_t splits = 1;
  while (splits * s.channels < wanted && splits * kBandWaves < count) splits *= 2;
  return splits;
}
inline int64_t row_pieces(const Shape& s) {
  const int32_t reach = s.w.out + kMatrixRows;
  return ceil_div(reach > s.w.in ? reach : s.w.in, kRowResults);
}
inline int64_t row_bands_splits(const Shape& s) {
  return row_bands_splits(s, row_pieces(s) * s.batch);
}

template <class T>
int launch_row_bands_gradients(const BackwardArgs& a, const Shape& s, const polyops_context* ctx) {
  const int64_t pieces = row_pieces(s), count = pieces * s.batch, splits = row_bands_splits(s);
  const int cluster = cluster_of(splits, ctx);
  const bool out = polyops_is_present(&a.grad_src) != 0;
  const auto* grad = static_cast<const T*>(a.grad_dst.data);
  const Strides of_grad = {int64_t{s.channels} * s.w.out, s.w.out, 0, 1};
  const Strides of_src = {int64_t{s.channels} * s.w.in, s.w.in, 0, 1};
  const RowBandsGradientsCall<T> call = {
      {turned(s),
       grad,
       out ? static_cast<T*>(a.grad_src.data) : nullptr,
       of_grad,
       of_src,
       turned(taps_of<T>(a.weight), s),
       {nullptr, 0},
       0,
       false},
      {s, grad, static_cast<const T*>(a.src.data), of_grad, of_src,
       sums_of<T>(a, cluster > 1 ? 1 : splits, ctx), 0, 0},
      Division(static_cast<uint32_t>(pieces)),
      static_cast<int32_t>(count),
      static_cast<int32_t>(ceil_div(count, splits * kBandWaves)),
      out};
  const LaunchShape shape = {splits * s.channels, kBandThreads, 0, cluster};
  const int status = launch(gradients_of_row_bands<T>, shape, ctx, call);
  return launch_add_parts(status, s, call.of_sums.sums, ctx);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_ROW_BANDS_GRADIENTS_H_
