// Any convolution whose channels are planes, as a product without im2col: a tile of filters x
// positions, where step k of the sum (a channel and a tap) reads its row of positions by one shift
// in the padded copy of src (padded.h). The weights are read where they lie, if each filter's are
// dense floats, in whichever order; else from a copy.
#ifndef POLYOPS_CPU_CONVOLUTION_PLANES_H_
#define POLYOPS_CPU_CONVOLUTION_PLANES_H_

#include <cstddef>
#include <cstdint>

#include "convolution/padded.h"
#include "convolution/shape.h"
#include "gemm/packing.h"
#include "parallel.h"

namespace polyops::cpu {
namespace {

// Of the padded channels of one band of rows: they are read once per tile of filters, from L2.
constexpr int64_t kPlanesElements = 131072;
// Fewer positions than that are split among threads by filters.
constexpr int64_t kLeastPositions = 256;
constexpr int64_t kLeastFilters = 12;

template <class S>
struct PlanesTile {
  const S* weights;  // of filter r from weights + r * stride
  int64_t stride, k;
  const int32_t* shifts;  // k of them
  const S* padded;
  const S* start;  // of each filter; nullptr: the sums are added to what stands in dst
  S* dst;
  int64_t dst_stride;  // of a filter
};

template <class V, class S, int kRows, int kVectors>
void run_tile(const PlanesTile<S>& t) {
  V acc[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) acc[r][v] = t.start ? V::set1(t.start[r]) : V::zero();
  }
  const S* weights = t.weights;
  const S* padded = t.padded;
  const int32_t* shifts = t.shifts;
  const int64_t stride = t.stride;
  for (int64_t k = t.k; k > 0; --k) {
    const S* from = padded + *shifts++;
    V b[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) b[v] = load<V>(from + v * V::kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const V a = V::set1(weights[r * stride]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[r][v] = fma(a, b[v], acc[r][v]);
    }
    ++weights;
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      S* dst = t.dst + r * t.dst_stride + v * V::kLanes;
      store(dst, t.start ? acc[r][v] : acc[r][v] + load<V>(dst));
    }
  }
}

template <class V, class S>
inline constexpr auto kPlanesTiles = make_grid<V, void (*)(const PlanesTile<S>&)>(
    []<int kRows, int kVectors>() { return &run_tile<V, S, kRows, kVectors>; });

// Sums of more than `most` steps in blocks.
template <class V, class S>
inline void run_tile_in_blocks(PlanesTile<S> tile, int64_t rows, int64_t columns, int64_t most) {
  const auto run = kPlanesTiles<V, S>.fn[ceil_div(columns, V::kLanes) - 1][rows - 1];
  int64_t left = tile.k;
  const int64_t block = ceil_div(left, max_of(1, ceil_div(left, most)));
  do {
    tile.k = min_of(left, block);
    run(tile);
    tile.weights += tile.k;
    tile.shifts += tile.k;
    tile.start = nullptr;
    left -= tile.k;
  } while (left > 0);
}

// How the images of one group are cut: into bands of rows, and among threads by what is computed
// from each, `outputs` filters or channels, if the bands are too few.
struct Cut {
  int64_t rows, bands, parts;
};

struct Uncut {
  int64_t height, positions, outputs;
};

// elements(rows): of the padded channels of that many rows.
template <class Elements>
inline Cut cut_images(const Uncut& whole, int64_t images, int64_t threads,
                      const Elements& elements) {
  const Bands bands = choose_bands(
      whole.height, max_of(1, whole.positions / kLeastPositions),
      [&](int64_t rows) { return elements(rows) <= kPlanesElements; },
      [&](int64_t count) { return images * count % threads == 0; });
  const int64_t idle = threads / (images * bands.count);
  return {bands.rows, bands.count, max_of(1, min_of(idle, whole.outputs / kLeastFilters))};
}

// Units are (item, group, band of rows, part of the filters).
struct PlanesPlan {
  Shape shape;
  int64_t rows, bands, filter_parts;
  Padded padded;  // of a band
  int64_t k, thread_elements;

