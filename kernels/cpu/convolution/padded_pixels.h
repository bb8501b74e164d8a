// A copy of an image with its padding as padded.h, but that a position holds all channels of a
// group of bfloat16, which lie next to each other: what AMX reads as 16 rows of 32 channels.
#ifndef POLYOPS_CPU_CONVOLUTION_PADDED_PIXELS_H_
#define POLYOPS_CPU_CONVOLUTION_PADDED_PIXELS_H_

#include <cstdint>

#include "convolution/padded.h"
#include "gemm/amx_pack.h"

#if defined(POLYOPS_ISA_AVX512)

namespace polyops::cpu {
namespace {

// Where the pixels of a row of src go in the copy, in positions; -1: nowhere.
inline void list_columns(const Padded::Axis& axis, int64_t plane, int32_t* columns) {
  for (int64_t x = 0; x < axis.in; ++x) {
    const int64_t from_origin = x - axis.origin;
    const int64_t phase = from_origin % axis.stride, position = from_origin / axis.stride;
    const bool used = from_origin >= 0 && position < axis.extent && axis.uses(phase);
    columns[x] = used ? static_cast<int32_t>(phase * plane + position) : -1;
  }
}

struct PixelCopy {
  Padded padded;
  const int32_t* columns;            // list_columns() of the last axis
  int64_t channels, pitch;           // elements of a position, and from one to the next
  int64_t at_channel, at[kSpatial];  // src's strides

  int64_t elements() const { return padded.size() * pitch; }

  void clear(bf16* dst, int64_t positions) const {
    for (int64_t p = 0; p < positions; ++p, dst += pitch) {
      for (int64_t c = 0; c < channels; c += kTileDepth) {
        store_pairs(dst + c, {_mm512_setzero_si512()});
      }
    }
  }

  // 32 channels of at most 32 pixels next to each other: a transposition of pairs of channels.
  void copy_turned(const bf16* src, const int32_t* to, int64_t pixels, bf16* dst) const {
    F32 low[16], high[16];
#pragma GCC unroll 16
    for (int p = 0; p < 16; ++p) {
      const bf16* from = src + 2 * p * at_channel;
      const Pair<Bf16Pairs> both = interleave(load_pairs_partial(from, pixels),
                                              load_pairs_partial(from + at_channel, pixels));
      low[p] = words(both.first);
      high[p] = words(both.second);
    }
    transpose(low);
    for (int64_t i = 0; i < min_of(16, pixels); ++i) {
      if (to[i] >= 0) store_pairs(dst + to[i] * pitch, pairs(low[i]));
    }
    if (pixels <= 16) return;
    transpose(high);
    for (int64_t i = 16; i < min_of(32, pixels); ++i) {
      if (to[i] >= 0) store_pairs(dst + to[i] * pitch, pairs(high[i - 16]));
    }
  }

  void copy_pixel(const bf16* src, bf16* dst) const {
    for (int64_t c = 0; c < channels; c += kTileDepth) store_pairs(dst + c, load_pairs(src + c));
  }

  void gather_pixel(const bf16* src, bf16* dst) const {
    for (int64_t c = 0; c < channels; ++c) dst[c] = src[c * at_channel];
  }

  // One row of src.
  void copy_row(const bf16* src, bf16* dst) const {
    const int64_t width = padded.axis[2].in;
    if (at_channel != 1 && at[2] == 1) {
      for (int64_t x = 0; x < width; x += 32) {
        for (int64_t c = 0; c < channels; c += kTileDepth) {
          copy_turned(src + c * at_channel + x, columns + x, width - x, dst + c);
        }
      }
      return;
    }
    for (int64_t x = 0; x < width; ++x) {
      if (columns[x] < 0) continue;
      const bf16* from = src + x * at[2];
      bf16* to = dst + columns[x] * pitch;
      at_channel == 1 ? copy_pixel(from, to) : gather_pixel(from, to);
    }
  }

  // The rows of phases (phase0, phase1) at position (i0, i1): what is left and right of src, in
  // every phase of the columns.
  void clear_sides(const Phases& phases, int64_t plane, bf16* row) const {
    for (int c = 0; c < phases.count; ++c) {
      const Inside& inside = phases.used[c];
      bf16* first = row + inside.phase * plane * pitch;
      clear(first, inside.begin);
      clear(first + inside.end * pitch, padded.axis[2].extent - inside.end);
    }
  }

  void run(const bf16* src, bf16* dst) const {
    const Phases rows0(padded.axis[0]), rows1(padded.axis[1]), sides(padded.axis[2]);
    const Padded::Axis &a0 = padded.axis[0], &a1 = padded.axis[1], &a2 = padded.axis[2];
    for (int r0 = 0; r0 < rows0.count; ++r0) {
      for (int r1 = 0; r1 < rows1.count; ++r1) {
        const Inside &in0 = rows0.used[r0], &in1 = rows1.used[r1];
        const int64_t phase = (in0.phase * a1.stride + in1.phase) * a2.stride;
        bf16* to = dst + phase * padded.plane() * pitch;
        for (int64_t i0 = 0; i0 < a0.extent; ++i0) {
          for (int64_t i1 = 0; i1 < a1.extent; ++i1, to += a2.extent * pitch) {
            const bool inside = in0.begin <= i0 && i0 < in0.end && in1.begin <= i1 && i1 < in1.end;
            if (!inside) {
              clear_row(sides, to);
              continue;
            }
            clear_sides(sides, padded.plane(), to);
            copy_row(src + (a0.origin + in0.phase + i0 * a0.stride) * at[0] +
                         (a1.origin + in1.phase + i1 * a1.stride) * at[1],
                     to);
          }
        }
      }
    }
  }

  void clear_row(const Phases& phases, bf16* row) const {
    for (int c = 0; c < phases.count; ++c) {
      clear(row + phases.used[c].phase * padded.plane() * pitch, padded.axis[2].extent);
    }
  }
};

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_ISA_AVX512
#endif  // POLYOPS_CPU_CONVOLUTION_PADDED_PIXELS_H_
