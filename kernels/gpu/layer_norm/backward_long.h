// The gradients for rows that no cluster has registers for beside their sums over rows, in 5 passes
// instead of 3: grad_src, a block per row, that reads it a second time for the result, from its end
// to its begin, out of a cache; then grad_weight and grad_bias, each block taking a tile of columns
// of some rows.
#ifndef POLYOPS_GPU_LAYER_NORM_BACKWARD_LONG_H_
#define POLYOPS_GPU_LAYER_NORM_BACKWARD_LONG_H_

#include "backward.h"

namespace polyops::gpu {
namespace {

// A row as it came from memory.
template <int kPacks>
struct RowPacks {
  Words grad[kPacks], src[kPacks];
  float mean, rstd;
  int64_t out;
};

template <class Norm, class T, class P, int kPacks>
GPU_DEVICE void load_rows(const BackwardCall<Norm, T, P>& call, int64_t row, Grid cut, int lane,
                          int team, RowPacks<kPacks>* x) {
  int64_t at[3];
  const bool none = row >= call.row_count;  // its lanes go on to the barriers with zeros
  if (none) {
    cut.n = 0;
    row = 0;
  }
  call.rows.offsets(row, at);
  x->out = at[2];
  x->mean = none || !Norm::kCentered ? 0.0f : load_value<T>(call.mean, row);
  x->rstd = none ? 0.0f : load_value<T>(call.rstd, row);
  load_window<kPacks, T>(Window<T, kPack<T>>(call.grad + at[0], cut), lane, team, x->grad);
  load_window<kPacks, T>(Window<T, kPack<T>>(call.src + at[1], cut), lane, team, x->src);
}

// What lies beyond the row, which has arrived now: no gradient, and the mean.
template <class T, int kPacks>
GPU_DEVICE void mask_rows(bool ours, Grid cut, int lane, int team, RowPacks<kPacks>* x) {
  if (!ours) cut.n = 0;
  mask_row<kPacks, T>(cut, lane, team, 0, x->grad);
  mask_row<kPacks, T>(cut, lane, team, fill_bits<T>(x->mean), x->src);
}

// grad, g = grad weight and x_hat of a pack; zeros beyond the row.
template <class Norm, class T, class P>
GPU_DEVICE void widen_pack(const BackwardCall<Norm, T, P>& call, const Words& grad,
                           const Words& src, float mean, float rstd, const Grid& cut, int32_t pack,
                           float (&plain)[kPack<T>], float (&g)[kPack<T>], float (&x)[kPack<T>]) {
  unpack<T>(grad, plain);
  unpack<T>(src, x);
#pragma unroll
  for (int j = 0; j < kPack<T>; ++j) {
    x[j] = (x[j] - mean) * rstd;
    g[j] = plain[j];
  }
  if (call.weight == nullptr) return;
  float weight[kPack<T>];
  load_parameters(call.weight, cut, pack, weight);
  const bool whole = cut.whole(pack);
#pragma unroll
  for (int j = 0; j < kPack<T>; ++j) {
    g[j] = whole || cut.has(cut.first(pack) + j) ? g[j] * weight[j] : 0.0f;
  }
}

// grad_src of a pack, from the means of g (rms_norm: 0) and of g x_hat.
template <class T>
GPU_DEVICE void store_grad_src(const float (&g)[kPack<T>], const float (&x)[kPack<T>], float rstd,
                               const float (&means)[2], T* out, const Grid& cut, int32_t pack) {
  float y[kPack<T>];
#pragma unroll
  for (int j = 0; j < kPack<T>; ++j) y[j] = rstd * (g[j] - fmaf(x[j], means[1], means[0]));
  store_window(out, cut, pack, y);
}

constexpr int kLongBackwardPacks = 4;
constexpr int kTileThreads = 256;  // a pack of columns each
constexpr int kTileRows = 4;       // in flight

template <class Norm, class T, class P>
GPU_KERNEL(kBackwardMost.threads)
backward_long(BackwardCall<Norm, T, P> call) {
  await_earlier();
  GPU_SHARED(float, shared, 2 * kMostWaves);
  int64_t at[3];
  call.rows.offsets(block_id(), at);
  const int step = block_threads();
  const Grid cut = {call.n, misplaced(call.grad_src + at[2]), kPack<T>};
  const int32_t packs = (call.n + cut.shift + kPack<T> - 1) / kPack<T>;
  const int parts = (packs + kLongBackwardPacks * step - 1) / (kLongBackwardPacks * step);
  RowPacks<kLongBackwardPacks> row;
  float sums[2] = {};
  const auto load_part = [&](int part) {
    const int first = part * kLongBackwardPacks * step + thread_id();
    load_rows(call, block_id(), cut, first, step, &row);
    mask_rows<T>(true, cut, first, step, &row);
  };
  const auto for_each_pack = [&](int part, auto f) {
    const int first = part * kLongBackwardPacks * step + thread_id();
#pragma unroll
    for (int k = 0; k < kLongBackwardPacks; ++k) {
      float plain[kPack<T>], g[kPack<T>], x[kPack<T>];
      widen_pack(call, row.grad[k], row.src[k], row.mean, row.rstd, cut, first + k * step, plain, g,
                 x);
      f(first + k * step, g, x);
    }
  };
  for (int part = 0; part < parts; ++part) {
    load_part(part);
    for_each_pack(part, [&](int32_t, const auto& g, const auto& x) {
      float sum = 0, product = 0;
#pragma unroll
      for (int j = 0; j < kPack<T>; ++j) {
        sum += g[j];
        product = fmaf(g[j], x[j], product);
      }
      sums[0] += sum;
      sums[1] += product;
    });
  }
  sum_team(sums, step, shared);
  const float means[2] = {Norm::kCentered ? sums[0] * call.inv_n : 0.0f, sums[1] * call.inv_n};
  for (int part = parts - 1; part >= 0; --part) {
    if (part != parts - 1) load_part(part);
    for_each_pack(part, [&](int32_t pack, const auto& g, const auto& x) {
      store_grad_src<T>(g, x, row.rstd, means, call.grad_src + at[2], cut, pack);
    });
  }
}

// Blocks are tiles of columns, then chunks of rows.
template <class Norm, class T, class P>
GPU_KERNEL(kTileThreads)
backward_columns(BackwardCall<Norm, T, P> call, int32_t tiles, int32_t chunks) {
  await_earlier();
  const auto tile = static_cast<int32_t>(block_id() % tiles);
  const int64_t chunk = block_id() / tiles;
  const int32_t pack = tile * kTileThreads + thread_id();
  const Grid cut = {call.n, 0, kPack<T>};
  float weight[kPack<T>] = {}, bias[kPack<T>] = {};
  const int64_t end = call.row_count * (chunk + 1) / chunks;
  for (int64_t r = call.row_count * chunk / chunks; r < end; r += kTileRows) {
    RowPacks<1> rows[kTileRows];
#pragma unroll
    for (int i = 0; i < kTileRows; ++i) {
      load_rows(call, r + i < end ? r + i : call.row_count, cut, pack, 1, &rows[i]);
    }
#pragma unroll
    for (int i = 0; i < kTileRows; ++i) {
      mask_rows<T>(r + i < end, cut, pack, 1, &rows[i]);
      float grad[kPack<T>], x[kPack<T>];
      unpack<T>(rows[i].grad[0], grad);
      unpack<T>(rows[i].src[0], x);
#pragma unroll
      for (int j = 0; j < kPack<T>; ++j) {
        weight[j] = fmaf(grad[j], (x[j] - rows[i].mean) * rows[i].rstd, weight[j]);
        bias[j] += grad[j];
      }
    }
  }
  float* out = call.sums + chunk * Norm::kParameters * call.stride;
#pragma unroll
  for (int j = 0; j < kPack<T>; ++j) {
    const int32_t column = cut.first(pack) + j;
    if (!cut.has(column)) continue;
    out[column] = weight[j];
    if constexpr (Norm::kCentered) out[call.stride + column] = bias[j];
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_BACKWARD_LONG_H_
