// The gradient of src, of a depthwise convolution with one filter per channel. With stride 1 it is
// the convolution of grad_dst with the taps backwards; else one sum of shifted copies per phase of
// the stride (source_grid.h).
#ifndef POLYOPS_CPU_CONVOLUTION_DEPTHWISE_SOURCE_H_
#define POLYOPS_CPU_CONVOLUTION_DEPTHWISE_SOURCE_H_

#include <cstddef>
#include <cstdint>

#include "convolution/depthwise.h"
#include "convolution/source_grid.h"
#include "parallel.h"

namespace polyops::cpu {
namespace {

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
  int64_t count = 0;
  for (int64_t phase = 0; phase < plan.grid.phases(); ++phase) {
    begins[phase] = count;
    for_each_tap(plan.shape, [&](int64_t t0, int64_t t1, int64_t t2) {
      if (plan.grid.phase_of(t0, t1, t2) != phase) return;
      taps[count++] = {tap_of(weight, t0, t1, t2), plan.grid.shift(t0, t1, t2)};
    });
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
                   const SourceGrid grid = source_band(plan.shape, band * plan.rows, plan.rows);
                   const PadPlan pad(grid.padded, grad_dst.at);
                   for (int64_t i = begin; i < end; ++i) {
                     source.run(grid, pad, i / plan.shape.groups, i % plan.shape.groups,
                                scratch + thread * plan.thread_elements());
                   }
                 }
               });
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_CONVOLUTION_DEPTHWISE_SOURCE_H_
