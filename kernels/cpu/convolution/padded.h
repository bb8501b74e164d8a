// A copy of an image with its padding, taken apart by the phase of the stride, in which every tap
// is one shift: what tap t sees at position (p0, p1, p2) of the result stands at
//   shift(t) + j,   j = (p0 * extent[1] + p1) * extent[2] + p2
// so that a whole image is one row of positions, whatever kernel, stride and dilation. Between the
// rows of the image it holds positions of no result (two of 58 for 3 x 3 taps on 56 columns).
#ifndef POLYOPS_CPU_CONVOLUTION_PADDED_H_
#define POLYOPS_CPU_CONVOLUTION_PADDED_H_

#include <cstdint>

#include "convolution/shape.h"
#include "rows.h"
#include "simd/simd.h"

namespace polyops::cpu {
namespace {

// Vectors that start in the last position read so far behind it.
constexpr int64_t kOverread = 256;

struct Padded {
  struct Axis {
    int64_t in, out, taps, stride, dilation;
    int64_t origin;  // where in src position 0 with tap 0 is
    int64_t extent;  // positions of one phase

    bool uses(int64_t phase) const {
      for (int64_t t = 0; t < taps && t < stride; ++t) {
        if (t * dilation % stride == phase) return true;
      }
      return false;
    }
  };
  Axis axis[kSpatial];

  // From one phase to the next; rows are written in whole vectors, up to one too many.
  int64_t plane() const {
    return axis[0].extent * axis[1].extent * axis[2].extent + (axis[2].stride == 1 ? 0 : 16);
  }
  int64_t size() const { return plane() * axis[0].stride * axis[1].stride * axis[2].stride; }
  // Positions from the first to the last of results.
  int64_t positions() const {
    return ((axis[0].out - 1) * axis[1].extent + axis[1].out - 1) * axis[2].extent + axis[2].out;
  }
  int64_t shift(int64_t t0, int64_t t1, int64_t t2) const {
    const int64_t taps[kSpatial] = {t0, t1, t2};
    int64_t phase = 0, position = 0;
    for (int d = 0; d < kSpatial; ++d) {
      const int64_t offset = taps[d] * axis[d].dilation;
      phase = phase * axis[d].stride + offset % axis[d].stride;
      position = position * axis[d].extent + offset / axis[d].stride;
    }
    return phase * plane() + position;
  }
};

inline Padded::Axis axis_of(int64_t in, int64_t out, int64_t taps, int64_t stride, int64_t dilation,
                            int64_t origin) {
  const int64_t touched = (out - 1) * stride + (taps - 1) * dilation + 1;
  return {in, out, taps, stride, dilation, origin, ceil_div(touched, stride)};
}

// Of the results [first, first + rows) of dimension 1, and all of the others.
inline Padded padded_of(const Shape& shape, int64_t first, int64_t rows) {
  Padded p;
  for (int d = 0; d < kSpatial; ++d) {
    const Side& s = shape.side[d];
    const bool band = d == 1;
    p.axis[d] = axis_of(s.in, band ? rows : s.out, s.taps, s.stride, s.dilation,
                        (band ? first * s.stride : 0) - s.padding);
  }
  return p;
}

// The band of results from row `first` on, of as many rows as band 0 has, or as there are left.
inline Padded band_of(const Shape& shape, Padded band0, int64_t first) {
  Padded::Axis& a = band0.axis[1];
  a.origin = first * a.stride - shape.side[1].padding;
  a.out = min_of(a.out, shape.side[1].out - first);
  return band0;
}

// The positions of one phase that are inside of src: [begin, end).
struct Inside {
  int64_t phase, begin, end;
};

// Larger strides are left to others.
constexpr int kMaxStride = 32;

inline bool has_small_strides(const Shape& shape) {
  bool small = true;
  for (const Side& s : shape.side) small &= s.stride <= kMaxStride;
  return small;
}

// The phases of one axis that a tap uses.
struct Phases {
  int count = 0;
  Inside used[kMaxStride];

  explicit Phases(const Padded::Axis& a) {
    for (int64_t phase = 0; phase < a.stride; ++phase) {
      if (!a.uses(phase)) continue;
      const int64_t first = a.origin + phase;  // of position 0
      const int64_t begin = first >= 0 ? 0 : min_of(ceil_div(-first, a.stride), a.extent);
      const int64_t last = min_of(a.extent, ceil_div(a.in - first, a.stride));
      used[count++] = {phase, begin, first >= a.in ? begin : max_of(begin, last)};
    }
  }
};

// How the rows of one column phase are copied, or of both phases of stride 2.
struct RowCopy {
  int64_t extent, plane;
  int64_t begin, end;   // positions of the phase that lie in src
  int64_t first, step;  // elements of src: of position `begin`, and from one to the next
  bool both;            // phases 0 and 1, from elements that lie next to each other
  int64_t begin1, end1;
};

// What copying one channel takes; the same for all of them.
struct PadPlan {
  Padded padded;
  Phases rows0, rows1, columns;
  int64_t at[kSpatial];
  bool both;

  PadPlan(const Padded& p, const int64_t (&strides)[kSpatial])
      : padded(p), rows0(p.axis[0]), rows1(p.axis[1]), columns(p.axis[2]) {
    for (int d = 0; d < kSpatial; ++d) at[d] = strides[d];
    both = p.axis[2].stride == 2 && at[2] == 1 && columns.count == 2;
  }

