// A convolution's weight as the right-hand side of products on AMX, whose step along k is 32
// channels of one tap: the panels of amx_pack.h,
//   [group][panel of 32 filters][block of 32 channels][tap][16 pairs of channels][32 filters][2],
// missing filters zero; the last panel of a group 16 filters wide if that suffices.
#ifndef POLYOPS_CPU_CONVOLUTION_WEIGHT_PANELS_H_
#define POLYOPS_CPU_CONVOLUTION_WEIGHT_PANELS_H_

#include <cstdint>

#include "convolution/shape.h"
#include "gemm/amx_pack.h"
#include "parallel.h"

#if defined(POLYOPS_ISA_AVX512)

namespace polyops::cpu {
namespace {

struct WeightPanels {
  int64_t groups, filters, blocks, taps;  // of one group

  explicit WeightPanels(const Shape& shape)
      : groups(shape.groups),
        filters(shape.filters),
        blocks(shape.channels / kTileDepth),
        taps(shape.taps()) {}

  int64_t steps() const { return blocks * taps; }
  int64_t panels() const { return ceil_div(filters, kPanel); }
  // From one panel to the next.
  int64_t panel_elements() const { return kPanel * kTileDepth * steps(); }
  int64_t group_elements() const {
    const int64_t last = filters - (panels() - 1) * kPanel;
    return (panels() - 1) * panel_elements() + panel_width(last) * kTileDepth * steps();
  }
  int64_t elements() const { return groups * group_elements(); }
};

// The channels of a block and the taps lie behind each other, the taps of a channel first: the
// words at one tap are that tap of a channel and the next one.
struct TapPairs {
  __m512i even, odd;  // of channels 0, 2, ... and 1, 3, ...

  TapPairs(const bf16* from, int64_t taps) {
    const __m512i each = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i at = _mm512_mullo_epi32(each, _mm512_set1_epi32(static_cast<int32_t>(2 * taps)));
    even = _mm512_i32gather_epi32(at, from, 2);
    odd = _mm512_i32gather_epi32(at, from + taps, 2);
  }
  F32 first() const {
    return words({_mm512_mask_blend_epi16(0xaaaaaaaa, even, _mm512_slli_epi32(odd, 16))});
  }
  F32 second() const {
    return words({_mm512_mask_blend_epi16(0xaaaaaaaa, _mm512_srli_epi32(even, 16), odd)});
  }
};

// One filter's 32 channels of a tap, in pairs.
inline F32 weights_of_tap(const bf16* channels, int64_t stride, int64_t tap_at, WeightOrder order,
                          int64_t taps, int64_t tap) {
  if (stride == 1) return words(load_pairs(channels + tap_at));
  if (order == WeightOrder::kTapsLast) {
    // Nothing behind the last tap of the last channel is read.
    return tap + 1 < taps ? TapPairs(channels + tap, taps).first()
                          : TapPairs(channels + tap - 1, taps).second();
  }
  alignas(64) bf16 copy[kTileDepth];
  for (int64_t c = 0; c < kTileDepth; ++c) copy[c] = channels[c * stride + tap_at];
  return words(load_pairs(copy));
}

struct WeightPacking {
  const polyops_tensor& weight;
  WeightPanels panels;
  Shape shape;
  Strides strides;
  WeightOrder order;
  bf16* packed;

  // 32 channels of at most 16 filters from `first` on, all taps; `to`: where a row of pairs is
  // `width` words.
  void pack_filters(const bf16* first, int64_t filters, int64_t width, bf16* to) const {
    int64_t tap = 0;
    for_each_tap(shape, [&](int64_t t0, int64_t t1, int64_t t2) {
      const int64_t at = tap_of(strides, t0, t1, t2);
      F32 block[16];
      for (int64_t f = 0; f < 16; ++f) {
        block[f] = f < filters ? weights_of_tap(first + f * strides.batch, strides.channel, at,
                                                order, panels.taps, tap)
                               : F32::zero();
      }
      transpose(block);
#pragma GCC unroll 16
      for (int p = 0; p < 16; ++p) store_pairs(to + 2 * p * width, pairs(block[p]));
      to += kTileDepth * width;
      ++tap;
    });
  }

  void pack_block(int64_t group, int64_t panel, int64_t block) const {
    const int64_t filter = panel * kPanel, count = panels.filters - filter;
    const int64_t width = panel_width(count);
    bf16* to = packed + group * panels.group_elements() + panel * panels.panel_elements() +
               block * panels.taps * kTileDepth * width;
    const bf16* from = static_cast<const bf16*>(weight.data) +
                       (group * panels.filters + filter) * strides.batch +
                       block * kTileDepth * strides.channel;
    for (int64_t f = 0; f < width; f += 16) {
      pack_filters(from + f * strides.batch, min_of(16, count - f), width, to + 2 * f);
    }
  }
};

inline void pack_weight_panels(const polyops_tensor& weight, int32_t groups, bf16* packed,
                               const polyops_context* ctx) {
  const Shape shape = shape_of_weight(groups, weight);
  const WeightPanels panels(shape);
  const WeightPacking packing = {
      weight, panels, shape, strides_of(weight), weight_order(shape, weight), packed};
  const int64_t blocks = panels.blocks, of_group = panels.panels() * blocks;
  parallel_for(ctx, groups * of_group, grain_of(2e3 * panels.taps),
               [&](int64_t begin, int64_t end, int32_t) {
                 for (int64_t i = begin; i < end; ++i) {
                   packing.pack_block(i / of_group, i % of_group / blocks, i % blocks);
                 }
               });
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_ISA_AVX512
#endif  // POLYOPS_CPU_CONVOLUTION_WEIGHT_PANELS_H_
