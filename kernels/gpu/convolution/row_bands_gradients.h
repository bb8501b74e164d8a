// All gradients of what row_bands.h convolves, at once. Bound: memory, input and gradient of the
// results read once, gradient of the input written once.
#ifndef POLYOPS_GPU_CONVOLUTION_ROW_BANDS_GRADIENTS_H_
#define POLYOPS_GPU_CONVOLUTION_ROW_BANDS_GRADIENTS_H_

#include "band_sums.h"
#include "row_pieces.h"

namespace polyops::gpu {
namespace {

template <class T>
struct RowBandsGradientsCall {
  AnywhereCall<T> plain;  // of the results' gradients, by the filter turned
  AnySumsCall<T> of_sums;
  Division pieces;   // of a row
  int32_t count;     // of a channel
  int32_t turns;     // pieces of a wave
  bool wants_input;  // its gradient
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

// The number of one of a wave's pieces, among the channel's.
template <class T>
GPU_DEVICE uint32_t piece_of(const RowBandsGradientsCall<T>& call, const SplitOfChannel& own,
                             int32_t turn, int32_t wave) {
  return static_cast<uint32_t>((own.split * call.turns + turn) * kBandWaves + wave);
}

// A tap's sum, of the block. matrices: of its waves.
template <class T>
GPU_DEVICE float sum_of_block(const RowBandsGradientsCall<T>& call, const SplitOfChannel& own,
                              const float* matrices, int32_t tap) {
  const bool of_bias = tap == call.of_sums.shape.w.taps;
  const int at = of_bias ? kRowBandColumns : tap % kMatrixRows * 8 + tap / kMatrixRows;
  float sum = 0;
  for (int i = 0; i < kBandWaves; ++i) sum += matrices[i * kMatrixRows * 8 + at];
  if (sum == sum) return sum;
  sum = 0;
  for (int32_t i = 0; i < call.turns * kBandWaves; ++i) {
    uint32_t image = piece_of(call, own, 0, i);
    if (static_cast<int32_t>(image) >= call.count) break;
    const auto piece = static_cast<int32_t>(take_remainder(call.pieces, &image));
    sum += sum_piece_again(call.of_sums, static_cast<int32_t>(image), own.channel,
                           piece * kRowResults, tap);
  }
  return sum;
}

// A piece of both tensors that a wave takes, if it has one, and where it lies in the block's
// memory.
template <class T>
struct WavePiece {
  bool has;
  int32_t n, first;
  const T *grad, *src;  // their rows
  RowPiece<T> grads, values;

  GPU_DEVICE static uint32_t index(const RowBandsGradientsCall<T>& call, uint32_t piece) {
    return static_cast<int32_t>(piece) < call.count ? piece : 0;
  }
  GPU_DEVICE static int32_t place(const RowBandsGradientsCall<T>& call, uint32_t piece) {
    uint32_t rest = index(call, piece);
    return static_cast<int32_t>(take_remainder(call.pieces, &rest)) * kRowResults;
  }
  // room: of both.
  GPU_DEVICE WavePiece(const RowBandsGradientsCall<T>& call, int32_t channel, uint32_t piece,
                       T* room)
      : has(static_cast<int32_t>(piece) < call.count),
        first(place(call, piece)),
        grads(room, first, call.of_sums.shape.w.out),
        values(room + kPieceRoom, first, call.of_sums.shape.w.in) {
    const Shape& s = call.of_sums.shape;
    uint32_t image = index(call, piece);
    take_remainder(call.pieces, &image);
    n = static_cast<int32_t>(image);
    const int64_t plane = int64_t{n} * s.channels + channel;
    grad = call.of_sums.grad + plane * s.w.out;
    src = call.of_sums.src + plane * s.w.in;
  }
  GPU_DEVICE void fetch() const {
    if (has) {
      grads.fetch(grad);
      values.fetch(src);
    }
    close_copies();
  }
  // What was fetched last but one.
  GPU_DEVICE void finish() const {
    wait_copies<1>();
    barrier();
    if (has) {
      grads.clear_outside(grad);
      values.clear_outside(src);
    }
    barrier();
  }
};

template <class T>
GPU_KERNEL(kBandThreads, 8)
gradients_of_row_bands(RowBandsGradientsCall<T> call) {
  GPU_SHARED(Words, memory, 4 * kBandWaves * kPieceRoom / kPack<T>);
  GPU_SHARED(float, matrices, kBandWaves* kMatrixRows * 8);
  GPU_SHARED(float, slots, (kMostBandTaps + 1) * kMostCluster);
  const Shape& s = call.of_sums.shape;
  const SplitOfChannel own(s.channels);
  const int32_t wave = thread_id() / 32;
  // One piece is on its way while one is multiplied.
  T* const rooms = reinterpret_cast<T*>(memory) + wave * 4 * kPieceRoom;
  const auto piece = [&](int32_t turn) {
    return WavePiece<T>(call, own.channel, piece_of(call, own, turn, wave),
                        rooms + turn % 2 * (2 * kPieceRoom));
  };
  piece(0).fetch();
  const Taps<T>& taps = call.plain.taps;
  uint32_t filter[kRowUnits];
  load_row_filter(taps.data + own.channel * taps.c, taps.w, s.w.taps,
                  call.plain.shape.w.padding % 2, filter);
  float total[4] = {0, 0, 0, 0};
#pragma unroll 1
  for (int32_t turn = 0; turn < call.turns; ++turn) {
    after_products();  // of the piece before, whose room is the next one's
    if (turn + 1 < call.turns) {
      piece(turn + 1).fetch();
    } else {
      close_copies();
    }
    const WavePiece<T> its = piece(turn);
    its.finish();
    if (!its.has) continue;
    const T* const grads = its.grads.at(its.grad, its.first);
    sum_piece(grads, its.values.at(its.src, its.first), s.w.padding, total);
    if (call.wants_input) {
      convolve_piece(call.plain, its.n, own.channel, its.first, grads, filter);
    }
  }
  put_matrix(total, matrices);
  barrier();
  put_band_sums(s, call.of_sums.sums, own, own.channel, 1, s.w.taps + 1, slots,
                [&](int32_t, int32_t tap) { return sum_of_block(call, own, matrices, tap); });
}

// Blocks of a channel: a power of two, with which the largest chip of today is done first; to begin
// one counts as a piece.
inline int64_t row_bands_splits(const Shape& s, int64_t count) {
  constexpr int64_t kAtOnce = kSumMultiprocessors * 8;
  int64_t best = 1, least = INT64_MAX;
  for (int64_t splits = 1; splits == 1 || splits / 2 * kBandWaves < count; splits *= 2) {
    const int64_t turns = ceil_div(count, splits * kBandWaves);
    const int64_t time = ceil_div(splits * s.channels, kAtOnce) * (turns + 1);
    if (time >= least) continue;
    least = time;
    best = splits;
  }
  return best;
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
