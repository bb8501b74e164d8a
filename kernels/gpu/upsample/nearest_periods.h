// Forward of Nearest, of planes whose rows of dst begin anywhere: as forward_periods.h, of bits
// that are copied.
#ifndef POLYOPS_GPU_UPSAMPLE_NEAREST_PERIODS_H_
#define POLYOPS_GPU_UPSAMPLE_NEAREST_PERIODS_H_

#include "forward_periods.h"

namespace polyops::gpu {
namespace {

// T: bits.
template <class T, int kWide>
class NearestResults {
 public:
  GPU_DEVICE NearestResults(const Image<T>& image, int plane, int column)
      : columns_(image.columns), rows_(image.rows) {
    row_ = columns_.from * static_cast<int>(sizeof(T));
    in_ = reinterpret_cast<const char*>(image.in + int64_t{plane} * rows_.from * columns_.from);
    out_ = image.out + (int64_t{plane} * rows_.to * columns_.to + column);
    float unused;
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      at_[j] = sizeof(T) * static_cast<uint32_t>(Nearest::first(columns_, column + j, &unused));
    }
  }

  // Of the rows from that one on, each a period after the one before.
  GPU_DEVICE void go(int row, int stop, int period) const {
    T* out = out_ + int64_t{row} * columns_.to;
    const int64_t step = int64_t{period} * columns_.to;
    T next[kWide];
    read(row, next);
#pragma unroll 1
    for (; row < stop; row += period, out += step) {
      T x[kWide];
#pragma unroll
      for (int j = 0; j < kWide; ++j) x[j] = next[j];
      read(row + period, next);  // before what is stored
      store(out, x);
    }
  }

 private:
  GPU_DEVICE void read(int row, T (&x)[kWide]) const {
    float unused;
    const int from = Nearest::first(rows_, row < rows_.to ? row : rows_.to - 1, &unused);
    const char* const line = in_ + int64_t{from} * row_;
#pragma unroll
    for (int j = 0; j < kWide; ++j) x[j] = *reinterpret_cast<const T*>(line + at_[j]);
  }
  GPU_DEVICE static void store(T* p, const T (&x)[kWide]) {
    if constexpr (kWide == 1) {
      *p = x[0];
    } else if constexpr (sizeof(T) == 4) {
      store_words(p, {{x[0], x[1], x[2], x[3]}});
    } else {
      const auto both = [&](int i) { return x[i] | static_cast<uint32_t>(x[i + 1]) << 16; };
      store_words(p, {{both(0), both(2), both(4), both(6)}});
    }
  }

  const Axis &columns_, &rows_;
  const char* in_;
  T* out_;
  int row_;             // in bytes
  uint32_t at_[kWide];  // in bytes
};

// False where another kernel is to do it.
template <class T>
bool nearest_periods(const Image<T>& image, const polyops_context* ctx, int* status) {
  if (image.columns.to < image.columns.from) return false;
  return launch_periods<NearestResults>(image, ctx, status);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_UPSAMPLE_NEAREST_PERIODS_H_
