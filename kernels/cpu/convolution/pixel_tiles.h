// Any convolution of 32, 64, ... channels in bfloat16 on the tiles of AMX, without im2col: 16
// positions of a padded copy of src (padded_pixels.h) are a tile's rows, 32 channels of them one
// step along k, and each tap one shift. The weights are its right-hand side, in panels
// (weight_panels.h): packed at each call, or once by polyops.freeze().
// Bound: 2 flops per weight and result, 1024 a cycle; with few results the bytes of the weights.
// Emerald Rapids, 2 threads, us, packed once, packed at each call, tiles.h, stock: 3 x 3 of
// 64x56x56 97, 110, 159, 258; of 8x128x28x28 565, 597, 952, 1030; of 512x7x7 138, 468, 182, 605; of
// 2x320x64x64 3740, 4030, 6200, 5300, which is 84 % of what two cores multiply (first). Packing: 1
// to 2 cycles for each weight whose taps lie behind each other. Lost: pitches of a whole power of
// two from 128 channels on (7 %); the panels not streamed past L1 (up to 3x where both operands
// share it); results kept for 256 or 1024 positions (0 to 4 %).
#ifndef POLYOPS_CPU_CONVOLUTION_PIXEL_TILES_H_
#define POLYOPS_CPU_CONVOLUTION_PIXEL_TILES_H_

#include <cstddef>
#include <cstdint>

#include "convolution/padded_pixels.h"
#include "convolution/pixel_tiles_plan.h"
#include "convolution/pointwise.h"
#include "convolution/weight_panels.h"
#include "gemm/amx_block.h"

#if defined(POLYOPS_ISA_AVX512)

namespace polyops::cpu {
namespace {

// 32 positions x a panel of filters.
struct ShiftedBlock {
  const bf16* positions;
  int64_t pitch;
  const int32_t* shifts;
  const bf16* panel;
  int64_t steps, row_bytes;
};

// As multiply_block (amx_block.h), but that lhs is found by shifts.
template <int kLefts, int kRights>
void multiply_shifted(const ShiftedBlock& block, Finisher& finisher) {
  constexpr int64_t kRowBytes = kPanel * sizeof(float);
  const int64_t pitch = 2 * block.pitch, panel_step = kTileRows * block.row_bytes;
  const bf16* at_c = block.panel;
  zero_tile<kSum>();
  if constexpr (kRights > 1) zero_tile<kSum + 1>();
  if constexpr (kLefts > 1) zero_tile<kSum + 2>();
  if constexpr (kLefts > 1 && kRights > 1) zero_tile<kSum + 3>();
  for (int64_t p = 0; p < block.steps; ++p) {
    const bf16* a = block.positions + block.shifts[p];
    load_step<kLefts, kRights, Streams::kRight>(a, pitch, a + kTileRows * block.pitch, pitch, at_c,
                                                block.row_bytes);
    multiply_step<kLefts, kRights>();
    at_c = advance(at_c, panel_step);
    if (finisher.is_busy()) finisher.run_piece(block.steps);
  }
  finisher.run_all();
  float* sums = finisher.next();
  save_tile<kSum>(sums, kRowBytes);
  if constexpr (kRights > 1) save_tile<kSum + 1>(sums + 16, kRowBytes);
  float* second = sums + kTileRows * kPanel;
  if constexpr (kLefts > 1) save_tile<kSum + 2>(second, kRowBytes);
  if constexpr (kLefts > 1 && kRights > 1) save_tile<kSum + 3>(second + 16, kRowBytes);
}

inline void run_shifted_block(const ShiftedBlock& block, const AmxTarget& target, bool on_side,
                              const AmxPlace& at, Finisher& finisher) {
  const bool tall = at.rows > 16, wide = at.columns > 16, is_long = block.steps >= kLongSteps;
  if (is_long) finisher.expect(target, on_side, at);
  if (tall && wide) {
    multiply_shifted<2, 2>(block, finisher);
  } else if (tall) {
    multiply_shifted<2, 1>(block, finisher);
  } else if (wide) {
    multiply_shifted<1, 2>(block, finisher);
  } else {
    multiply_shifted<1, 1>(block, finisher);
  }
  finisher.begin(target, on_side, at);
  if (!is_long) finisher.run_all();
}

// Filters next to each other: positions [j, j + n) of so many, from rows of kPanel.
inline void unpad_pixels(const Padded& p, int64_t j, int64_t n, const bf16* positions,
                         int64_t filters, bf16* dst, const int64_t (&at)[kSpatial]) {
  const int64_t rows = p.axis[1].extent, columns = p.axis[2].extent;
  for (int64_t i = j; i < j + n; ++i, positions += kPanel) {
    const int64_t row = i / columns, p2 = i % columns, p0 = row / rows, p1 = row % rows;
    if (p2 >= p.axis[2].out || p1 >= p.axis[1].out) continue;
    bf16* to = dst + p0 * at[0] + p1 * at[1] + p2 * at[2];
    const auto lanes = static_cast<__mmask32>(filters >= 32 ? ~0u : (1u << filters) - 1u);
    _mm512_mask_storeu_epi16(to, lanes, load_pairs(positions).v);
  }
}

struct PixelTiles {
  const polyops_convolution_args& args;
  const PixelTilesPlan& plan;
  const int32_t *shifts, *columns;
  const bf16* weights;
  WeightPanels panels;
  Strides src, dst;

