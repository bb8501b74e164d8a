// The gradient of src seen as convolutions of grad_dst with stride 1, one per phase of the stride:
// with i + padding = q * stride + phase, src[i] was seen by the taps t with t * dilation % stride
// == phase, from the results q - t * dilation / stride. All phases share one padded copy of
// grad_dst.
#ifndef POLYOPS_CPU_CONVOLUTION_SOURCE_GRID_H_
#define POLYOPS_CPU_CONVOLUTION_SOURCE_GRID_H_

#include <cstdint>

#include "convolution/padded.h"
#include "convolution/shape.h"

namespace polyops::cpu {
namespace {

struct SourceGrid {
  Side side[kSpatial];
  int64_t first[kSpatial];  // q of position 0
  Padded padded;            // of grad_dst; its results are the positions q

  int64_t reach(int d) const { return (side[d].taps - 1) * side[d].dilation / side[d].stride; }
  int64_t phases() const { return side[0].stride * side[1].stride * side[2].stride; }
  int64_t phase_of(int64_t t0, int64_t t1, int64_t t2) const {
    const int64_t taps[kSpatial] = {t0, t1, t2};
    int64_t phase = 0;
    for (int d = 0; d < kSpatial; ++d) {
      phase = phase * side[d].stride + taps[d] * side[d].dilation % side[d].stride;
    }
    return phase;
  }
  // Where the copy holds what tap t contributes to position 0.
  int64_t shift(int64_t t0, int64_t t1, int64_t t2) const {
    const int64_t taps[kSpatial] = {t0, t1, t2};
    int64_t position = 0;
    for (int d = 0; d < kSpatial; ++d) {
      position =
          position * padded.axis[d].extent + reach(d) - taps[d] * side[d].dilation / side[d].stride;
    }
    return position;
  }
  // The position in src of row or column q of a phase; may be outside.
  int64_t source(int d, int64_t q, int64_t phase) const {
    return (first[d] + q) * side[d].stride + phase - side[d].padding;
  }
};

inline int64_t first_position(const Side& s) { return s.padding / s.stride; }
inline int64_t position_count(const Side& s) {
  return (s.in - 1 + s.padding) / s.stride - first_position(s) + 1;
}

// Of the positions [first, first + rows) of dimension 1, counted from 0.
inline SourceGrid source_grid(const Shape& shape, int64_t first, int64_t rows) {
  SourceGrid grid;
  for (int d = 0; d < kSpatial; ++d) {
    const Side& s = grid.side[d] = shape.side[d];
    grid.first[d] = first_position(s) + (d == 1 ? first : 0);
    const int64_t count = d == 1 ? rows : position_count(s);
    grid.padded.axis[d] =
        axis_of(s.out, count, grid.reach(d) + 1, 1, 1, grid.first[d] - grid.reach(d));
  }
  return grid;
}

// The same, but no more rows than there are; they lie as if there were.
inline SourceGrid source_band(const Shape& shape, int64_t first, int64_t rows) {
  SourceGrid grid = source_grid(shape, first, rows);
  grid.padded.axis[1].out = min_of(rows, position_count(shape.side[1]) - first);
  return grid;
}

// One row of src: columns of phase 0 from `positions`, of phase p from p * distance behind it.
template <class V, class S, class E>
inline void join_row(const SourceGrid& grid, const S* positions, int64_t distance, E* dst,
                     int64_t step) {
  const Side& s = grid.side[2];
  const int64_t count = grid.padded.axis[2].out;
  if (s.stride == 1) {
    const S* from = positions - grid.source(2, 0, 0);
    if (step == 1) {
      int64_t i = 0;
      for (; i + V::kLanes <= s.in; i += V::kLanes) store(dst + i, load<V>(from + i));
      if (i < s.in) store_partial(dst + i, load<V>(from + i), s.in - i);
      return;
    }
    for (int64_t i = 0; i < s.in; ++i) put(dst + i * step, from[i]);
    return;
  }
  int64_t q = 0;
  if (s.stride == 2 && step == 1) {
    // Positions that lie inside of src with both phases, a vector of each at a time.
    if (grid.source(2, 0, 0) < 0) {
      if (grid.source(2, 0, 1) >= 0) put(dst + grid.source(2, 0, 1), positions[distance]);
      q = 1;
    }
    for (; grid.source(2, q + V::kLanes - 1, 1) < s.in; q += V::kLanes) {
      const Pair<V> both = interleave(load<V>(positions + q), load<V>(positions + distance + q));
      E* to = dst + grid.source(2, q, 0);
      store(to, both.first);
      store(to + V::kLanes, both.second);
    }
  }
  for (; q < count; ++q) {
    for (int64_t phase = 0; phase < s.stride; ++phase) {
      const int64_t i = grid.source(2, q, phase);
      if (i >= 0 && i < s.in) put(dst + i * step, positions[phase * distance + q]);
    }
  }
}

// All rows of one pair of row phases: the column phases' positions are `distance` apart.
template <class V, class S, class E>
void join_rows(const SourceGrid& grid, int64_t phase0, int64_t phase1, const S* positions,
               int64_t distance, E* dst, const int64_t (&at)[kSpatial]) {
  const Padded::Axis* axis = grid.padded.axis;
  for (int64_t q0 = 0; q0 < axis[0].out; ++q0) {
    const int64_t i0 = grid.source(0, q0, phase0);
    if (i0 < 0 || i0 >= grid.side[0].in) continue;
    for (int64_t q1 = 0; q1 < axis[1].out; ++q1) {
      const int64_t i1 = grid.source(1, q1, phase1);
      if (i1 < 0 || i1 >= grid.side[1].in) continue;
      const S* row = positions + (q0 * axis[1].extent + q1) * axis[2].extent;
      join_row<V>(grid, row, distance, dst + i0 * at[0] + i1 * at[1], at[2]);
    }
  }
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_CONVOLUTION_SOURCE_GRID_H_
