// The kernels over tiles of columns (columns.h), forward and backward.
#ifndef POLYOPS_GPU_SOFTMAX_COLUMNS_KERNELS_H_
#define POLYOPS_GPU_SOFTMAX_COLUMNS_KERNELS_H_

#include "columns.h"
#include "op.h"
#include "park.h"

namespace polyops::gpu {
namespace {

template <class T, class U>
struct ForwardTiles {
  const T* src;
  U* dst;
  Tiles<2> tiles;
};
template <class T, class U>
struct BackwardTiles {
  const T* grad;
  const T* y;
  U* out;
  Tiles<3> tiles;
};

// The largest of pieces, element by element.
template <class T, int kWide>
struct Largest {
  float x[kWide];

  GPU_DEVICE explicit Largest(float least) {
#pragma unroll
    for (int j = 0; j < kWide; ++j) x[j] = least;
  }
  GPU_DEVICE void add(const Piece<T, kWide>& piece) {
    float v[kWide];
    piece.get(v);
#pragma unroll
    for (int j = 0; j < kWide; ++j) x[j] = fmaxf(x[j], v[j]);
  }
  GPU_DEVICE void get(float (&top)[kWide]) const {
#pragma unroll
    for (int j = 0; j < kWide; ++j) top[j] = x[j];
  }
};
// Of 16 bits two at a time. A NaN is the largest here, where what is largest does not matter.
template <class T>
  requires(sizeof(T) == 2)
struct Largest<T, 4> {
  Piece<T, 4> x;

