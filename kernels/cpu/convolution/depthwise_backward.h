// Gradients of a depthwise convolution with one filter per channel.
//   src     stride 1: the convolution of grad_dst with the taps backwards; else one sum of shifted
//           copies per phase of the stride (source_grid.h)
//   weight  of each tap, the product of grad_dst with the image that the tap sees: both are brought
//           to the same positions (padded.h), and nine taps share each load of grad_dst. A channel
//           is one thread's, over the whole batch.
#ifndef POLYOPS_CPU_CONVOLUTION_DEPTHWISE_BACKWARD_H_
#define POLYOPS_CPU_CONVOLUTION_DEPTHWISE_BACKWARD_H_

#include <cstddef>
#include <cstdint>

#include "convolution/depthwise.h"
#include "convolution/padded.h"
#include "convolution/shape.h"
#include "convolution/source_grid.h"
#include "parallel.h"

namespace polyops::cpu {
namespace {

inline Shape backward_shape(const polyops_convolution_backward_args& a) {
  return shape_of(a.groups, a.window, a.src, a.weight, a.grad_dst);
}

// The convolution of grad_dst that makes grad_src; only where every stride is 1 and no padding is
// wider than the taps reach.
inline bool mirrored_shape(const Shape& shape, Shape* mirrored) {
  *mirrored = shape;
  for (Side& s : mirrored->side) {
    const int64_t padding = (s.taps - 1) * s.dilation - s.padding;
    if (s.stride != 1 || padding < 0) return false;
    s = {s.out, s.in, s.taps, 1, padding, s.dilation};
  }
  return true;
}

// The taps backwards, of the mirrored convolution.
inline void list_mirrored_taps(const Shape& mirrored, const Padded& padded, const Strides& weight,
                               Tap* taps) {
  list_taps(mirrored, padded, weight, taps);
  const int64_t count = mirrored.taps();
  for (int64_t t = 0; t < count / 2; ++t) {
    const int64_t other = taps[t].weight;
    taps[t].weight = taps[count - 1 - t].weight;
    taps[count - 1 - t].weight = other;
  }
}

// --- grad_src with a stride ----------------------------------------------------------------------

struct PhasesPlan {
  Shape shape;
  SourceGrid grid;  // of a band
  int64_t rows, bands;
  int64_t padded_elements, position_elements, weight_elements;

  int64_t phases2() const { return shape.side[2].stride; }
  int64_t thread_elements() const {
    return padded_elements + phases2() * position_elements + weight_elements;
  }
};

inline PhasesPlan phases_plan(const Shape& shape) {
  PhasesPlan plan;
  plan.shape = shape;
  const int64_t height = position_count(shape.side[1]);
  plan.rows = height;
  plan.grid = source_grid(shape, 0, height);
  while (plan.rows > 4 && plan.grid.padded.size() * (1 + plan.phases2()) > 2 * kBandElements) {
    plan.rows = ceil_div(plan.rows, 2);
    plan.grid = source_grid(shape, 0, plan.rows);
  }
  plan.bands = ceil_div(height, plan.rows);
  plan.padded_elements = rounded_up(plan.grid.padded.size() + kOverread);
  plan.position_elements = rounded_up(plan.grid.padded.positions() + kOverread);
  plan.weight_elements = rounded_up(shape.taps());
  return plan;
}

// Grouped by phase: those of phase i are [begins[i], begins[i + 1]).
inline void list_phase_taps(const PhasesPlan& plan, const Strides& weight, Tap* taps,
                            int64_t* begins) {
  const Side* s = plan.shape.side;
  int64_t count = 0;
  for (int64_t phase = 0; phase < plan.grid.phases(); ++phase) {
    begins[phase] = count;
    for (int64_t t0 = 0; t0 < s[0].taps; ++t0) {
      for (int64_t t1 = 0; t1 < s[1].taps; ++t1) {
        for (int64_t t2 = 0; t2 < s[2].taps; ++t2) {
          if (plan.grid.phase_of(t0, t1, t2) != phase) continue;
          taps[count++] = {t0 * weight.at[0] + t1 * weight.at[1] + t2 * weight.at[2],
                           plan.grid.shift(t0, t1, t2)};
        }
      }
    }
  }
  begins[plan.grid.phases()] = count;
}

template <class V, class E>
struct DepthwiseSource {
  using S = typename V::Scalar;
  const polyops_convolution_backward_args& args;
  const PhasesPlan& plan;
  const Tap* taps;
  const int64_t* begins;
  Strides grad_dst, weight, grad_src;

