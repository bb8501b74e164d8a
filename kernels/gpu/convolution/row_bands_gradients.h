// All gradients of what row_bands.h convolves, at once. Bound: memory, input and gradient of the
// results read once, gradient of the input written once. A wave has some pieces of the channel's
// rows, one after the other, of which the next one is on its way.
#ifndef POLYOPS_GPU_CONVOLUTION_ROW_BANDS_GRADIENTS_H_
#define POLYOPS_GPU_CONVOLUTION_ROW_BANDS_GRADIENTS_H_

#include "band_sums.h"
#include "row_bands.h"
#include "row_sums.h"

namespace polyops::gpu {
namespace {

template <class T>
struct RowBandsGradientsCall {
  AnywhereCall<T> plain;  // of the results' gradients, by the filter turned
  AnySumsCall<T> of_sums;
  Division pieces;   // of a row
  int32_t count;     // of a channel
  int32_t turns;     // pieces of a wave
  int32_t ahead;     // of a row of results, that it reads
  bool wants_input;  // its gradient
};

// A piece of both tensors that a wave takes, if it has one.
template <class T>
struct WavePiece {
  bool has;
  uint32_t plane;
  int32_t first;      // of the gradients
  int32_t meets, up;  // what the first of them meets of the input; what lies in its unit before

  GPU_DEVICE WavePiece(const RowBandsGradientsCall<T>& call, int32_t channel, uint32_t index)
      : has(static_cast<int32_t>(index) < call.count) {
    const Shape& s = call.of_sums.shape;
    uint32_t image = has ? index : 0;
    const auto piece = static_cast<int32_t>(take_remainder(call.pieces, &image));
    plane = image * static_cast<uint32_t>(s.channels) + static_cast<uint32_t>(channel);
    // Tensors begin with a unit.
    first = piece * kPieceResults - static_cast<int32_t>(row_of(s.w.out) % kUnit);
    meets = first - s.w.padding;
    up = static_cast<int32_t>((row_of(s.w.in) + static_cast<uint32_t>(meets)) % kUnit);
  }
  GPU_DEVICE uint32_t row_of(int32_t columns) const {
    return plane * static_cast<uint32_t>(columns);
  }
  // room: of both.
  GPU_DEVICE void fetch(const RowBandsGradientsCall<T>& call, T* room) const {
    const Axis& w = call.of_sums.shape.w;
    if (has) {
      fetch_piece(call.of_sums.grad + row_of(w.out), first - call.ahead, w.out, room);
      fetch_piece(call.of_sums.src + row_of(w.in), meets - up, w.in, room + kPieceRoom);
    }
    close_copies();
  }
  // What was fetched last but one.
  GPU_DEVICE void finish(const RowBandsGradientsCall<T>& call, T* room) const {
    wait_copies<1>();
    wave_barrier();
    if (first <= 0) {
      clear_before_row(first - call.ahead, room);
      clear_before_row(meets - up, room + kPieceRoom);
    }
    wave_barrier();
  }
};

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
  float sum = sum_of_matrices(matrices, kBandWaves, tap, tap == call.of_sums.shape.w.taps);
  if (sum == sum) return sum;
  sum = 0;
  for (int32_t i = 0; i < call.turns * kBandWaves; ++i) {
    const WavePiece<T> its(call, own.channel, piece_of(call, own, 0, i));
    if (!its.has) break;
    const auto n = static_cast<int32_t>(its.plane / call.of_sums.shape.channels);
    sum += sum_piece_again(call.of_sums, n, own.channel, its.first, tap);
  }
  return sum;
}

template <class T>
GPU_KERNEL(kBandThreads, 8)
gradients_of_row_bands(RowBandsGradientsCall<T> call) {
  await_earlier();
  GPU_SHARED(Words, memory, 4 * kBandWaves * kPieceUnits);
  GPU_SHARED(float, matrices, kBandWaves* kSumWords);
  GPU_SHARED(uint32_t, filters, kBandWaves * 2 * kFilterWords);
  GPU_SHARED(float, slots, (kMostBandTaps + 1) * kMostCluster);
  const Shape& s = call.of_sums.shape;
  const SplitOfChannel own(s.channels);
  const int32_t wave = thread_id() / 32;
  // One piece is on its way while one is multiplied.
  T* const rooms = reinterpret_cast<T*>(memory) + wave * 4 * kPieceRoom;
  const auto room_of = [&](int32_t turn) { return rooms + turn % 2 * (2 * kPieceRoom); };
  const auto piece = [&](int32_t turn) {
    return WavePiece<T>(call, own.channel, piece_of(call, own, turn, wave));
  };
  WavePiece<T> its = piece(0);
  its.fetch(call, room_of(0));
  const Taps<T>& taps = call.plain.taps;
  uint32_t* const words = filters + wave * (2 * kFilterWords);
  fetch_row_filter(taps.data + own.channel * taps.c, taps.w, s.w.taps, words);
  float* const matrix = matrices + wave * kSumWords;
  for (int i = thread_id() % 32; i < kSumWords; i += 32) matrix[i] = 0;
  RowSums sums;
  int32_t up = its.up;
#pragma unroll 1
  for (int32_t turn = 0; turn < call.turns; ++turn) {
    after_products();  // of the piece before, whose room is the next one's
    WavePiece<T> next = piece(turn + 1);
    if (turn + 1 == call.turns) next.has = false;
    next.fetch(call, room_of(turn + 1));
    const T* const grads = room_of(turn);
    its.finish(call, room_of(turn));
    if (its.has) {
      if (its.up != up) sums.put(matrix, up);
      up = its.up;
      sums.add_piece(grads + call.ahead, grads + kPieceRoom);
      if (call.wants_input) {
        uint32_t filter[kRowUnits];
        load_row_filter(words, call.ahead - call.plain.shape.w.padding, filter);
        convolve_piece(call.plain, its.plane, its.first, grads, filter, 0.0f);
      }
    }
    its = next;
  }
  after_products();  // the last turn may have put some
  sums.put(matrix, up);
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
  return pieces_of_row(std::max(s.w.in, s.w.out), s.w.out);
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
      units_ahead(turned(s).w.padding),
      out};
  const LaunchShape shape = {splits * s.channels, kBandThreads, 0, cluster};
  const int status = launch(gradients_of_row_bands<T>, shape, ctx, call);
  return launch_add_parts(status, s, call.of_sums.sums, ctx);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_ROW_BANDS_GRADIENTS_H_
