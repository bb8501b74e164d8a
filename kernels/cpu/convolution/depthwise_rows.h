// Depthwise by blocks of rows x up to 4 vectors of columns: what is loaded of a row of src serves
// every row of results that it is a tap of (3 x 3 taps, 4 rows: one unaligned load per 2
// multiply-adds), and results go straight into dst. With stride 1, float32 is read where it lies,
// the padding masked out; otherwise from the padded copy.
#ifndef POLYOPS_CPU_CONVOLUTION_DEPTHWISE_ROWS_H_
#define POLYOPS_CPU_CONVOLUTION_DEPTHWISE_ROWS_H_

#include <cstdint>

#include "convolution/padded.h"
#include "convolution/shape.h"
#include "simd/simd.h"

namespace polyops::cpu {
namespace {

// One tap: where its weight is, from the filter's first, and its shift in the padded copy.
struct Tap {
  int64_t weight, shift;
};

// One filter of one band.
template <class V, class E>
struct RowsJob {
  using S = typename V::Scalar;
  const Padded& padded;
  const S* copy;    // of the band; unused where src itself is read
  const Tap* taps;  // and their weights, row by row of the filter
  const S* weights;
  S start;
  E* dst;
  int64_t dst_row;
  const S* src;  // the channel
  int64_t src_row;
  const S* zeros;  // a row of them, where src has none
};

template <class V, class E>
using RowKernel = void (*)(const RowsJob<V, E>&);

constexpr int64_t kMostRows = 8;      // of a block
constexpr int64_t kMostHeight = 7;    // of taps
constexpr int64_t kWidestDirect = 8;  // taps, where src is read

// What a block sees in the padded copy: row i of src, from the block's first, with the column tap
// t.
template <class V, class E, int kStride>
struct CopiedRows {
  using S = typename V::Scalar;
  const RowsJob<V, E>& job;
  const S* base;
  int64_t pitch, phase;
  const S* from;

  CopiedRows(const RowsJob<V, E>& j, int64_t column) : job(j) {
    pitch = j.padded.axis[2].extent;
    phase = j.padded.axis[2].stride * j.padded.plane();
    base = j.copy + column;
  }
  void set_block(int64_t row, int64_t) { from = base + row * pitch; }
  V load_at(int i, int64_t t, int v) const {
    const S* at = from + job.taps[t].shift + i % kStride * phase + i / kStride * pitch;
    return load<V>(at + v * V::kLanes);
  }
};

// The same in src itself; stride 1.
template <class V, class E>
struct DirectRows {
  using S = typename V::Scalar;
  const RowsJob<V, E>& job;
  int64_t column, dilation;
  typename V::Mask masks[kWidestDirect][4];
  const S* rows[kMostRows + kMostHeight - 1];

  DirectRows(const RowsJob<V, E>& j, int64_t first) : job(j) {
    const Padded::Axis& a = j.padded.axis[2];
    column = first + a.origin;
    dilation = a.dilation;
    for (int64_t t = 0; t < a.taps; ++t) {
      for (int v = 0; v < 4; ++v) {
        const int64_t at = column + t * dilation + v * V::kLanes;
        const int64_t begin = min_of(max_of(-at, 0), V::kLanes);
        masks[t][v] = lanes_between<V>(begin, min_of(max_of(a.in - at, begin), V::kLanes));
      }
    }
  }
  void set_block(int64_t row, int64_t seen) {
    const Padded::Axis& a = job.padded.axis[1];
    for (int64_t i = 0; i < seen; ++i) {
      const int64_t at = a.origin + row + i;
      rows[i] = (at >= 0 && at < a.in ? job.src + at * job.src_row : job.zeros) + column;
    }
  }
  V load_at(int i, int64_t t, int v) const {
    return load_lanes<V>(rows[i] + t * dilation + v * V::kLanes, masks[t][v]);
  }
};

template <class V, class E, class Source, int kHeight, int kStride, int kRows, int kVectors>
inline void row_block(Source& source, const RowsJob<V, E>& job, int64_t row, int64_t column,
                      int64_t last) {
  constexpr int kSeen = (kRows - 1) * kStride + kHeight;  // rows of src
  const int64_t width = job.padded.axis[2].taps;
  source.set_block(row, kSeen);
  V acc[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) acc[r][v] = V::set1(job.start);
  }
  for (int64_t t = 0; t < width; ++t) {
    V weight[kHeight];
#pragma GCC unroll 7
    for (int h = 0; h < kHeight; ++h) weight[h] = V::set1(job.weights[h * width + t]);
#pragma GCC unroll 32
    for (int i = 0; i < kSeen; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const V x = source.load_at(i, t, v);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          const int h = i - r * kStride;
          if (h >= 0 && h < kHeight) acc[r][v] = fma(weight[h], x, acc[r][v]);
        }
      }
    }
  }
  E* dst = job.dst + row * job.dst_row + column;
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r, dst += job.dst_row) {
#pragma GCC unroll 4
    for (int v = 0; v + 1 < kVectors; ++v) store(dst + v * V::kLanes, acc[r][v]);
    store_partial(dst + (kVectors - 1) * V::kLanes, acc[r][kVectors - 1], last);
  }
}

