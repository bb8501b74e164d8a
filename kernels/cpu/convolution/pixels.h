// Any convolution whose channels lie next to each other (channels_last), as a product without
// im2col: a tile of pixels x filters, where step k of the sum (a tap and a channel) is one shift
// from each pixel in src, or in a copy with its padding. The weights are packed into panels, per
// call and thread, in the order in which they lie. Lost: panels that polyops.freeze() packs (1.00
// to 1.11 on ResNet-50's layers; planes.h read from interleaved weights: 1.00). Most layers run at
// 90 to 95 % of the multiply-adds there are; rows of 7 pixels, cut into tiles of 4 and 3, at 50 %.
#ifndef POLYOPS_CPU_CONVOLUTION_PIXELS_H_
#define POLYOPS_CPU_CONVOLUTION_PIXELS_H_

#include <cstddef>
#include <cstdint>

#include "convolution/padded.h"
#include "convolution/shape.h"
#include "gemm/packing.h"
#include "gemm/panel.h"
#include "parallel.h"

namespace polyops::cpu {
namespace {

// Steps of k whose panel of weights stays in L2 (192 KB).
constexpr int64_t kPixelsBlockK = 768;
// Of the padded copy of a unit's images, in L2 too.
constexpr int64_t kPixelsElements = 131072;
// Columns of a panel of any ISA's tiles.
constexpr int64_t kWidestPanel = 64;
// What a unit needs at least for the packing of its weights to be worth it.
constexpr int64_t kLeastPixels = 192;

// As multiply_tile (gemm/tile.h), but that a step of k is a shift from a table.
template <class V, class S, int kRows, int kVectors>
void run_pixels(const Tile<V, S, S>& t, const int32_t* shifts) {
  V acc[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) acc[r][v] = V::zero();
  }
  const S* rhs = t.rhs;
  const int64_t lhs_m = t.lhs_m, rhs_k = t.rhs_k;
  for (int64_t p = t.k; p > 0; --p) {
    const S* lhs = t.lhs + *shifts++;
    V b[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) b[v] = load<V>(rhs + v * V::kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const V a = V::set1(lhs[r * lhs_m]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[r][v] = fma(a, b[v], acc[r][v]);
    }
    rhs += rhs_k;
  }
  store_tile(t, acc);
}

template <class V, class S>
inline constexpr auto kPixelsTiles = make_grid<V, void (*)(const Tile<V, S, S>&, const int32_t*)>(
    []<int kRows, int kVectors>() { return &run_pixels<V, S, kRows, kVectors>; });

// How the work is cut: units are (items, group, band of rows, part of the filters).
struct PixelsPlan {
  Shape shape;
  int64_t k, block_k;
  int64_t items;  // of the batch in one unit
  int64_t rows, bands;
  int64_t filter_parts;
  bool copies;  // src is read from a padded copy
  int64_t copy_strides[kSpatial], copy_elements;
  int64_t thread_elements;