  GPU_DEVICE explicit Largest(float least) { x.fill(least); }
  GPU_DEVICE void add(const Piece<T, 4>& piece) {
#pragma unroll
    for (int i = 0; i < 2; ++i) x.words.w[i] = max2<T>(x.words.w[i], piece.words.w[i]);
  }
  GPU_DEVICE void get(float (&top)[4]) const { x.get(top); }
};

// Of a thread's rows the first `live`, whole fours of them, or, where each takes longer, whole
// twos. What they come to is summed up apart: of equal elements, rounding would go one way in all
// of a long column.
template <class T, int kWide, int kRows>
GPU_DEVICE void absorb_rows(const Piece<T, kWide> (&x)[kRows], int live, MaxSum (&sum)[kWide]) {
  Largest<T, kWide> largest(kMinusInf);
#pragma unroll
  for (int k = 0; k < kRows; ++k) {
    if (k % kFours == 0 && k >= live) break;
    largest.add(x[k]);
  }
  float top[kWide], part[kWide] = {};
  largest.get(top);
#pragma unroll
  for (int j = 0; j < kWide; ++j) sum[j].raise_to(top[j]);
#pragma unroll
  for (int k = 0; k < kRows; ++k) {
    if (k % (kFours / 2) == 0 && k >= live) break;
    float v[kWide];
    x[k].get(v);
#pragma unroll
    for (int j = 0; j < kWide; ++j) part[j] += exp_from(v[j], shift_of(sum[j].max));
  }
#pragma unroll
  for (int j = 0; j < kWide; ++j) sum[j].sum += part[j];
}

template <class Normalize, class T, class U, int kWide, int kRows, int N>
GPU_DEVICE void store_columns(const Normalize (&normalize)[kWide],
                              const Piece<T, kWide> (&x)[kRows], const Place<N>& place, int begin,
                              U* column, int64_t stride) {
  const int mine = place.mine(begin);
  const int64_t step = stride << place.down_log2;
  U* p = column + (begin + place.first) * stride;
#pragma unroll
  for (int k = 0; k < kRows; ++k) {
    if (k >= mine) break;
    float v[kWide];
    x[k].get(v);
#pragma unroll
    for (int j = 0; j < kWide; ++j) v[j] = normalize[j](v[j]);
    Piece<T, kWide>::store(p, v);
    p += step;
  }
}

// Rows in a thread's registers: 128 bytes of all tensors, of single elements 64.
template <class T, int kWide>
inline constexpr int kColumnRows = kWide == 4 && sizeof(T) == 4 ? 8 : 16;

template <class Op, class T, class U, int kWide>
GPU_KERNEL(kColumnThreads)
softmax_columns(ForwardTiles<T, U> p) {
  await_earlier();
  GPU_SHARED(Mailbox, box, 1);
  using P = Piece<T, kWide>;
  GPU_DYNAMIC_SHARED(P, parked);
  MaxSum* const shared = parts_behind<MaxSum>(parked, p.tiles);
  constexpr int kRows = kColumnRows<T, kWide>;
  const Park<P, kRows, 1> park = {parked, p.tiles.parked};
  const Place<2> place(p.tiles);
  int64_t at[2];
  place.find(p.tiles, kWide, at);
  const T* src = p.src + at[0];
  const int chunk = kRows * place.down;
  const int blocks = 1 << p.tiles.blocks_log2;
  if (blocks > 1) {
    open_mailbox(box);
    cluster_arrive();
  }
  P x[kRows];
  MaxSum sum[kWide];
  int begin = place.begin, c = 0;
  for (;; begin += chunk, ++c) {
    load_rows(src, p.tiles.strides[0], place, begin, kMinusInf, x);
    absorb_rows(x, place.live(begin), sum);
    if (begin + chunk >= place.end) break;
    park.keep(c, 0, x);
  }
  using Normalize = typename Op::template Normalize<U>;
  merge_columns(place, blocks, shared, box, sum, parts_of_row<Normalize>);
  Normalize normalize[kWide];
#pragma unroll
  for (int j = 0; j < kWide; ++j) normalize[j] = Normalize::of_parts(sum[j]);
  place.find(p.tiles, kWide, at);
  U* dst = p.dst + at[1];
  for (;;) {
    store_columns(normalize, x, place, begin, dst, p.tiles.strides[1]);
    if (--c < 0) break;
    begin -= chunk;
    if (park.has(c)) {
      park.fetch(c, 0, x);
    } else {
      load_rows(src, p.tiles.strides[0], place, begin, kMinusInf, x);
    }
  }
}

template <class T, int kWide>
inline constexpr int kGradientRows = kColumnRows<T, kWide> / 2;

template <class Op, class T, class U, int kWide>
GPU_KERNEL(kColumnThreads)
softmax_backward_columns(BackwardTiles<T, U> p) {
  await_earlier();
  GPU_SHARED(Mailbox, box, 1);
  using P = Piece<T, kWide>;
  GPU_DYNAMIC_SHARED(P, parked);
  float* const shared = parts_behind<float>(parked, p.tiles);
  constexpr int kRows = kGradientRows<T, kWide>;
  const Park<P, kRows, 2> park = {parked, p.tiles.parked};
  const Place<3> place(p.tiles);
  int64_t at[3];
  place.find(p.tiles, kWide, at);
  const T* grad_column = p.grad + at[0];
  const T* y_column = p.y + at[1];
  const int chunk = kRows * place.down;
  const int blocks = 1 << p.tiles.blocks_log2;
  if (blocks > 1) {
    open_mailbox(box);
    cluster_arrive();
  }
  P grad[kRows], y[kRows];
  float sum[kWide] = {};
  int begin = place.begin, c = 0;
  for (;; begin += chunk, ++c) {
    load_rows(grad_column, p.tiles.strides[0], place, begin, 0.0f, grad);
    load_rows(y_column, p.tiles.strides[1], place, begin, 0.0f, y);
    const int live = place.live(begin);
#pragma unroll
    for (int k = 0; k < kRows; ++k) {
      if (k % kFours == 0 && k >= live) break;
      float g[kWide], v[kWide];
      grad[k].get(g);
      y[k].get(v);
#pragma unroll
      for (int j = 0; j < kWide; ++j) sum[j] = Op::add_term(sum[j], g[j], v[j]);
    }
    if (begin + chunk >= place.end) break;
    park.keep(c, 0, grad);
    park.keep(c, 1, y);
  }
  merge_columns(place, blocks, shared, box, sum, [](float x) { return x; });
  place.find(p.tiles, kWide, at);
  U* out = p.out + at[2];
  for (;;) {
    const int mine = place.mine(begin);
    const int64_t step = p.tiles.strides[2] << place.down_log2;
    U* to = out + (begin + place.first) * p.tiles.strides[2];
#pragma unroll
    for (int k = 0; k < kRows; ++k) {
      if (k >= mine) break;
      float g[kWide], v[kWide];
      grad[k].get(g);
      y[k].get(v);
#pragma unroll
      for (int j = 0; j < kWide; ++j) g[j] = Op::template gradient<U>(g[j], v[j], sum[j]);
      Piece<T, kWide>::store(to, g);
      to += step;
    }
    if (--c < 0) break;
    begin -= chunk;
    if (park.has(c)) {
      park.fetch(c, 0, grad);
      park.fetch(c, 1, y);
    } else {
      load_rows(grad_column, p.tiles.strides[0], place, begin, 0.0f, grad);
      load_rows(y_column, p.tiles.strides[1], place, begin, 0.0f, y);
    }
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_SOFTMAX_COLUMNS_KERNELS_H_
