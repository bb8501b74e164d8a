// layer_norm_backward of rows whose elements lie next to each other. Bound: memory, 3 elements moved
// per element: a row's packs of grad and src are read once, stay in registers for its two sums, and
// give grad_src.
//
// A grid of one block per multiprocessor walks the rows. Each lane owns some columns and sums their
// grad_weight and grad_bias over its rows in registers; the block's sums go to its row of the
// workspace, which column_sums() adds up in order. So results repeat bit for bit without an atomic.
// The next row's loads are issued before this one's sums: the grid has too few lanes to hide them.
//
// A lane's columns are fixed, and its packs cut where the first of its rows is; rows cut elsewhere
// are shifted (window.h). Teams take every eighth row or so of an odd length, which agree.
#ifndef POLYOPS_GPU_LAYER_NORM_BACKWARD_H_
#define POLYOPS_GPU_LAYER_NORM_BACKWARD_H_

#include "layout.h"
#include "polyops/ops/layer_norm.h"

namespace polyops::gpu {
namespace {

constexpr int kBackwardThreads = 512;  // 128 registers

template <class T, class P>
struct BackwardCall {
  const T* grad;
  const T* src;
  T* grad_src;  // null: not wanted
  const P* weight;
  Values mean, rstd;
  float* sums;  // [blocks][grad_weight, grad_bias][stride]; null: neither is wanted
  int64_t stride;
  Space<3> rows;  // of grad, src, grad_src
  int32_t row_count, n;
  float inv_n;
};

// A row as it came from memory.
template <int kPacks>
struct RowPacks {
  Words grad[kPacks], src[kPacks];
  float mean, rstd;
  int64_t out;
};

template <class T, class P, int kPacks>
GPU_DEVICE void load_rows(const BackwardCall<T, P>& call, int64_t row, Grid cut, int lane, int team,
                          RowPacks<kPacks>* x) {
  int64_t at[3];
  const bool none = row >= call.row_count;  // its lanes go on to the barriers with zeros
  if (none) {
    cut.n = 0;
    row = 0;
  }
  call.rows.offsets(row, at);
  x->out = at[2];
  x->mean = none ? 0.0f : load_value<T>(call.mean, row);
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

// The row is brought into the second-level cache.
template <class T, class P>
GPU_DEVICE void prefetch_rows(const BackwardCall<T, P>& call, int64_t row, int packs,
                              const Grid& cut, int lane, int team) {
  if (row >= call.row_count) return;
  int64_t at[3];
  call.rows.offsets(row, at);
  for (int k = 0; k < packs; ++k) {
    const int32_t first = cut.first(lane + k * team);
    if (!cut.has(first)) continue;
    prefetch(call.grad + at[0] + first);
    prefetch(call.src + at[1] + first);
  }
}

// grad, g = grad weight and x_hat of a pack; zeros beyond the row.
template <class T, class P>
GPU_DEVICE void widen_pack(const BackwardCall<T, P>& call, const Words& grad, const Words& src,
                           float mean, float rstd, const Grid& cut, int32_t pack,
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

// grad_src of a pack, from the means of g and of g x_hat.
template <class T>
GPU_DEVICE void store_grad_src(const float (&g)[kPack<T>], const float (&x)[kPack<T>], float rstd,
                               const float (&means)[2], T* out, const Grid& cut, int32_t pack) {
  float y[kPack<T>];
#pragma unroll
  for (int j = 0; j < kPack<T>; ++j) y[j] = rstd * (g[j] - fmaf(x[j], means[1], means[0]));
  store_window(out, cut, pack, y);
}

template <class T, int kPacks>
struct ColumnSums {
  float weight[kPacks][kPack<T>], bias[kPacks][kPack<T>];
};

template <class T, class P, int kPacks>
GPU_DEVICE void backward_row(const BackwardCall<T, P>& call, RowPacks<kPacks>& row, bool ours,
                             const Grid& cut, int lane, int team, float* shared,
                             ColumnSums<T, kPacks>* columns) {
  float sums[2] = {};
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    const int32_t pack = forgotten(lane + k * team);
    float plain[kPack<T>], g[kPack<T>], x[kPack<T>];
    widen_pack(call, row.grad[k], row.src[k], row.mean, row.rstd, cut, pack, plain, g, x);
    float sum = 0, product = 0;
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) {
      sum += g[j];
      product = fmaf(g[j], x[j], product);
      columns->bias[k][j] += plain[j];
      columns->weight[k][j] = fmaf(plain[j], x[j], columns->weight[k][j]);
    }
    sums[0] += sum;
    sums[1] += product;
  }
  if (call.grad_src == nullptr) return;
  sum_team(sums, team, shared);
  if (!ours) return;
  forget(row.grad);
  forget(row.src);
  const float means[2] = {sums[0] * call.inv_n, sums[1] * call.inv_n};
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    const int32_t pack = forgotten(lane + k * team);
    float plain[kPack<T>], g[kPack<T>], x[kPack<T>];
    widen_pack(call, row.grad[k], row.src[k], row.mean, row.rstd, cut, pack, plain, g, x);
    store_grad_src<T>(g, x, row.rstd, means, call.grad_src + row.out, cut, pack);
  }
}

// One of the two sums of all teams of the block, to its row of the workspace.
template <class T, int kPacks>
GPU_DEVICE void store_columns(const float (&sum)[kPacks][kPack<T>], const Grid& cut, int lane,
                              int team, float* shared, float* out) {
  const int teams = block_threads() / team;
  float* mine = teams == 1 ? out : shared + thread_id() / team * cut.n;
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) {
      const int32_t column = cut.first(lane + k * team) + j;
      if (cut.has(column)) mine[column] = sum[k][j];
    }
  }
  if (teams == 1) return;
  barrier();
  for (int32_t column = thread_id(); column < cut.n; column += block_threads()) {
    float all = 0;
    for (int t = 0; t < teams; ++t) all += shared[t * cut.n + column];
    out[column] = all;
  }
  barrier();
}

