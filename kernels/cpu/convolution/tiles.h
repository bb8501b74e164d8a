// Any convolution in bfloat16 on the tiles of AMX, channels being planes: gemm_amx's blocks of
// filters x positions (gemm/amx_part.h). The weights are its lhs, where they lie; what im2col would
// write is packed straight into its panels, one shift in a padded copy of src (padded.h) for each
// step of the sum, a few panels at a time, so that they stay in L2. The results go by way of a
// buffer, since positions between the rows of the image belong to no result. Bound: 2 flops per
// weight and result, 1024 a cycle; with few results the bytes of the weights. Emerald Rapids, 2
// threads, us, stock's in brackets: 3 x 3 of 64x56x56 149 (247), of 512x7x7 173 (601), with stride
// 2 of 128x56x56 171 (358), 7 x 7 of 3x224x224 216 (712). Of the first, products are a third,
// packing a quarter, the copies into and out of the padding a fifth. Lost: the weights copied to
// tiles once per call (0 to 15 %); those copies as whole vectors of bfloat16 instead of by way of
// floats (nothing); blocks of 384 KB or 1.4 MB (0 to 10 %).
#ifndef POLYOPS_CPU_CONVOLUTION_TILES_H_
#define POLYOPS_CPU_CONVOLUTION_TILES_H_

#include <cstddef>
#include <cstdint>

#include "convolution/planes.h"
#include "gemm/amx_part.h"
#include "parallel.h"

namespace polyops::cpu {
namespace {

#if defined(POLYOPS_ISA_AVX512)

// Of the padded channels of a band, beside the panels in L2.
constexpr int64_t kTilesElements = 262144;

// Units are (item, group, band of rows, part of the filters).
struct TilesPlan {
  Shape shape;
  int64_t k, padded_k;
  int64_t rows, bands, filter_parts;
  Padded padded;          // of a band
  int64_t block_columns;  // positions packed at a time
  // Of a thread, in bytes: padded channels, panels, results of a block, what AmxPart needs.
  int64_t padded_bytes, panel_bytes, result_bytes, part_bytes;

  int64_t units() const { return shape.batch * shape.groups * bands * filter_parts; }
  int64_t thread_bytes() const { return padded_bytes + panel_bytes + result_bytes + part_bytes; }
  int64_t most_filters() const { return ceil_div(shape.filters, filter_parts); }
};

// The cut with the least time on the thread that has most to do, in cycles per step of k: a panel
// packed (80), and 64 for each block of it.
inline void cut_for_tiles(TilesPlan& plan, int64_t threads) {
  const Shape& shape = plan.shape;
  const int64_t height = shape.side[1].out, images = shape.batch * shape.groups;
  const int64_t blocks = ceil_div(shape.filters, 32);
  int64_t least = 1;
  while (least < height &&
         shape.channels * padded_of(shape, 0, ceil_div(height, least)).size() > kTilesElements) {
    ++least;
  }
  int64_t best = 0;
  for (int64_t count = least; count <= min_of(height, max_of(least, 2 * threads)); ++count) {
    const Bands bands(height, ceil_div(height, count));
    const int64_t parts = max_of(1, min_of(blocks, threads / (images * bands.count)));
    const int64_t turns = ceil_div(images * bands.count * parts, threads);
    const int64_t panels = ceil_div(padded_of(shape, 0, bands.rows).positions(), kPanel);
    const int64_t cost = turns * panels * (80 + 64 * ceil_div(blocks, parts));
    if (best != 0 && cost >= best) continue;
    best = cost;
    plan.rows = bands.rows;
    plan.bands = bands.count;
    plan.filter_parts = parts;
  }
}

// A block of results of one unit as a product.
inline AmxProblem tiles_problem(const TilesPlan& plan, int64_t filters, int64_t columns) {
  AmxProblem p = {};
  p.batch = 1;
  p.m = filters;
  p.n = columns;
  p.k = plan.k;
  p.lhs_m = plan.k;
  p.lhs_k = 1;
  p.dst_m = plan.block_columns;
  p.dst_n = 1;
  p.alpha = 1;
  p.beta = 1;
  return p;
}

inline TilesPlan tiles_plan(const Shape& shape, int64_t threads) {
  TilesPlan plan;
  plan.shape = shape;
  plan.k = shape.channels * shape.taps();
  plan.padded_k = ceil_div(plan.k, kTileDepth) * kTileDepth;
  cut_for_tiles(plan, threads);
  plan.padded = padded_of(shape, 0, plan.rows);
  const int64_t panels = ceil_div(plan.padded.positions(), kPanel);
  const int64_t fit = kAmxBytes / (2 * kPanel * plan.padded_k);
  plan.block_columns = kPanel * min_of(panels, max_of(1, fit));
  const AmxPlan part =
      amx_plan_of(tiles_problem(plan, plan.most_filters(), plan.block_columns), 1, true);
  constexpr int64_t kWidth = sizeof(bf16);
  plan.padded_bytes = kWidth * 2 * rounded_up(shape.channels * plan.padded.size() / 2 + kOverread);
  plan.panel_bytes = kWidth * plan.block_columns * plan.padded_k;
  // unpad() reads whole vectors, behind the last of the results, too.
  plan.result_bytes = kWidth * (plan.most_filters() * plan.block_columns + kOverread);
  plan.part_bytes = static_cast<int64_t>(part.part_bytes);
  return plan;
}

// Panels of `columns` positions: of row k of them the one that begins at padded[shifts[k]].
inline void pack_positions(const bf16* padded, const int32_t* shifts, const TilesPlan& plan,
                           int64_t columns, bf16* panels) {
  for (int64_t j = 0; j < columns; j += kPanel) {
    const int64_t width = panel_width(columns - j);
    bf16* to = panels + j * plan.padded_k;
    for (int64_t k = 0; k < plan.k; k += 2, to += 2 * width) {
      const Bf16Pairs even = load_pairs(padded + shifts[k] + j);
      const Bf16Pairs odd =
          k + 1 < plan.k ? load_pairs(padded + shifts[k + 1] + j) : pairs(F32::zero());
      const Pair<Bf16Pairs> both = interleave(even, odd);
      store_pairs(to, both.first);
      if (width > 16) store_pairs(to + 32, both.second);
    }
    zero_pairs(panels + j * plan.padded_k, width, ceil_div(plan.k, 2), plan.padded_k / 2);
  }
}

struct TilesForward {
  const polyops_convolution_args& args;
  const TilesPlan& plan;
  const int32_t* shifts;
  Strides src, dst;