  RowCopy row_copy(int i) const {
    const Padded::Axis& a = padded.axis[2];
    const Inside &inside = columns.used[i], &next = columns.used[columns.count - 1];
    return {a.extent,
            padded.plane(),
            inside.begin,
            inside.end,
            (a.origin + inside.phase + inside.begin * a.stride) * at[2],
            a.stride * at[2],
            both,
            next.begin,
            next.end};
  }
};

// Zeros, whole vectors of them: what follows is written later, or belongs to nothing.
template <class V, class S>
inline void clear(S* dst, int64_t n) {
  for (int64_t i = 0; i < n; i += V::kLanes) store(dst + i, V::zero());
}

// n elements, step apart in src; zeros behind them up to a whole vector.
template <class V, class E, class S>
inline void copy_row(const E* src, int64_t step, int64_t n, S* dst) {
  if (step == 1) {
    int64_t i = 0;
    for (; i + V::kLanes <= n; i += V::kLanes) store(dst + i, load<V>(src + i));
    if (i < n) store(dst + i, load_partial<V>(src + i, n - i));
    return;
  }
  for (int64_t i = 0; i < n; ++i) put(dst + i, get(src + i * step));
}

// The first, third, ... of n elements behind each other, and the second, fourth, ...
template <class V, class E, class S>
inline void split_row(const E* src, int64_t n, S* even, S* odd) {
  int64_t i = 0;
  for (; 2 * i < n; i += V::kLanes) {
    const E* from = src + 2 * i;
    const int64_t left = n - 2 * i;
    const bool whole = left >= 2 * V::kLanes;
    const V a = whole ? load<V>(from) : load_partial<V>(from, left);
    const V b = whole ? load<V>(from + V::kLanes)
                      : load_partial<V>(from + V::kLanes, max_of(0, left - V::kLanes));
    const Pair<V> split = deinterleave(a, b);
    store(even + i, split.first);
    store(odd + i, split.second);
  }
}

// One row of src, nullptr for a row of padding. Writes up to a vector behind the row.
template <class V, class E, class S>
inline void pad_row(const RowCopy& c, const E* src, S* dst) {
  if (src == nullptr) {
    clear<V>(dst, c.extent);
    if (c.both) clear<V>(dst + c.plane, c.extent);
    return;
  }
  clear<V>(dst, c.begin);
  if (!c.both) {
    clear<V>(dst + c.end, c.extent - c.end);
    copy_row<V>(src + c.first, c.step, c.end - c.begin, dst + c.begin);
    return;
  }
  clear<V>(dst + c.plane, c.begin1);
  clear<V>(dst + c.end, c.extent - c.end);
  clear<V>(dst + c.plane + c.end1, c.extent - c.end1);
  // Where the padding is odd, the first element inside is phase 1's.
  const bool swapped = c.begin1 < c.begin;
  S* to[2] = {dst + c.begin, dst + c.plane + c.begin1};
  const int64_t n = c.end - c.begin + c.end1 - c.begin1;
  split_row<V>(src + c.first - (swapped ? 1 : 0), n, to[swapped], to[!swapped]);
}

// One channel of src. Writes up to a vector behind each plane.
template <class V, class E, class S>
void pad_channel(const PadPlan& plan, const E* src, S* dst) {
  const Padded::Axis &a0 = plan.padded.axis[0], &a1 = plan.padded.axis[1];
  const int64_t* at = plan.at;
  for (int c = 0; c < (plan.both ? 1 : plan.columns.count); ++c) {
    const RowCopy copy = plan.row_copy(c);
    for (int r0 = 0; r0 < plan.rows0.count; ++r0) {
      for (int r1 = 0; r1 < plan.rows1.count; ++r1) {
        const Inside &rows0 = plan.rows0.used[r0], &rows1 = plan.rows1.used[r1];
        const int64_t phase = (rows0.phase * a1.stride + rows1.phase) * plan.padded.axis[2].stride +
                              plan.columns.used[c].phase;
        S* to = dst + phase * copy.plane;
        for (int64_t i0 = 0; i0 < a0.extent; ++i0) {
          const bool inside0 = rows0.begin <= i0 && i0 < rows0.end;
          const E* from = src + (a0.origin + rows0.phase + i0 * a0.stride) * at[0] +
                          (a1.origin + rows1.phase) * at[1];
          for (int64_t i1 = 0; i1 < a1.extent; ++i1, to += copy.extent) {
            const bool inside = inside0 && rows1.begin <= i1 && i1 < rows1.end;
            pad_row<V>(copy, inside ? from + i1 * a1.stride * at[1] : nullptr, to);
          }
        }
      }
    }
  }
}

// Some positions [j, j + n) of an image, from a dense row of them into dst; what belongs to no
// result is left out.
template <class V, class S, class E>
void unpad(const Padded& p, int64_t j, int64_t n, const S* positions, E* dst,
           const int64_t (&at)[kSpatial]) {
  const int64_t rows = p.axis[1].extent, columns = p.axis[2].extent, width = p.axis[2].out;
  int64_t row = j / columns, column = j - row * columns;
  int64_t p0 = row / rows, p1 = row - p0 * rows;
  while (n > 0) {
    const int64_t step = min_of(n, columns - column);
    const int64_t kept = min_of(step, width - column);
    if (kept > 0 && p1 < p.axis[1].out) {
      E* to = dst + p0 * at[0] + p1 * at[1] + column * at[2];
      if (at[2] == 1) {
        int64_t i = 0;
        for (; i + V::kLanes <= kept; i += V::kLanes) store(to + i, load<V>(positions + i));
        if (i < kept) store_partial(to + i, load<V>(positions + i), kept - i);
      } else {
        for (int64_t i = 0; i < kept; ++i) put(to + i * at[2], get(positions + i));
      }
    }
    positions += step;
    n -= step;
    column = 0;
    if (++p1 == rows) {
      p1 = 0;
      ++p0;
    }
  }
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_CONVOLUTION_PADDED_H_