// A last block that would be too short overlaps the one before: the same results again.
template <class V, class E, class Source, int kHeight, int kStride, int kVectors>
inline void column_block(const RowsJob<V, E>& job, int64_t column, int64_t last) {
  constexpr int kTall = kVectors == 1 ? 8 : 4;
  const int64_t rows = job.padded.axis[1].out;
  Source source(job, column);
  if (rows >= kTall) {
    for (int64_t row = 0; row < rows; row += kTall) {
      row_block<V, E, Source, kHeight, kStride, kTall, kVectors>(
          source, job, min_of(row, rows - kTall), column, last);
    }
  } else if (rows >= 4) {
    for (int64_t row = 0; row < rows; row += 4) {
      row_block<V, E, Source, kHeight, kStride, 4, kVectors>(source, job, min_of(row, rows - 4),
                                                             column, last);
    }
  } else {
    for (int64_t row = 0; row < rows; ++row) {
      row_block<V, E, Source, kHeight, kStride, 1, kVectors>(source, job, row, column, last);
    }
  }
}

template <class V, class E, class Source, int kHeight, int kStride>
void all_rows(const RowsJob<V, E>& job) {
  const int64_t columns = job.padded.axis[2].out;
  constexpr int64_t kLanes = V::kLanes;
  int64_t column = 0;
  for (; columns - column > 4 * kLanes; column += 4 * kLanes) {
    column_block<V, E, Source, kHeight, kStride, 4>(job, column, kLanes);
  }
  const int64_t left = columns - column, vectors = ceil_div(left, kLanes);
  const int64_t last = left - (vectors - 1) * kLanes;
  if (vectors == 4) column_block<V, E, Source, kHeight, kStride, 4>(job, column, last);
  if (vectors == 3) column_block<V, E, Source, kHeight, kStride, 3>(job, column, last);
  if (vectors == 2) column_block<V, E, Source, kHeight, kStride, 2>(job, column, last);
  if (vectors == 1) column_block<V, E, Source, kHeight, kStride, 1>(job, column, last);
}

template <class V, class E, class Source, int kStride>
inline RowKernel<V, E> row_kernel_of(int64_t height) {
  return height == 3   ? all_rows<V, E, Source, 3, kStride>
         : height == 5 ? all_rows<V, E, Source, 5, kStride>
         : height == 7 ? all_rows<V, E, Source, 7, kStride>
                       : nullptr;
}

// Whether rows of src can be read where they lie.
template <class V, class E>
inline bool reads_rows(const Shape& shape, const Strides& src) {
  const Side* s = shape.side;
  return sizeof(E) == sizeof(typename V::Scalar) && src.at[2] == 1 && s[1].stride == 1 &&
         s[2].stride == 1 && s[2].taps <= kWidestDirect;
}

// nullptr for taps of another kind.
template <class V, class E>
inline RowKernel<V, E> row_kernel(const Shape& shape, const Strides& src, const Strides& dst) {
  const Side* s = shape.side;
  if constexpr (V::kLanes > 1) {
    if (dst.at[2] != 1 || s[0].out * s[0].taps != 1 || s[1].dilation != 1) return nullptr;
    if constexpr (sizeof(E) == sizeof(typename V::Scalar)) {
      if (reads_rows<V, E>(shape, src)) return row_kernel_of<V, E, DirectRows<V, E>, 1>(s[1].taps);
    }
    if (s[1].stride == 1) return row_kernel_of<V, E, CopiedRows<V, E, 1>, 1>(s[1].taps);
    if (s[1].stride == 2) return row_kernel_of<V, E, CopiedRows<V, E, 2>, 2>(s[1].taps);
  }
  return nullptr;
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_CONVOLUTION_DEPTHWISE_ROWS_H_