  int64_t item_parts() const { return ceil_div(shape.batch, items); }
  int64_t units() const { return item_parts() * shape.groups * bands * filter_parts; }
};

inline int64_t touched(const Side& s, int64_t out) {
  return (out - 1) * s.stride + (s.taps - 1) * s.dilation + 1;
}

inline void set_rows(PixelsPlan& plan, int64_t rows) {
  const Shape& shape = plan.shape;
  plan.rows = rows;
  plan.copy_strides[2] = shape.channels;
  plan.copy_strides[1] = touched(shape.side[2], shape.side[2].out) * shape.channels;
  plan.copy_strides[0] = touched(shape.side[1], plan.rows) * plan.copy_strides[1];
  plan.copy_elements = touched(shape.side[0], shape.side[0].out) * plan.copy_strides[0];
}

inline PixelsPlan pixels_plan(const Shape& shape, int32_t dtype, int64_t threads) {
  PixelsPlan plan;
  plan.shape = shape;
  plan.k = shape.channels * shape.taps();
  const int64_t most = dtype == POLYOPS_FLOAT64 ? kSumSteps<double> : kPixelsBlockK;
  plan.block_k = ceil_div(plan.k, ceil_div(plan.k, most));
  plan.copies = false;
  for (const Side& s : shape.side) plan.copies |= s.padding > 0;
  const int64_t height = shape.side[1].out;
  const int64_t images = shape.batch * shape.groups;
  const Bands bands = choose_bands(
      height, max_of(1, shape.pixels() / kLeastPixels),
      [&](int64_t rows) {
        set_rows(plan, rows);
        return !plan.copies || plan.copy_elements <= kPixelsElements;
      },
      [&](int64_t count) { return images * count % threads == 0; });
  set_rows(plan, bands.rows);
  plan.bands = bands.count;
  plan.items = 1;
  if (plan.bands == 1) {
    const int64_t fit = min_of(kPixelsElements / plan.copy_elements, shape.batch / threads);
    plan.items = max_of(1, min_of(fit, ceil_div(4 * kLeastPixels, shape.pixels())));
  }
  plan.filter_parts = 1;
  const int64_t units = plan.units();
  if (units < threads) {
    plan.filter_parts = max_of(1, min_of(threads / units, shape.filters / 32));
  }
  plan.thread_elements =
      rounded_up(plan.copies ? plan.items * plan.copy_elements : 0) + plan.block_k * kWidestPanel;
  return plan;
}

// The rows of one item that a band of results touches, with zeros for the padding.
template <class V, class S>
void pad_pixels(const PixelsPlan& plan, const S* src, const Strides& strides, int64_t first,
                S* dst) {
  const Shape& shape = plan.shape;
  const int64_t length[kSpatial] = {touched(shape.side[0], shape.side[0].out),
                                    touched(shape.side[1], plan.rows),
                                    touched(shape.side[2], shape.side[2].out)};
  const int64_t channels = shape.channels, origin1 = first * shape.side[1].stride;
  for (int64_t i0 = 0; i0 < length[0]; ++i0) {
    for (int64_t i1 = 0; i1 < length[1]; ++i1) {
      const int64_t at0 = i0 - shape.side[0].padding;
      const int64_t at1 = i1 + origin1 - shape.side[1].padding;
      const bool inside = at0 >= 0 && at0 < shape.side[0].in && at1 >= 0 && at1 < shape.side[1].in;
      const S* row = src + at0 * strides.at[0] + at1 * strides.at[1];
      for (int64_t i2 = 0; i2 < length[2]; ++i2, dst += channels) {
        const int64_t at2 = i2 - shape.side[2].padding;
        if (inside && at2 >= 0 && at2 < shape.side[2].in) {
          copy_row<V>(row + at2 * strides.at[2], 1, channels, dst);
        } else {
          clear<V>(dst, channels);
        }
      }
    }
  }
}

template <class V>
struct PixelsForward {
  using S = typename V::Scalar;
  const polyops_convolution_args& args;
  const PixelsPlan& plan;
  const int32_t* shifts;
  Strides src, weight, dst;

  // Where the results of an item's band are computed from.
  struct Source {
    const S* at;
    int64_t strides[kSpatial];
  };

  void run(int64_t unit, S* scratch) const {
    const Shape& shape = plan.shape;
    const int64_t part = unit % plan.filter_parts, band = unit / plan.filter_parts % plan.bands;
    const int64_t image = unit / plan.filter_parts / plan.bands;
    const int64_t item = image / shape.groups * plan.items, group = image % shape.groups;
    const int64_t items = min_of(plan.items, shape.batch - item), first = band * plan.rows;
    const S* from = static_cast<const S*>(args.src.data) + group * shape.channels;
    if (plan.copies) {
      for (int64_t i = 0; i < items; ++i) {
        pad_pixels<V>(plan, from + (item + i) * src.batch, src, first,
                      scratch + i * plan.copy_elements);
      }
    }
    S* panel = scratch + rounded_up(plan.copies ? plan.items * plan.copy_elements : 0);
    const int64_t begin = group * shape.filters + part * shape.filters / plan.filter_parts;
    const int64_t end = group * shape.filters + (part + 1) * shape.filters / plan.filter_parts;
    for (int64_t f = begin; f < end; f += kTileColumns<V>) {
      const int64_t filters = min_of(kTileColumns<V>, end - f);
      const int64_t length = ceil_div(filters, V::kLanes) * V::kLanes;
      for (int64_t k = 0; k < plan.k; k += plan.block_k) {
        const int64_t steps = min_of(plan.block_k, plan.k - k);
        pack_transposed<V>(static_cast<const S*>(args.weight.data) + f * weight.batch + k,
                           weight.batch, steps, filters, panel, length);
        for (int64_t i = 0; i < items; ++i) {
          const Source source = source_of(from, item + i, first, scratch + i * plan.copy_elements);
          run_panel(source, item + i, first, panel, f, filters, k, steps);
        }
      }
    }
  }

  Source source_of(const S* from, int64_t item, int64_t first, const S* copy) const {
    if (plan.copies) {
      return {copy, {plan.copy_strides[0], plan.copy_strides[1], plan.copy_strides[2]}};
    }
    const int64_t row = first * plan.shape.side[1].stride;
    return {from + item * src.batch + row * src.at[1], {src.at[0], src.at[1], src.at[2]}};
  }