  int64_t units() const { return shape.batch * shape.groups * bands * filter_parts; }
};

inline PlanesPlan planes_plan(const Shape& shape, int64_t threads) {
  PlanesPlan plan;
  plan.shape = shape;
  plan.k = shape.channels * shape.taps();
  const Cut cut = cut_images(
      {shape.side[1].out, shape.pixels(), shape.filters}, shape.batch * shape.groups, threads,
      [&](int64_t rows) { return shape.channels * padded_of(shape, 0, rows).size(); });
  plan.rows = cut.rows;
  plan.bands = cut.bands;
  plan.filter_parts = cut.parts;
  plan.padded = padded_of(shape, 0, plan.rows);
  plan.thread_elements = rounded_up(shape.channels * plan.padded.size() + kOverread);
  return plan;
}

// Of the steps of k, for weights in that order.
inline void list_shifts(const Shape& shape, const Padded& padded, WeightOrder order,
                        int32_t* shifts) {
  const auto channel = static_cast<int32_t>(padded.size());
  const int64_t channels = shape.channels, taps = shape.taps();
  const bool last = order == WeightOrder::kChannelsLast;
  int64_t k = 0;
  for_each_tap(shape, [&](int64_t t0, int64_t t1, int64_t t2) {
    const auto shift = static_cast<int32_t>(padded.shift(t0, t1, t2));
    for (int64_t c = 0; c < (last ? channels : 1); ++c) {
      shifts[k++] = shift + static_cast<int32_t>(c) * channel;
    }
  });
  for (; k < channels * taps; ++k) shifts[k] = shifts[k - taps] + channel;
}

// Some filters, of all groups', and some rows of one item's result.
struct PlanesUnit {
  int64_t item, group, row, first_filter, filters;
};

template <class Plan>
inline PlanesUnit unit_of(const Plan& plan, int64_t index) {
  const Shape& shape = plan.shape;
  const int64_t part = index % plan.filter_parts, band = index / plan.filter_parts % plan.bands;
  const int64_t image = index / plan.filter_parts / plan.bands, group = image % shape.groups;
  const int64_t begin = part * shape.filters / plan.filter_parts;
  const int64_t end = (part + 1) * shape.filters / plan.filter_parts;
  return {image / shape.groups, group, band * plan.rows, group * shape.filters + begin,
          end - begin};
}

// The channels that a unit sees, one padded copy behind the other.
template <class V, class E, class S>
inline void pad_channels(const Shape& shape, const Padded& padded, const E* src,
                         const Strides& strides, const PlanesUnit& unit, S* copies) {
  const E* from = src + unit.item * strides.batch + unit.group * shape.channels * strides.channel;
  const PadPlan pad(padded, strides.at);
  for (int64_t c = 0; c < shape.channels; ++c) {
    pad_channel<V>(pad, from + c * strides.channel, copies + c * padded.size());
  }
}

template <class V, class E>
struct PlanesForward {
  using S = typename V::Scalar;
  const polyops_convolution_args& args;
  const PlanesPlan& plan;
  const int32_t* shifts;
  const S* weights;
  int64_t filter_stride;
  Strides src, dst;

  void run(int64_t index, S* scratch) const {
    const PlanesUnit unit = unit_of(plan, index);
    const Padded padded = band_of(plan.shape, plan.padded, unit.row);
    pad_channels<V>(plan.shape, padded, static_cast<const E*>(args.src.data), src, unit, scratch);
    E* to = static_cast<E*>(args.dst.data) + unit.item * dst.batch + unit.row * dst.at[1];
    run_filters(padded, scratch, unit.first_filter, unit.filters, to);
  }

  void run_filters(const Padded& padded, const S* channels, int64_t first, int64_t count,
                   E* to) const {
    S sums[kMaxRows * kTileColumns<V>], start[kMaxRows];
    const int64_t positions = padded.positions();
    const Split tiles(count, rows_of<V>(kMaxVectors<V>));
    PlanesTile<S> tile;
    tile.stride = filter_stride;
    tile.k = plan.k;
    tile.shifts = shifts;
    tile.start = start;
    tile.dst = sums;
    tile.dst_stride = kTileColumns<V>;
    for (int64_t i = 0; i < tiles.count; ++i) {
      const int64_t filter = first + tiles.begin(i), rows = tiles.size(i);
      for (int64_t r = 0; r < rows; ++r) start[r] = bias_of(filter + r);
      tile.weights = weights + filter * filter_stride;
      for (int64_t j = 0; j < positions; j += kTileColumns<V>) {
        const int64_t columns = min_of(kTileColumns<V>, positions - j);
        tile.padded = channels + j;
        run_tile_in_blocks<V>(tile, rows, columns, kSumSteps<S>);
        for (int64_t r = 0; r < rows; ++r) {
          unpad<V>(padded, j, columns, sums + r * kTileColumns<V>, to + (filter + r) * dst.channel,
                   dst.at);
        }
      }
    }
  }