  void run(const SourceGrid& grid, const PadPlan& pad, int64_t item, int64_t channel,
           S* scratch) const {
    S* positions = scratch + plan.padded_elements;
    S* weights = positions + plan.phases2() * plan.position_elements;
    const auto* from = static_cast<const E*>(args.grad_dst.data) + item * grad_dst.batch +
                       channel * grad_dst.channel;
    const auto* w = static_cast<const E*>(args.weight.data) + channel * weight.batch;
    E* to =
        static_cast<E*>(args.grad_src.data) + item * grad_src.batch + channel * grad_src.channel;
    pad_channel<V>(pad, from, scratch);
    const int64_t count = plan.shape.taps();
    for (int64_t t = 0; t < count; ++t) weights[t] = get(w + taps[t].weight);
    const Side* s = plan.shape.side;
    int64_t phase = 0;
    for (int64_t phase0 = 0; phase0 < s[0].stride; ++phase0) {
      for (int64_t phase1 = 0; phase1 < s[1].stride; ++phase1) {
        for (int64_t phase2 = 0; phase2 < s[2].stride; ++phase2, ++phase) {
          const int64_t begin = begins[phase];
          sum_all_taps<V>(scratch, taps + begin, weights + begin, begins[phase + 1] - begin, S{0},
                          grid.padded.positions(), positions + phase2 * plan.position_elements);
        }
        join_rows<V>(grid, phase0, phase1, positions, plan.position_elements, to, grad_src.at);
      }
    }
  }
};

template <class V, class E, class S>
void source_by_phases(const polyops_context* ctx, const polyops_convolution_backward_args& args,
                      const PhasesPlan& plan, const Tap* taps, const int64_t* begins, S* scratch) {
  const Strides grad_dst = strides_of(args.grad_dst);
  const DepthwiseSource<V, E> source = {
      args, plan, taps, begins, grad_dst, strides_of(args.weight), strides_of(args.grad_src)};
  const int64_t planes = plan.shape.batch * plan.shape.groups;
  parallel_for(ctx, planes, grain_of(4 * plan.shape.products() / planes),
               [&](int64_t begin, int64_t end, int32_t thread) {
                 for (int64_t band = 0; band < plan.bands; ++band) {
                   const int64_t first = band * plan.rows;
                   SourceGrid grid = source_grid(plan.shape, first, plan.rows);
                   grid.padded.axis[1].out =
                       min_of(plan.rows, position_count(plan.shape.side[1]) - first);
                   const PadPlan pad(grid.padded, grad_dst.at);
                   for (int64_t i = begin; i < end; ++i) {
                     source.run(grid, pad, i / plan.shape.groups, i % plan.shape.groups,
                                scratch + thread * plan.thread_elements());
                   }
                 }
               });
}

// --- grad_weight and grad_bias -------------------------------------------------------------------

inline bool is_finite(double x) { return x - x == 0; }

// One weight's gradient by its definition, for sums that are not finite: between the rows, zeros of
// grad_dst are multiplied by elements of src that the tap does not see.
template <class E>
double weight_by_definition(const Shape& shape, const E* grad, const Strides& grad_strides,
                            const E* src, const Strides& src_strides, int64_t tap) {
  const Side* s = shape.side;
  int64_t at[kSpatial];  // the tap's
  for (int d = kSpatial - 1; d >= 0; --d) {
    at[d] = tap % s[d].taps * s[d].dilation - s[d].padding;
    tap /= s[d].taps;
  }
  double sum = 0;
  for (int64_t n = 0; n < shape.batch; ++n) {
    for (int64_t i = 0; i < shape.pixels(); ++i) {
      const int64_t p[kSpatial] = {i / s[2].out / s[1].out, i / s[2].out % s[1].out, i % s[2].out};
      int64_t from = n * src_strides.batch, of = n * grad_strides.batch;
      bool inside = true;
      for (int d = 0; d < kSpatial; ++d) {
        const int64_t x = p[d] * s[d].stride + at[d];
        inside &= x >= 0 && x < s[d].in;
        from += x * src_strides.at[d];
        of += p[d] * grad_strides.at[d];
      }
      if (inside) sum += static_cast<double>(get(grad + of)) * get(src + from);
      if (sum != sum) return sum;
    }
  }
  return sum;
}

// The products of kTaps taps with grad_dst, over all positions.
template <class V, int kTaps, class S>
inline void dot_taps(const S* copy, const Tap* taps, const S* grad, int64_t positions,
                     double* sums) {
  V acc[kTaps];
  const S* from[kTaps];
#pragma GCC unroll 9
  for (int t = 0; t < kTaps; ++t) {
    acc[t] = V::zero();
    from[t] = copy + taps[t].shift;
  }
  int64_t j = 0;
  for (; j + V::kLanes <= positions; j += V::kLanes) {
    const V g = load<V>(grad + j);
#pragma GCC unroll 9
    for (int t = 0; t < kTaps; ++t) acc[t] = fma(g, load<V>(from[t] + j), acc[t]);
  }
  if (j < positions) {
    const V g = load_partial<V>(grad + j, positions - j);
#pragma GCC unroll 9
    for (int t = 0; t < kTaps; ++t) {
      acc[t] = fma(g, load_partial<V>(from[t] + j, positions - j), acc[t]);
    }
  }
#pragma GCC unroll 9
  for (int t = 0; t < kTaps; ++t) sums[t] += reduce_add(acc[t]);
}

template <class V, class S>
void dot_all_taps(const S* copy, const Tap* taps, int64_t count, const S* grad, int64_t positions,
                  double* sums) {
  int64_t t = 0;
  for (; t + 9 <= count; t += 9) dot_taps<V, 9>(copy, taps + t, grad, positions, sums + t);
  for (; t + 3 <= count; t += 3) dot_taps<V, 3>(copy, taps + t, grad, positions, sums + t);
  for (; t < count; ++t) dot_taps<V, 1>(copy, taps + t, grad, positions, sums + t);
}

// grad_dst as an image without padding, at the positions of a band's results; zeros between rows.
inline Padded at_positions(const Padded& band) {
  Padded p = band;
  for (int d = 0; d < kSpatial; ++d) {
    Padded::Axis& a = p.axis[d];
    a.in = a.out;
    a.taps = a.stride = a.dilation = 1;
    a.origin = 0;
  }
  return p;
}

template <class V, class E>
struct DepthwiseWeight {
  using S = typename V::Scalar;
  const polyops_convolution_backward_args& args;
  const DepthwisePlan& plan;  // of the forward convolution
  const Tap* taps;
  Strides grad_dst, src, grad_weight;

