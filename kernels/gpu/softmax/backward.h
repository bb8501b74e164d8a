// The gradient for rows next to each other, of softmax y (g - sum(g y)), of log_softmax g - exp(y)
// sum(g). As forward.h, with half the packs per lane, for there are two tensors to hold.
#ifndef POLYOPS_GPU_SOFTMAX_BACKWARD_H_
#define POLYOPS_GPU_SOFTMAX_BACKWARD_H_

#include "forward.h"
#include "layout.h"
#include "reduce.h"
#include "row.h"

namespace polyops::gpu {
namespace {

template <class T, class U>
struct BackwardRows {
  const T* grad;
  const T* y;
  U* out;
  Walk<3> walk;
  uint32_t rows;
  int n;
  bool ragged;
};

template <class Op, class T, int kPacks>
GPU_DEVICE float sum_terms(const Words (&grad)[kPacks], const Words (&y)[kPacks], int step,
                           int live) {
  float parts[2] = {};
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    if (k * step >= live) break;
    float g[kPack<T>], v[kPack<T>];
    unpack<T>(grad[k], g);
    unpack<T>(y[k], v);
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) parts[j % 2] = Op::add_term(parts[j % 2], g[j], v[j]);
  }
  return parts[0] + parts[1];
}

template <class Op, class T, class U, int kPacks>
GPU_DEVICE void store_gradient(float sum, const Cut<T>& cut, U* row, int first, int step, int live,
                               const Words (&grad)[kPacks], const Words (&y)[kPacks]) {
  const bool fits = cut.fits(row);
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    if (k * step >= live) break;
    float g[kPack<T>], v[kPack<T>];
    unpack<T>(grad[k], g);
    unpack<T>(y[k], v);
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) g[j] = Op::template gradient<U>(g[j], v[j], sum);
    store_pack(cut, row, fits, first + k * step, g);
  }
}

// The elements at both ends of a row.
template <class Op, class T, int kEnds>
struct GradientEnds {
  float grad[kEnds], y[kEnds];

  GPU_DEVICE float load(const Cut<T>& cut, const T* grad_row, const T* y_row, int lane, int lanes) {
    load_ends(cut, grad_row, lane, lanes, 0.0f, grad);
    load_ends(cut, y_row, lane, lanes, 0.0f, y);
    float sum = 0;
#pragma unroll
    for (int e = 0; e < kEnds; ++e) sum = Op::add_term(sum, grad[e], y[e]);
    return sum;
  }
  template <class U>
  GPU_DEVICE void store(float sum, const Cut<T>& cut, U* row, int lane, int lanes) {
#pragma unroll
    for (int e = 0; e < kEnds; ++e) grad[e] = Op::template gradient<U>(grad[e], y[e], sum);
    store_ends(cut, row, lane, lanes, grad);
  }
};

template <class Op, class T, class U, int kPacks, int kEnds>
GPU_KERNEL(kTeamThreads)
softmax_backward_team(BackwardRows<T, U> p, int lanes_log2) {
  await_earlier();
  const int lanes = 1 << lanes_log2, lane = thread_id() & (lanes - 1);
  const uint32_t row = static_cast<uint32_t>(block_id()) * (block_threads() >> lanes_log2) +
                       (thread_id() >> lanes_log2);
  int64_t at[3];
  p.walk.offsets(row, at);
  const T* grad_row = p.grad + at[0];
  const T* y_row = p.y + at[1];
  U* out = p.out + at[2];
  // A team without a row comes along for the shuffles.
  const Cut<T> cut(grad_row, row < p.rows ? p.n : 0);
  const int live = p.n / kPack<T>;
  Words grad[kPacks], y[kPacks];
  GradientEnds<Op, T, kEnds> ends;
  load_row(cut, grad_row, lane, lanes, 0.0f, grad);
  load_row(cut, y_row, lane, lanes, 0.0f, y);
  float sum = 0;
  if (p.ragged) sum = ends.load(cut, grad_row, y_row, lane, lanes);
  sum = sum_of_lanes(sum + sum_terms<Op, T>(grad, y, lanes, live), lanes);
  store_gradient<Op>(sum, cut, out, lane, lanes, live, grad, y);
  if (p.ragged) ends.store(sum, cut, out, lane, lanes);
}

constexpr int kGradientPacks = 4;

template <class Op, class T, class U>
GPU_KERNEL(1024)
softmax_backward_block(BackwardRows<T, U> p) {
  await_earlier();
  GPU_SHARED(float, shared, kMostWaves);
  const int lane = thread_id(), lanes = block_threads(), chunk = kGradientPacks * lanes;
  int64_t at[3];
  p.walk.offsets(static_cast<uint32_t>(block_id()), at);
  const T* grad_row = p.grad + at[0];
  const T* y_row = p.y + at[1];
  U* out = p.out + at[2];
  const Cut<T> cut(grad_row, p.n);
  const int packs = p.n / kPack<T>;
  Words grad[kGradientPacks], y[kGradientPacks];
  GradientEnds<Op, T, 1> ends;
  float sum = 0;
  int begin = 0;
  for (;; begin += chunk) {
    load_row(cut, grad_row, begin + lane, lanes, 0.0f, grad);
    load_row(cut, y_row, begin + lane, lanes, 0.0f, y);
    if (begin == 0) sum = ends.load(cut, grad_row, y_row, lane, lanes);
    sum += sum_terms<Op, T>(grad, y, lanes, packs - begin);
    if (begin + chunk >= packs) break;
  }
  sum = sum_of_block(sum, shared);
  for (;;) {
    store_gradient<Op>(sum, cut, out, begin + lane, lanes, packs - begin, grad, y);
    begin -= chunk;
    if (begin < 0) break;
    load_row(cut, grad_row, begin + lane, lanes, 0.0f, grad);
    load_row(cut, y_row, begin + lane, lanes, 0.0f, y);
  }
  ends.store(sum, cut, out, lane, lanes);
}

template <class Op, int kLanes, class T, class U>
int launch_backward_team(const BackwardRows<T, U>& p, int lanes_log2, const polyops_context* ctx) {
  const int64_t rows_per_block = kTeamThreads >> lanes_log2;
  const int64_t blocks = (p.rows + rows_per_block - 1) / rows_per_block;
  return gpu::launch(softmax_backward_team<Op, T, U, kGradientPacks, ends_of<T>(kLanes)>,
                     {blocks, kTeamThreads}, ctx, p, lanes_log2);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_SOFTMAX_BACKWARD_H_