  S bias_of(int64_t filter) const {
    if (polyops_is_present(&args.bias) == 0) return 0;
    return get(static_cast<const E*>(args.bias.data) + filter * args.bias.strides[0]);
  }
};

inline const char* planes_supports(const void* data) {
  const auto& args = *static_cast<const polyops_convolution_args*>(data);
  if (!has_dtype(args.dst.dtype) || !one_dtype(args)) return "dtype";
  const Shape shape = forward_shape(args);
  if (!has_small_strides(shape)) return "stride";
  // Bands that are larger than a row fit the cache, and so the shifts.
  return shape.channels * padded_of(shape, 0, 1).size() > INT32_MAX ? "size" : nullptr;
}

// Whether the weights have to be copied.
inline bool copies_weights(const polyops_convolution_args& args, const Shape& shape) {
  return is_half(args.weight.dtype) || weight_order(shape, args.weight) == WeightOrder::kNone;
}

inline size_t planes_scratch(const void* data, int32_t threads) {
  const auto& args = *static_cast<const polyops_convolution_args*>(data);
  const Shape shape = forward_shape(args);
  const PlanesPlan plan = planes_plan(shape, threads);
  const int64_t weights =
      copies_weights(args, shape) ? rounded_up(args.weight.sizes[0] * plan.k) : 0;
  return rounded_up(plan.k) * sizeof(int32_t) +
         (weights + threads * plan.thread_elements) * width_of(args.dst.dtype);
}

// The weights one filter after the other, taps last.
template <class E, class S>
void copy_weights(const polyops_context* ctx, const PlanesPlan& plan, const polyops_tensor& weight,
                  S* copy) {
  const Strides from = strides_of(weight);
  parallel_for(ctx, weight.sizes[0], grain_of(8.0 * plan.k),
               [&](int64_t begin, int64_t end, int32_t) {
                 for (int64_t f = begin; f < end; ++f) {
                   const auto* filter = static_cast<const E*>(weight.data) + f * from.batch;
                   for_each_weight(plan.shape, WeightOrder::kTapsLast,
                                   [&](int64_t k, int64_t c, int64_t t0, int64_t t1, int64_t t2) {
                                     copy[f * plan.k + k] =
                                         get(filter + c * from.channel + tap_of(from, t0, t1, t2));
                                   });
                 }
               });
}

inline int planes_launch(const void* data, const polyops_context* ctx) {
  const auto& args = *static_cast<const polyops_convolution_args*>(data);
  const PlanesPlan plan = planes_plan(forward_shape(args), ctx->num_threads);
  auto* shifts = static_cast<int32_t*>(ctx->scratch);
  with_types(args.dst.dtype, [&]<class V, class E>() {
    using S = typename V::Scalar;
    auto* scratch = reinterpret_cast<S*>(shifts + rounded_up(plan.k));
    const S* weights = static_cast<const S*>(args.weight.data);
    int64_t filter_stride = args.weight.strides[0];
    WeightOrder order = weight_order(plan.shape, args.weight);
    if (copies_weights(args, plan.shape)) {
      order = WeightOrder::kTapsLast;
      copy_weights<E>(ctx, plan, args.weight, scratch);
      weights = scratch;
      filter_stride = plan.k;
      scratch += rounded_up(args.weight.sizes[0] * plan.k);
    }
    list_shifts(plan.shape, plan.padded, order, shifts);
    const PlanesForward<V, E> forward = {
        args, plan, shifts, weights, filter_stride, strides_of(args.src), strides_of(args.dst)};
    for_each_unit(ctx, plan.units(), plan.shape.products(), scratch, plan.thread_elements,
                  [&](int64_t unit, S* own) { forward.run(unit, own); });
  });
  return POLYOPS_OK;
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_CONVOLUTION_PLANES_H_