  // What of the gradient comes from one band of all items; sums: of every tap, then of the bias.
  void add_band(int64_t band, int64_t channel, S* copy, S* grad, double* sums) const {
    const Padded padded = plan.of_band(band), positions = at_positions(padded);
    const PadPlan pad(padded, src.at), pad_grad(positions, grad_dst.at);
    for (int64_t item = 0; item < plan.shape.batch; ++item) {
      const auto* image =
          static_cast<const E*>(args.src.data) + item * src.batch + channel * src.channel;
      const auto* from = static_cast<const E*>(args.grad_dst.data) + item * grad_dst.batch +
                         channel * grad_dst.channel + band * plan.rows * grad_dst.at[1];
      pad_channel<V>(pad_grad, from, grad);
      if (polyops_is_present(&args.grad_weight) != 0) {
        pad_channel<V>(pad, image, copy);
        dot_all_taps<V>(copy, taps, plan.shape.taps(), grad, padded.positions(), sums);
      }
      if (polyops_is_present(&args.grad_bias) != 0) {
        V sum = V::zero();
        const int64_t n = padded.positions();
        for (int64_t j = 0; j < n; j += V::kLanes) {
          sum = sum + load_partial<V>(grad + j, n - j);
        }
        sums[plan.shape.taps()] += reduce_add(sum);
      }
    }
  }

  double definition(int64_t channel, int64_t tap) const {
    return weight_by_definition<E>(
        plan.shape, static_cast<const E*>(args.grad_dst.data) + channel * grad_dst.channel,
        grad_dst, static_cast<const E*>(args.src.data) + channel * src.channel, src, tap);
  }

  void run(int64_t channel, double* sums, S* scratch) const {
    const int64_t count = plan.shape.taps();
    for (int64_t t = 0; t <= count; ++t) sums[t] = 0;
    S* grad = scratch + plan.padded_elements;
    for (int64_t band = 0; band < plan.bands; ++band) add_band(band, channel, scratch, grad, sums);
    if (polyops_is_present(&args.grad_weight) != 0) {
      auto* to = static_cast<E*>(args.grad_weight.data) + channel * grad_weight.batch;
      const Side* s = plan.shape.side;
      for (int64_t t = 0; t < count; ++t) {
        const int64_t t2 = t % s[2].taps, t1 = t / s[2].taps % s[1].taps;
        const int64_t t0 = t / s[2].taps / s[1].taps;
        const double sum = is_finite(sums[t]) ? sums[t] : definition(channel, t);
        put(to + t0 * grad_weight.at[0] + t1 * grad_weight.at[1] + t2 * grad_weight.at[2],
            static_cast<S>(sum));
      }
    }
    if (polyops_is_present(&args.grad_bias) != 0) {
      put(static_cast<E*>(args.grad_bias.data) + channel * args.grad_bias.strides[0],
          static_cast<S>(sums[count]));
    }
  }
};

// --- the kernel ----------------------------------------------------------------------------------

// Its scratch, in bytes: taps, where the phases' taps begin, then what the parts need, one after
// the other.
struct DepthwiseBackwardPlan {
  Shape shape, mirrored;
  bool has_source, is_mirrored, has_weight;
  DepthwisePlan forward, source;
  PhasesPlan phases;
  int64_t begins_bytes, taps_bytes, sums_elements;