  // The filters [f, f + filters) of a band, of the steps [k, k + steps).
  void run_panel(const Source& source, int64_t item, int64_t first, const S* panel, int64_t f,
                 int64_t filters, int64_t k, int64_t steps) const {
    const Shape& shape = plan.shape;
    const int64_t vectors = ceil_div(filters, V::kLanes);
    const bool bias = k == 0 && polyops_is_present(&args.bias) != 0;
    Tile<V, S, S> tile;
    tile.k = steps;
    tile.lhs_m = shape.side[2].stride * source.strides[2];
    tile.rhs = panel;
    tile.rhs_k = vectors * V::kLanes;
    tile.dst_m = dst.at[2];
    tile.addend_m = k == 0 ? 0 : dst.at[2];
    tile.alpha = tile.beta = S{1};
    tile.addend_kind = bias || k > 0 ? kAddendRow : kNoAddend;
    tile.last = static_cast<int32_t>(filters - (vectors - 1) * V::kLanes);
    const Split tiles(shape.side[2].out, rows_of<V>(static_cast<int>(vectors)));
    const auto& kernels = kPixelsTiles<V, S>.fn[vectors - 1];
    const int64_t end = min_of(first + plan.rows, shape.side[1].out);
    for (int64_t p0 = 0; p0 < shape.side[0].out; ++p0) {
      for (int64_t p1 = first; p1 < end; ++p1) {
        const S* row = source.at + p0 * shape.side[0].stride * source.strides[0] +
                       (p1 - first) * shape.side[1].stride * source.strides[1];
        S* to =
            static_cast<S*>(args.dst.data) + item * dst.batch + f + p0 * dst.at[0] + p1 * dst.at[1];
        for (int64_t i = 0; i < tiles.count; ++i) {
          tile.lhs = row + tiles.begin(i) * tile.lhs_m;
          tile.dst = to + tiles.begin(i) * dst.at[2];
          tile.addend = bias ? static_cast<const S*>(args.bias.data) + f : tile.dst;
          kernels[tiles.size(i) - 1](tile, shifts + k);
        }
      }
    }
  }
};

inline int64_t pixel_shift(const PixelsPlan& plan, const int64_t (&strides)[kSpatial], int64_t c,
                           int64_t t0, int64_t t1, int64_t t2) {
  const Side* s = plan.shape.side;
  return c + t0 * s[0].dilation * strides[0] + t1 * s[1].dilation * strides[1] +
         t2 * s[2].dilation * strides[2];
}

inline const char* pixels_supports(const void* data) {
  const auto& args = *static_cast<const polyops_convolution_args*>(data);
  if (!has_dtype(args.dst.dtype) || is_half(args.dst.dtype) || !one_dtype(args)) {
    return "dtype";
  }
  if (args.src.strides[1] != 1 || args.dst.strides[1] != 1) return "layout";
  if (polyops_is_present(&args.bias) != 0 && args.bias.strides[0] != 1) return "layout of the bias";
  const Shape shape = forward_shape(args);
  if (weight_order(shape, args.weight) == WeightOrder::kNone) return "layout of the weight";
  const PixelsPlan plan = pixels_plan(shape, args.dst.dtype, 1);
  const Strides src = strides_of(args.src);
  const int64_t last =
      pixel_shift(plan, plan.copies ? plan.copy_strides : src.at, shape.channels - 1,
                  shape.side[0].taps - 1, shape.side[1].taps - 1, shape.side[2].taps - 1);
  return last > INT32_MAX ? "size" : nullptr;
}

inline size_t pixels_scratch(const void* data, int32_t threads) {
  const auto& args = *static_cast<const polyops_convolution_args*>(data);
  const PixelsPlan plan = pixels_plan(forward_shape(args), args.dst.dtype, threads);
  const size_t width = polyops_dtype_size(args.dst.dtype);
  return rounded_up(plan.k) * sizeof(int32_t) + threads * plan.thread_elements * width;
}

inline int pixels_launch(const void* data, const polyops_context* ctx) {
  const auto& args = *static_cast<const polyops_convolution_args*>(data);
  const PixelsPlan plan = pixels_plan(forward_shape(args), args.dst.dtype, ctx->num_threads);
  const Strides src = strides_of(args.src);
  auto* shifts = static_cast<int32_t*>(ctx->scratch);
  for_each_weight(plan.shape, weight_order(plan.shape, args.weight),
                  [&](int64_t k, int64_t c, int64_t t0, int64_t t1, int64_t t2) {
                    shifts[k] = static_cast<int32_t>(
                        pixel_shift(plan, plan.copies ? plan.copy_strides : src.at, c, t0, t1, t2));
                  });
  with_types(args.dst.dtype, [&]<class V, class E>() {
    using S = typename V::Scalar;
    if constexpr (sizeof(E) == sizeof(S)) {
      auto* scratch = reinterpret_cast<S*>(shifts + rounded_up(plan.k));
      const PixelsForward<V> forward = {
          args, plan, shifts, src, strides_of(args.weight), strides_of(args.dst)};
      for_each_unit(ctx, plan.units(), plan.shape.products(), scratch, plan.thread_elements,
                    [&](int64_t unit, S* own) { forward.run(unit, own); });
    }
  });
  return POLYOPS_OK;
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_CONVOLUTION_PIXELS_H_