template <class T, class P, int kPacks>
GPU_KERNEL(kBackwardThreads)
backward_rows(BackwardCall<T, P> call, int team) {
  GPU_SHARED(float, shared, 4 * kMostWaves);
  // Several teams have at most as many columns as lanes have registers for them.
  constexpr int kOfLane = kPacks * kPack<T>;
  GPU_SHARED(float, columns_of_teams, kOfLane > 16 ? 1 : kBackwardThreads * kOfLane);
  // Whether the next row has registers beside the sums of this lane's columns.
  constexpr bool kAhead = kPacks <= 2;
  const int lane = thread_id() % team;
  const int64_t teams = block_threads() / team;
  const int64_t step = grid_blocks() * teams;
  const int64_t first = block_id() * teams;
  const int64_t mine = thread_id() / team;
  int64_t at[3];
  call.rows.offsets(first + mine < call.row_count ? first + mine : 0, at);
  const int shift =
      call.grad_src != nullptr ? misplaced(call.grad_src + at[2]) : misplaced(call.grad + at[0]);
  const Grid cut = {call.n, shift, kPack<T>};
  ColumnSums<T, kPacks> columns = {};
  RowPacks<kPacks> row;
  load_rows(call, first + mine, cut, lane, team, &row);
  int parity = 0;
  for (int64_t r = first; r < call.row_count; r += step) {
    RowPacks<kPacks> next;
    if constexpr (kAhead) {
      load_rows(call, r + step + mine, cut, lane, team, &next);
    } else {
      prefetch_rows(call, r + step + mine, kPacks, cut, lane, team);
    }
    const bool ours = r + mine < call.row_count;
    mask_rows<T>(ours, cut, lane, team, &row);
    backward_row(call, row, ours, cut, lane, team, shared + 2 * kMostWaves * parity, &columns);
    if constexpr (kAhead) {
      row = next;
    } else {
      load_rows(call, r + step + mine, cut, lane, team, &row);
    }
    parity ^= 1;
  }
  if (call.sums == nullptr) return;
  float* out = call.sums + block_id() * 2 * call.stride;
  store_columns<T>(columns.weight, cut, lane, team, columns_of_teams, out);
  store_columns<T>(columns.bias, cut, lane, team, columns_of_teams, out + call.stride);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_BACKWARD_H_