  explicit DepthwiseBackwardPlan(const polyops_convolution_backward_args& args)
      : shape(backward_shape(args)) {
    has_source = polyops_is_present(&args.grad_src) != 0;
    has_weight =
        polyops_is_present(&args.grad_weight) != 0 || polyops_is_present(&args.grad_bias) != 0;
    is_mirrored = mirrored_shape(shape, &mirrored);
    forward = depthwise_plan(shape);
    if (is_mirrored) source = depthwise_plan(mirrored);
    phases = phases_plan(shape);
    taps_bytes = rounded_up(shape.taps()) * static_cast<int64_t>(sizeof(Tap));
    begins_bytes = rounded_up(phases.grid.phases() + 1) * static_cast<int64_t>(sizeof(int64_t));
    sums_elements = rounded_up(shape.taps() + 1);
  }

  size_t bytes(int64_t threads, int64_t width) const {
    int64_t elements =
        is_mirrored ? depthwise_elements(source, threads) : threads * phases.thread_elements();
    elements = max_of(elements, threads * forward.thread_elements());
    return taps_bytes + begins_bytes + threads * sums_elements * sizeof(double) + elements * width;
  }
};

inline const char* depthwise_backward_supports(const void* data) {
  const auto& args = *static_cast<const polyops_convolution_backward_args*>(data);
  if (!has_dtype(args.grad_dst.dtype) || !one_dtype(args)) return "dtype";
  if (args.weight.sizes[1] != 1) return "several channels in a group";
  if (args.weight.sizes[0] != args.groups) return "several filters in a group";
  return has_small_strides(backward_shape(args)) ? nullptr : "stride";
}

inline size_t depthwise_backward_scratch(const void* data, int32_t threads) {
  const auto& args = *static_cast<const polyops_convolution_backward_args*>(data);
  return DepthwiseBackwardPlan(args).bytes(threads, width_of(args.grad_dst.dtype));
}

template <class V, class E>
void depthwise_backward(const polyops_convolution_backward_args& args, const polyops_context* ctx) {
  using S = typename V::Scalar;
  const DepthwiseBackwardPlan plan(args);
  auto* bytes = static_cast<char*>(ctx->scratch);
  auto* taps = reinterpret_cast<Tap*>(bytes);
  auto* begins = reinterpret_cast<int64_t*>(bytes + plan.taps_bytes);
  auto* sums = reinterpret_cast<double*>(bytes + plan.taps_bytes + plan.begins_bytes);
  auto* scratch = reinterpret_cast<S*>(sums + ctx->num_threads * plan.sums_elements);
  const Strides weight = strides_of(args.weight), grad_dst = strides_of(args.grad_dst);
  if (plan.has_source && plan.is_mirrored) {
    list_mirrored_taps(plan.mirrored, plan.source.padded, weight, taps);
    const DepthwiseImages<V, E> images = {static_cast<const E*>(args.grad_dst.data),
                                          grad_dst,
                                          static_cast<const E*>(args.weight.data),
                                          weight.batch,
                                          nullptr,
                                          0,
                                          static_cast<E*>(args.grad_src.data),
                                          strides_of(args.grad_src)};
    depthwise_run(ctx, plan.source, taps, images, scratch);
  } else if (plan.has_source) {
    list_phase_taps(plan.phases, weight, taps, begins);
    source_by_phases<V, E>(ctx, args, plan.phases, taps, begins, scratch);
  }
  if (!plan.has_weight) return;
  list_taps(plan.shape, plan.forward.padded, weight, taps);
  Strides grad_weight = {};
  if (polyops_is_present(&args.grad_weight) != 0) grad_weight = strides_of(args.grad_weight);
  const DepthwiseWeight<V, E> job = {args,     plan.forward,         taps,
                                     grad_dst, strides_of(args.src), grad_weight};
  parallel_for(ctx, plan.shape.groups, grain_of(2 * plan.shape.products() / plan.shape.groups),
               [&](int64_t begin, int64_t end, int32_t thread) {
                 for (int64_t channel = begin; channel < end; ++channel) {
                   job.run(channel, sums + thread * plan.sums_elements,
                           scratch + thread * plan.forward.thread_elements());
                 }
               });
}

inline int depthwise_backward_launch(const void* data, const polyops_context* ctx) {
  const auto& args = *static_cast<const polyops_convolution_backward_args*>(data);
  with_types(args.grad_dst.dtype, [&]<class V, class E>() { depthwise_backward<V, E>(args, ctx); });
  return POLYOPS_OK;
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_CONVOLUTION_DEPTHWISE_BACKWARD_H_
