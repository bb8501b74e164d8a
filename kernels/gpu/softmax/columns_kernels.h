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

// Rows of which no thread has the k-th are passed over: those k with k * down >= live. What they
// come to is summed up apart: of equal elements, rounding would go one way in all of a long column.
template <class T, int kWide, int kRows>
GPU_DEVICE void absorb_rows(const Piece<T, kWide> (&x)[kRows], int down, int live,
                            MaxSum (&sum)[kWide]) {
  float top[kWide];
#pragma unroll
  for (int j = 0; j < kWide; ++j) top[j] = sum[j].max;
#pragma unroll
  for (int k = 0; k < kRows; ++k) {
    if (k * down >= live) break;
    float v[kWide];
    x[k].get(v);
#pragma unroll
    for (int j = 0; j < kWide; ++j) top[j] = fmaxf(top[j], v[j]);
  }
#pragma unroll
  for (int j = 0; j < kWide; ++j) sum[j].raise_to(top[j]);
  float part[kWide] = {};
#pragma unroll
  for (int k = 0; k < kRows; ++k) {
    if (k * down >= live) break;
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
  const int row = begin + place.first, rows = place.inside ? place.end - row : 0;
  U* p = column + row * stride;
#pragma unroll
  for (int k = 0; k < kRows; ++k) {
    if (k * place.down >= rows) break;
    float v[kWide];
    x[k].get(v);
#pragma unroll
    for (int j = 0; j < kWide; ++j) v[j] = normalize[j](v[j]);
    Piece<T, kWide>::store(p, v);
    p += place.down * stride;
  }
}

// Rows in a thread's registers: 128 bytes of all tensors, of single elements 64.
template <class T, int kWide>
inline constexpr int kColumnRows = kWide == 4 && sizeof(T) == 4 ? 8 : 16;

template <class Op, class T, class U, int kWide>
GPU_KERNEL(kColumnThreads)
softmax_columns(ForwardTiles<T, U> p) {
  GPU_SHARED(MaxSum, shared, kMostParts);
  using P = Piece<T, kWide>;
  GPU_DYNAMIC_SHARED(P, parked);
  constexpr int kRows = kColumnRows<T, kWide>;
  const Park<P, kRows, 1> park = {parked, p.tiles.parked};
  const Place<2> place(p.tiles, kWide);
  const T* src = p.src + place.at[0];
  U* dst = p.dst + place.at[1];
  const int chunk = kRows * place.down;
  const int blocks = p.tiles.share < p.tiles.n ? cluster_blocks() : 1;
  if (blocks > 1) cluster_arrive();
  P x[kRows];
  MaxSum sum[kWide];
  int begin = place.begin, c = 0;
  for (;; begin += chunk, ++c) {
    load_rows(src, p.tiles.strides[0], place, begin, kMinusInf, x);
    absorb_rows(x, place.down, place.end - begin, sum);
    if (begin + chunk >= place.end) break;
    park.keep(c, 0, x);
  }
  merge_columns(place, blocks, shared, sum);
  using Normalize = typename Op::template Normalize<U>;
  Normalize normalize[kWide];
#pragma unroll
  for (int j = 0; j < kWide; ++j) normalize[j] = Normalize(sum[j]);
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
  GPU_SHARED(float, shared, kMostParts);
  using P = Piece<T, kWide>;
  GPU_DYNAMIC_SHARED(P, parked);
  constexpr int kRows = kGradientRows<T, kWide>;
  const Park<P, kRows, 2> park = {parked, p.tiles.parked};
  const Place<3> place(p.tiles, kWide);
  const T* grad_column = p.grad + place.at[0];
  const T* y_column = p.y + place.at[1];
  U* out = p.out + place.at[2];
  const int chunk = kRows * place.down;
  const int blocks = p.tiles.share < p.tiles.n ? cluster_blocks() : 1;
  if (blocks > 1) cluster_arrive();
  P grad[kRows], y[kRows];
  float sum[kWide] = {};
  int begin = place.begin, c = 0;
  for (;; begin += chunk, ++c) {
    load_rows(grad_column, p.tiles.strides[0], place, begin, 0.0f, grad);
    load_rows(y_column, p.tiles.strides[1], place, begin, 0.0f, y);
#pragma unroll
    for (int k = 0; k < kRows; ++k) {
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
  merge_columns(place, blocks, shared, sum);
  for (;;) {
    const int row = begin + place.first, rows = place.inside ? place.end - row : 0;
    U* to = out + row * p.tiles.strides[2];
#pragma unroll
    for (int k = 0; k < kRows; ++k) {
      if (k * place.down >= rows) break;
      float g[kWide], v[kWide];
      grad[k].get(g);
      y[k].get(v);
#pragma unroll
      for (int j = 0; j < kWide; ++j) g[j] = Op::template gradient<U>(g[j], v[j], sum[j]);
      Piece<T, kWide>::store(to, g);
      to += place.down * p.tiles.strides[2];
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
