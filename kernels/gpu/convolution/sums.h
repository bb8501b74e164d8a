// Gradients of weight and bias: sums over the batch and all pixels. Blocks leave their parts in the
// workspace, float32, a row for each split: [filter][tap], then the bias's [filter]. A second
// kernel adds the rows up in order, so that results repeat bit for bit. Here are that kernel and
// the sums of any sizes, windows and strides, a thread per filter, tap and split.
#ifndef POLYOPS_GPU_CONVOLUTION_SUMS_H_
#define POLYOPS_GPU_CONVOLUTION_SUMS_H_

#include "anywhere.h"
#include "layout.h"

namespace polyops::gpu {
namespace {

// Where the sums go.
template <class T>
struct Sums {
  T* weight;  // null: not wanted
  T* bias;
  Strides to;
  int64_t bias_stride;
  float* parts;
  int32_t splits;

  GPU_DEVICE static int64_t row(const Shape& s) { return int64_t{s.filters()} * (s.taps() + 1); }
  GPU_DEVICE float* part(const Shape& s, int64_t split, int64_t filter, int64_t tap) const {
    float* const of_split = parts + split * row(s);
    const int64_t taps = s.taps();
    return of_split + (tap < taps ? filter * taps + tap : int64_t{s.filters()} * taps + filter);
  }
  // To the gradients.
  GPU_DEVICE void store(const Shape& s, int64_t filter, int32_t tap, float sum) const {
    if (tap == s.taps()) {
      if (bias != nullptr) bias[filter * bias_stride] = narrow<T>(sum);
    } else if (weight != nullptr) {
      const auto at = static_cast<uint32_t>(tap), width = static_cast<uint32_t>(s.w.taps);
      weight[to.at(filter, 0, at / width, at % width)] = narrow<T>(sum);
    }
  }
  // A split's; of a single one they are the gradients.
  GPU_DEVICE void put(const Shape& s, int64_t split, int64_t filter, int32_t tap, float sum) const {
    if (splits == 1) {
      store(s, filter, tap, sum);
    } else {
      *part(s, split, filter, tap) = sum;
    }
  }
};

template <class T>
Sums<T> sums_of(const BackwardArgs& a, int64_t splits, const polyops_context* ctx) {
  const bool weight = polyops_is_present(&a.grad_weight), bias = polyops_is_present(&a.grad_bias);
  return {weight ? static_cast<T*>(a.grad_weight.data) : nullptr,
          bias ? static_cast<T*>(a.grad_bias.data) : nullptr,
          weight ? strides_of(a.grad_weight) : Strides{},
          bias ? a.grad_bias.strides[0] : 0,
          static_cast<float*>(ctx->scratch),
          static_cast<int32_t>(splits)};
}

inline bool wants_sums(const BackwardArgs& a) {
  return polyops_is_present(&a.grad_weight) || polyops_is_present(&a.grad_bias);
}

// Of a row.
inline int64_t sums_of_split(const Shape& s) {
  return int64_t{s.channels} * s.multiple * (int64_t{s.h.taps} * s.w.taps + 1);
}
inline size_t sums_bytes(const Shape& s, int64_t splits) {
  return static_cast<size_t>(splits * sums_of_split(s)) * sizeof(float);
}

// Neighbouring sums of a block, and threads that add up each, of every kSumRows-th split. Nothing
// else loads then, so a thread asks for some parts before it adds the first.
constexpr int kSumColumns = 16, kSumRows = 32, kSumAtOnce = 9;

template <class T>
GPU_KERNEL(kSumColumns* kSumRows)
add_parts(Shape shape, Sums<T> sums) {
  await_earlier();
  GPU_SHARED(float, shared, kSumColumns* kSumRows);
  const int64_t row = Sums<T>::row(shape);
  const int64_t at = block_id() * kSumColumns + thread_id() % kSumColumns;
  float sum = 0;
  if (at < row) {
    for (int32_t split = thread_id() / kSumColumns; split < sums.splits;
         split += kSumRows * kSumAtOnce) {
      float x[kSumAtOnce];
#pragma unroll
      for (int i = 0; i < kSumAtOnce; ++i) {
        const int32_t other = split + i * kSumRows;
        x[i] = other < sums.splits ? sums.parts[other * row + at] : 0.0f;
      }
#pragma unroll
      for (float part : x) sum += part;
    }
  }
  shared[thread_id()] = sum;
  barrier();
  if (thread_id() >= kSumColumns || at >= row) return;
  for (int i = 1; i < kSumRows; ++i) sum += shared[thread_id() + i * kSumColumns];
  const auto index = static_cast<uint32_t>(at), taps = static_cast<uint32_t>(shape.taps());
  const uint32_t of_weight = static_cast<uint32_t>(shape.filters()) * taps;
  if (index >= of_weight) {
    sums.store(shape, index - of_weight, shape.taps(), sum);
  } else {
    sums.store(shape, index / taps, static_cast<int32_t>(index % taps), sum);
  }
}

// After the kernel that put() them, which was launched with that status.
template <class T>
int launch_add_parts(int status, const Shape& shape, const Sums<T>& sums,
                     const polyops_context* ctx) {
  if (status != POLYOPS_OK || sums.splits == 1) return status;
  const int64_t blocks = ceil_div(sums_of_split(shape), kSumColumns);
  return launch(add_parts<T>, {blocks, kSumColumns * kSumRows}, ctx, shape, sums);
}

// ---- Of anything.

template <class T>
struct AnySumsCall {
  Shape shape;
  const T* grad;
  const T* src;
  Strides of_grad, of_src;
  Sums<T> sums;
  int32_t per_split;  // rows of results
  int64_t count;      // of sums, all splits'
};

// Of one row of results: those whose tap j lies inside of the input's row, or all for the bias.
template <class T>
GPU_DEVICE float sum_row(const AnySumsCall<T>& call, const T* grad, const T* src, int32_t j,
                         bool of_bias) {
  const Axis& w = call.shape.w;
  float sum = 0;
  if (of_bias) {
    for (int32_t o = 0; o < w.out; ++o) sum += widen(grad[o * call.of_grad.w]);
    return sum;
  }
  const int32_t start = j * w.dilation - w.padding;
  const int32_t first = start >= 0 ? 0 : (w.stride - 1 - start) / w.stride;
  int32_t end = start >= w.in ? 0 : (w.in - 1 - start) / w.stride + 1;
  if (end > w.out) end = w.out;
  const T* from = src + (int64_t{first} * w.stride + start) * call.of_src.w;
  const int64_t step = w.stride * call.of_src.w;
#pragma unroll 4
  for (int32_t o = first; o < end; ++o) {
    sum = fmaf(widen(grad[o * call.of_grad.w]), widen(*from), sum);
    from += step;
  }
  return sum;
}

// Neighbours have the taps of one filter: they read the same gradients.
template <class T>
GPU_KERNEL(kAnywhereThreads)
sum_anywhere(AnySumsCall<T> call) {
  await_earlier();
  const int64_t index = block_id() * block_threads() + thread_id();
  if (index >= call.count) return;
  const Shape& s = call.shape;
  const auto tasks = static_cast<uint32_t>(s.taps() + 1);
  const auto tap = static_cast<int32_t>(index % tasks);
  const auto filter = static_cast<int32_t>(index / tasks % s.filters());
  const auto split = static_cast<int32_t>(index / tasks / s.filters());
  const bool of_bias = tap == s.taps();
  const int32_t i = tap / s.w.taps, j = tap % s.w.taps;
  const int32_t rows = s.batch * s.h.out, stop = (split + 1) * call.per_split;
  const int32_t end = stop < rows ? stop : rows;
  float sum = 0;
  for (int32_t row = split * call.per_split; row < end; ++row) {
    const int32_t n = row / s.h.out, o = row - n * s.h.out;
    const int32_t y = o * s.h.stride - s.h.padding + i * s.h.dilation;
    if (!of_bias && (y < 0 || y >= s.h.in)) continue;
    sum += sum_row(call, call.grad + call.of_grad.at(n, filter, o, 0),
                   call.src + call.of_src.at(n, filter / s.multiple, y, 0), j, of_bias);
  }
  call.sums.put(s, split, filter, tap, sum);
}

// So many that the largest chip of today is full, of a row of results each at least.
constexpr int64_t kSumThreads = 132 * 2048;
inline int64_t rows_of_split(const Shape& s) {
  const int64_t rows = int64_t{s.batch} * s.h.out;
  const int64_t splits = ceil_div(kSumThreads, sums_of_split(s));
  return ceil_div(rows, splits < rows ? splits : rows);
}
inline int64_t any_splits(const Shape& s) {
  return ceil_div(int64_t{s.batch} * s.h.out, rows_of_split(s));
}

inline int sums_anywhere(const BackwardArgs& a, const polyops_context* ctx) {
  return with_type(a.src.dtype, [&]<class T>() {
    const Shape shape = shape_of(a);
    const int64_t splits = any_splits(shape), count = splits * sums_of_split(shape);
    const AnySumsCall<T> call = {shape,
                                 static_cast<const T*>(a.grad_dst.data),
                                 static_cast<const T*>(a.src.data),
                                 strides_of(a.grad_dst),
                                 strides_of(a.src),
                                 sums_of<T>(a, splits, ctx),
                                 static_cast<int32_t>(rows_of_split(shape)),
                                 count};
    const int status =
        launch(sum_anywhere<T>, {ceil_div(count, kAnywhereThreads), kAnywhereThreads}, ctx, call);
    return launch_add_parts(status, shape, call.sums, ctx);
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_SUMS_H_