  void run(int64_t index, bf16* scratch, Finisher& finisher) const {
    const Shape& shape = plan.shape;
    const int64_t part = index % plan.filter_parts, band = index / plan.filter_parts % plan.bands;
    const int64_t image = index / plan.filter_parts / plan.bands;
    const int64_t group = image % shape.groups, first = image / shape.groups * plan.items;
    const int64_t items = min_of(plan.items, shape.batch - first), row = band * plan.rows;
    const Padded padded = band_of(shape, plan.padded, row);
    const PixelCopy copy = {padded,     columns,     shape.channels,
                            plan.pitch, src.channel, {src.at[0], src.at[1], src.at[2]}};
    const bf16* from = static_cast<const bf16*>(args.src.data) + first * src.batch +
                       group * shape.channels * src.channel;
    for (int64_t i = 0; i < items; ++i) {
      copy.run(from + i * src.batch, scratch + i * plan.copy_elements);
    }
    bf16* to = static_cast<bf16*>(args.dst.data) + first * dst.batch + row * dst.at[1];
    const int64_t end = (part + 1) * plan.panels() / plan.filter_parts;
    for (int64_t p = part * plan.panels() / plan.filter_parts; p < end; ++p) {
      for (int64_t i = 0; i < items; ++i) {
        run_panel(padded, scratch + i * plan.copy_elements, group, p, to + i * dst.batch,
                  scratch + plan.copies_elements, finisher);
      }
    }
  }

