// What row_pieces.h convolves, forward. Bound: memory, 2 elements moved per result. A wave has some
// neighbouring pieces, all of which it asks for before it multiplies the first.
#ifndef POLYOPS_GPU_CONVOLUTION_ROW_BANDS_H_
#define POLYOPS_GPU_CONVOLUTION_ROW_BANDS_H_

#include "row_pieces.h"

namespace polyops::gpu {
namespace {

constexpr int kWavePieces = 2;

template <class T>
struct RowBandsCall {
  AnywhereCall<T> plain;
  Division waves, channels;  // of a row
  int64_t count;             // of waves
  int32_t ahead;             // of a row of results, that it reads
};

template <class T>
GPU_KERNEL(kBandThreads, 10)
convolve_row_bands(RowBandsCall<T> call) {
  await_earlier();
  GPU_SHARED(Words, memory, kBandWaves * kWavePieces * kPieceUnits);
  GPU_SHARED(uint32_t, filters, kBandWaves * 2 * kFilterWords);
  const Axis& w = call.plain.shape.w;
  const int64_t index = block_id() * kBandWaves + thread_id() / 32;
  const bool has = index < call.count;
  auto rest = static_cast<uint32_t>(has ? index : 0);
  const auto piece = static_cast<int32_t>(take_remainder(call.waves, &rest)) * kWavePieces;
  const uint32_t plane = rest, at = plane * static_cast<uint32_t>(w.in);
  const auto channel = static_cast<int32_t>(take_remainder(call.channels, &rest));
  // Of the results of its first piece. Tensors begin with a unit.
  const int32_t first = piece * kPieceResults - static_cast<int32_t>(at % kUnit);
  T* const room = reinterpret_cast<T*>(memory) + thread_id() / 32 * (kWavePieces * kPieceRoom);
#pragma unroll
  for (int i = 0; i < kWavePieces; ++i) {
    fetch_piece(call.plain.src + at, first + i * kPieceResults - call.ahead, w.in,
                room + i * kPieceRoom);
  }
  close_copies();
  const Taps<T>& taps = call.plain.taps;
  uint32_t* const words = filters + thread_id() / 32 * (2 * kFilterWords);
  fetch_row_filter(taps.data + channel * taps.c, taps.w, w.taps, words);
  const float bias = call.plain.bias.at(channel);
  wait_copies<0>();
  wave_barrier();
  if (piece == 0) clear_before_row(first - call.ahead, room);
  wave_barrier();
  if (!has) return;
  uint32_t filter[kRowUnits];
  load_row_filter(words, call.ahead - w.padding, filter);
#pragma unroll 1
  for (int i = 0; i < kWavePieces; ++i) {
    convolve_piece(call.plain, plane, first + i * kPieceResults, room + i * kPieceRoom, filter,
                   bias);
  }
}

// Rows of whole words. Filters of few taps are quicker by themselves.
inline bool has_row_bands(const Shape& s) {
  return s.w.taps > 4 && s.w.taps <= kMostBandTaps && s.w.in % 2 == 0 && s.w.out % 2 == 0;
}

template <class T>
int launch_row_bands(const Shape& s, const T* src, T* dst, const Taps<T>& taps, const Bias<T>& bias,
                     const polyops_context* ctx) {
  const int64_t waves = ceil_div(pieces_of_row(s.w.out, s.w.in), kWavePieces);
  const Strides from = {int64_t{s.channels} * s.w.in, s.w.in, 0, 1};
  const RowBandsCall<T> call = {{s, src, dst, from, {}, taps, bias, 0, false},
                                Division(static_cast<uint32_t>(waves)),
                                Division(static_cast<uint32_t>(s.channels)),
                                waves * s.batch * s.channels,
                                units_ahead(s.w.padding)};
  return launch(convolve_row_bands<T>, {ceil_div(call.count, kBandWaves), kBandThreads}, ctx, call);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_ROW_BANDS_H_