  void run(int64_t index, char* scratch, Finisher& finisher) const {
    const PlanesUnit unit = unit_of(plan, index);
    const Padded padded = band_of(plan.shape, plan.padded, unit.row);
    pad_channels<F32>(plan.shape, padded, static_cast<const bf16*>(args.src.data), src, unit,
                      reinterpret_cast<bf16*>(scratch));
    bf16* to = static_cast<bf16*>(args.dst.data) + unit.item * dst.batch + unit.row * dst.at[1];
    run_filters(padded, scratch, unit.first_filter, unit.filters, to, finisher);
  }

  void run_filters(const Padded& padded, char* scratch, int64_t first, int64_t count, bf16* to,
                   Finisher& finisher) const {
    const auto* channels = reinterpret_cast<const bf16*>(scratch);
    auto* panels = reinterpret_cast<bf16*>(scratch + plan.padded_bytes);
    auto* results = reinterpret_cast<bf16*>(scratch + plan.padded_bytes + plan.panel_bytes);
    char* own = scratch + plan.padded_bytes + plan.panel_bytes + plan.result_bytes;
    const int64_t positions = padded.positions();
    for (int64_t j = 0; j < positions; j += plan.block_columns) {
      const int64_t columns = min_of(plan.block_columns, positions - j);
      pack_positions(channels + j, shifts, plan, columns, panels);
      AmxProblem p = tiles_problem(plan, count, columns);
      p.lhs_m = args.weight.strides[0];
      p.lhs = static_cast<const bf16*>(args.weight.data) + first * p.lhs_m;
      p.rhs = panels;
      p.dst = results;
      p.has_addend = polyops_is_present(&args.bias) != 0;
      if (p.has_addend) {
        p.addend_m = args.bias.strides[0];
        p.addend = static_cast<const bf16*>(args.bias.data) + first * p.addend_m;
      }
      run_amx_part(p, amx_plan_of(p, 1, true), 0, own, finisher);
      finisher.run_all();
      for (int64_t f = 0; f < count; ++f) {
        unpad<F32>(padded, j, columns, results + f * plan.block_columns,
                   to + (first + f) * dst.channel, dst.at);
      }
    }
  }
};

inline const char* tiles_supports(const void* data) {
  const auto& args = *static_cast<const polyops_convolution_args*>(data);
  if (args.dst.dtype != POLYOPS_BFLOAT16 || !one_dtype(args)) return "dtype";
  const Shape shape = forward_shape(args);
  if (!has_small_strides(shape)) return "stride";
  if (weight_order(shape, args.weight) == WeightOrder::kNone) return "layout";
  if (shape.channels * padded_of(shape, 0, 1).size() > INT32_MAX) return "size";
  return has_amx_bf16() && multiplies_bf16() ? nullptr : "no AMX";
}

inline size_t tiles_scratch(const void* data, int32_t threads) {
  const auto& args = *static_cast<const polyops_convolution_args*>(data);
  const TilesPlan plan = tiles_plan(forward_shape(args), threads);
  return rounded_up(plan.k) * sizeof(int32_t) + threads * plan.thread_bytes();
}

inline int tiles_launch(const void* data, const polyops_context* ctx) {
  if (!has_amx_bf16()) return POLYOPS_DECLINED;
  const auto& args = *static_cast<const polyops_convolution_args*>(data);
  const TilesPlan plan = tiles_plan(forward_shape(args), ctx->num_threads);
  auto* shifts = static_cast<int32_t*>(ctx->scratch);
  char* scratch = reinterpret_cast<char*>(shifts + rounded_up(plan.k));
  list_shifts(plan.shape, plan.padded, weight_order(plan.shape, args.weight), shifts);
  const TilesForward forward = {args, plan, shifts, strides_of(args.src), strides_of(args.dst)};
  const int64_t units = plan.units();
  parallel_for(ctx, units, grain_of(plan.shape.products() / 8 / units),
               [&](int64_t begin, int64_t end, int32_t thread) {
                 configure_tiles(min_of(kTileRows, plan.shape.filters / plan.filter_parts));
                 Finisher finisher;
                 for (int64_t i = begin; i < end; ++i) {
                   forward.run(i, scratch + thread * plan.thread_bytes(), finisher);
                 }
                 release_tiles();
               });
  return POLYOPS_OK;
}

#else

inline const char* tiles_supports(const void*) { return "no AMX"; }
inline size_t tiles_scratch(const void*, int32_t) { return 0; }
inline int tiles_launch(const void*, const polyops_context*) { return POLYOPS_DECLINED; }

#endif

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_CONVOLUTION_TILES_H_