  void run_panel(const Padded& padded, const bf16* copy, int64_t group, int64_t panel, bf16* to,
                 bf16* results, Finisher& finisher) const {
    const int64_t filter = panel * kPanel, filters = min_of(kPanel, plan.shape.filters - filter);
    const int64_t first = group * plan.shape.filters + filter, positions = padded.positions();
    const bool last = dst.channel == 1;
    AmxTarget target = {results, last ? kPanel : 1, last ? 1 : kPositions, nullptr, 0, 0, 1, 1};
    if (polyops_is_present(&args.bias) != 0) {
      target.addend_n = args.bias.strides[0];
      target.addend = static_cast<const bf16*>(args.bias.data) + first * target.addend_n;
    }
    ShiftedBlock block = {copy, plan.pitch, shifts, nullptr, plan.steps, 4 * panel_width(filters)};
    block.panel = weights + group * panels.group_elements() + panel * panels.panel_elements();
    for (int64_t j = 0; j < positions; j += kPositions) {
      const int64_t count = min_of(kPositions, positions - j);
      for (int64_t i = 0; i < count; i += 32) {
        block.positions = copy + (j + i) * plan.pitch;
        run_shifted_block(block, target, !last, {i, 0, min_of(32, count - i), filters}, finisher);
      }
      finisher.run_all();
      bf16* image = to + first * dst.channel;
      if (last) {
        unpad_pixels(padded, j, count, results, filters, image, dst.at);
        continue;
      }
      for (int64_t f = 0; f < filters; ++f) {
        unpad<F32>(padded, j, count, results + f * kPositions, image + f * dst.channel, dst.at);
      }
    }
  }
};

inline const char* pixel_tiles_supports(const void* data) {
  const auto& args = *static_cast<const polyops_convolution_args*>(data);
  if (args.dst.dtype != POLYOPS_BFLOAT16 || !one_dtype(args)) return "dtype";
  if (args.weight.sizes[1] % kTileDepth != 0) return "channels";
  const Shape shape = forward_shape(args);
  if (is_pointwise(shape)) return "kernel size";
  if (!has_small_strides(shape)) return "stride";
  if (copy_elements_of(shape, 1) > INT32_MAX) return "size";
  return has_amx_bf16() && multiplies_bf16() ? nullptr : "no AMX";
}

// In front of the threads' own: shifts and columns.
inline int64_t lists_bytes(const PixelTilesPlan& plan) {
  const int64_t entries = rounded_up(plan.steps) + rounded_up(plan.shape.side[2].in);
  return entries * static_cast<int64_t>(sizeof(int32_t));
}

inline size_t pixel_tiles_bytes(const PixelTilesPlan& plan, int32_t threads) {
  return lists_bytes(plan) + sizeof(bf16) * threads * plan.thread_elements();
}

inline size_t pixel_tiles_scratch(const void* data, int32_t threads) {
  const auto& args = *static_cast<const polyops_convolution_args*>(data);
  const size_t weights =
      WeightPanels(shape_of_weight(args.groups, args.weight)).elements() * sizeof(bf16);
  return weights + pixel_tiles_bytes(pixel_tiles_plan(forward_shape(args), threads), threads);
}

inline void run_pixel_tiles(const polyops_convolution_args& args, const bf16* weights,
                            const polyops_context* ctx, char* scratch) {
  const PixelTilesPlan plan = pixel_tiles_plan(forward_shape(args), ctx->num_threads);
  auto* shifts = reinterpret_cast<int32_t*>(scratch);
  int32_t* columns = shifts + rounded_up(plan.steps);
  list_steps(plan, shifts);
  list_columns(plan.padded.axis[2], plan.padded.plane(), columns);
  auto* copies = reinterpret_cast<bf16*>(scratch + lists_bytes(plan));
  const PixelTiles tiles = {args,
                            plan,
                            shifts,
                            columns,
                            weights,
                            WeightPanels(shape_of_weight(args.groups, args.weight)),
                            strides_of(args.src),
                            strides_of(args.dst)};
  const int64_t units = plan.units();
  parallel_for(ctx, units, grain_of(plan.shape.products() / 8 / units),
               [&](int64_t begin, int64_t end, int32_t thread) {
                 configure_tiles(kTileRows);
                 Finisher finisher;
                 for (int64_t i = begin; i < end; ++i) {
                   tiles.run(i, copies + thread * plan.thread_elements(), finisher);
                 }
                 release_tiles();
               });
}

inline int pixel_tiles_launch(const void* data, const polyops_context* ctx) {
  if (!has_amx_bf16()) return POLYOPS_DECLINED;
  const auto& args = *static_cast<const polyops_convolution_args*>(data);
  auto* weights = static_cast<bf16*>(ctx->scratch);
  pack_weight_panels(args.weight, args.groups, weights, ctx);
  auto* behind = reinterpret_cast<char*>(
      weights + WeightPanels(shape_of_weight(args.groups, args.weight)).elements());
  run_pixel_tiles(args, weights, ctx, behind);
  return POLYOPS_OK;
}

constexpr char kWeightPanels[] = "weight panels";

inline const char* weight_panels_supports(const void* data) {
  const auto& args = *static_cast<const polyops_convolution_pack_args*>(data);
  if (!has_amx_bf16() || !multiplies_bf16()) return "no AMX";
  const int32_t dtype = args.weight.dtype;
  // Planes and pixels run at the speed of their multiply-adds: 1.00 to 1.11 from packed weights.
  if (dtype == POLYOPS_FLOAT32 || dtype == POLYOPS_FLOAT64) return "gains nothing in float32";
  if (dtype != POLYOPS_BFLOAT16) return "dtype";
  if (args.weight.sizes[1] % kTileDepth != 0) return "channels";
  const bool pointwise = shape_of_weight(args.groups, args.weight).taps() == 1;
  return pointwise ? "1 x 1: read where it lies" : nullptr;
}

inline int weight_panels_launch(const void* data, const polyops_context* ctx) {
  const auto& args = *static_cast<const polyops_convolution_pack_args*>(data);
  args.pack->format = kWeightPanels;
  if (args.pack->data == nullptr) {
    args.pack->bytes =
        WeightPanels(shape_of_weight(args.groups, args.weight)).elements() * sizeof(bf16);
  } else {
    pack_weight_panels(args.weight, args.groups, static_cast<bf16*>(args.pack->data), ctx);
  }
  return POLYOPS_OK;
}

inline const char* pixel_tiles_prepacked_supports(const void* data) {
  const auto& args = *static_cast<const polyops_convolution_prepacked_args*>(data);
  if (args.pack->format != kWeightPanels) return "packed for another kernel";
  return pixel_tiles_supports(args.convolution);
}

inline size_t pixel_tiles_prepacked_scratch(const void* data, int32_t threads) {
  const auto& args = *static_cast<const polyops_convolution_prepacked_args*>(data);
  return pixel_tiles_bytes(pixel_tiles_plan(forward_shape(*args.convolution), threads), threads);
}

inline int pixel_tiles_prepacked_launch(const void* data, const polyops_context* ctx) {
  if (!has_amx_bf16()) return POLYOPS_DECLINED;
  const auto& args = *static_cast<const polyops_convolution_prepacked_args*>(data);
  run_pixel_tiles(*args.convolution, static_cast<const bf16*>(args.pack->data), ctx,
                  static_cast<char*>(ctx->scratch));
  return POLYOPS_OK;
}

}  // namespace
}  // namespace polyops::cpu

#define POLYOPS_PIXEL_TILES_KERNELS                                                         \
  POLYOPS_KERNEL("convolution", "convolution_pixel_tiles", pixel_tiles_supports,            \
                 pixel_tiles_scratch, pixel_tiles_launch),                                  \
      POLYOPS_KERNEL("convolution_pack", "convolution_pack_panels", weight_panels_supports, \
                     nullptr, weight_panels_launch),                                        \
      POLYOPS_KERNEL("convolution_prepacked", "convolution_prepacked_pixel_tiles",          \
                     pixel_tiles_prepacked_supports, pixel_tiles_prepacked_scratch,         \
                     pixel_tiles_prepacked_launch),

#else

#define POLYOPS_PIXEL_TILES_KERNELS

#endif  // POLYOPS_ISA_AVX512
#endif  // POLYOPS_CPU_CONVOLUTION_PIXEL_TILES_H_
