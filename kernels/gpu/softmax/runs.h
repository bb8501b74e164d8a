// Short rows without gaps that begin anywhere: a block copies a run of them to shared memory, 16
// bytes per access, and its results leave the same way. So odd rows cost no accesses at their ends,
// which of short ones would be most.
#ifndef POLYOPS_GPU_SOFTMAX_RUNS_H_
#define POLYOPS_GPU_SOFTMAX_RUNS_H_

#include "backward.h"
#include "forward.h"
#include "reduce.h"
#include "span.h"

namespace polyops::gpu {
namespace {

constexpr int kRunThreads = 128;
constexpr int kRunLanes = 4;        // of a row
constexpr int kRunElements = 16;    // of a lane, in registers
constexpr int kRunBytes = 8 << 10;  // of an input that a block has, about
constexpr int kMostRunPasses = 8;

// How a block's rows are cut.
struct RunShape {
  int rows;   // of a block
  int bytes;  // of each input in shared memory; the results follow
};

// This block's rows, and this thread's among them: first, first + step, ... of `count`.
struct Run {
  int64_t begin;  // elements before them
  int count, lane, first, step;

  GPU_DEVICE Run(const RunShape& shape, uint32_t rows, int n) {
    const int64_t before = int64_t{shape.rows} * block_id();
    begin = before * n;
    count = static_cast<int>(rows - before < shape.rows ? rows - before : shape.rows);
    lane = thread_id() % kRunLanes;
    first = thread_id() / kRunLanes;
    step = block_threads() / kRunLanes;
  }
};

// Calls f(k, at) for the elements of a lane in a row, `at` being 0 for its first; k is a constant,
// so that x[k] is a register. By fours without a question each, as long as all lanes have them.
template <class F>
GPU_DEVICE void for_each_of_lane(int n, int lane, F f) {
  constexpr int kTogether = 4;
#pragma unroll
  for (int k = 0; k < kRunElements; k += kTogether) {
    if ((k + kTogether) * kRunLanes <= n) {
#pragma unroll
      for (int i = k; i < k + kTogether; ++i) f(i, i * kRunLanes);
    } else if (k * kRunLanes < n) {
#pragma unroll
      for (int i = k; i < k + kTogether; ++i) {
        if (i * kRunLanes + lane < n) f(i, i * kRunLanes);
      }
    }
  }
}

template <class Op, class T, class U>
GPU_KERNEL(kRunThreads)
softmax_runs(ForwardRows<T, U> p, RunShape shape) {
  await_earlier();
  GPU_DYNAMIC_SHARED(Words, memory);
  const Run run(shape, p.rows, p.n);
  const T* src = p.src + run.begin;
  U* dst = p.dst + run.begin;
  T* in = reinterpret_cast<T*>(memory);
  U* out = reinterpret_cast<U*>(reinterpret_cast<char*>(memory) + shape.bytes);
  fetch_run(src, run.count * p.n, in);
  close_copies();
  wait_copies<0>();
  barrier();
  in += misplaced(src) + run.lane;
  out += misplaced(dst) + run.lane;
  // Teams without a row come along for the shuffles: there is memory of it.
  for (int row = run.first; row - run.first < run.count; row += run.step) {
    float x[kRunElements] = {};
    MaxSum sum;
    for_each_of_lane(p.n, run.lane, [&](int k, int at) {
      x[k] = widen(in[row * p.n + at]);
      sum.max = fmaxf(sum.max, x[k]);
    });
    sum.max = max_of_lanes(sum.max, kRunLanes);
    const float shift = shift_of(sum.max);
    for_each_of_lane(p.n, run.lane, [&](int k, int) { sum.sum += exp_from(x[k], shift); });
    sum.sum = sum_of_lanes(sum.sum, kRunLanes);
    if (row >= run.count) continue;
    const typename Op::template Normalize<U> normalize(sum);
    for_each_of_lane(p.n, run.lane,
                     [&](int k, int at) { out[row * p.n + at] = narrow<U>(normalize(x[k])); });
  }
  barrier();
  store_run(dst, run.count * p.n, out - misplaced(dst) - run.lane);
}

template <class Op, class T, class U>
GPU_KERNEL(kRunThreads)
softmax_backward_runs(BackwardRows<T, U> p, RunShape shape) {
  await_earlier();
  GPU_DYNAMIC_SHARED(Words, memory);
  const Run run(shape, p.rows, p.n);
  const T* grad_rows = p.grad + run.begin;
  const T* y_rows = p.y + run.begin;
  U* dst = p.out + run.begin;
  T* grad = reinterpret_cast<T*>(memory);
  T* y = reinterpret_cast<T*>(reinterpret_cast<char*>(memory) + shape.bytes);
  U* out = reinterpret_cast<U*>(reinterpret_cast<char*>(memory) + 2 * shape.bytes);
  fetch_run(grad_rows, run.count * p.n, grad);
  fetch_run(y_rows, run.count * p.n, y);
  close_copies();
  wait_copies<0>();
  barrier();
  grad += misplaced(grad_rows) + run.lane;
  y += misplaced(y_rows) + run.lane;
  out += misplaced(dst) + run.lane;
  for (int row = run.first; row - run.first < run.count; row += run.step) {
    float g[kRunElements] = {}, v[kRunElements] = {};
    float sum = 0;
    for_each_of_lane(p.n, run.lane, [&](int k, int at) {
      g[k] = widen(grad[row * p.n + at]);
      v[k] = widen(y[row * p.n + at]);
      sum = Op::add_term(sum, g[k], v[k]);
    });
    sum = sum_of_lanes(sum, kRunLanes);
    if (row >= run.count) continue;
    for_each_of_lane(p.n, run.lane, [&](int k, int at) {
      out[row * p.n + at] = narrow<U>(Op::template gradient<U>(g[k], v[k], sum));
    });
  }
  barrier();
  store_run(dst, run.count * p.n, out - misplaced(dst) - run.lane);
}

template <int N>
bool is_dense(const Walk<N>& walk, int n) {
  for (int t = 0; t < N; ++t) {
    if (walk.strides[t][0] != n) return false;
  }
  return walk.rank == 1;
}

// False where another kernel is to do it.
template <class T, class U, int N, class Kernel, class P>
bool launch_runs(Kernel kernel, const P& p, const Walk<N>& walk, const polyops_context* ctx,
                 int* status) {
  if (!p.ragged || p.n > kRunElements * kRunLanes || !is_dense(walk, p.n)) return false;
  RunShape shape = {};
  constexpr int kTeams = kRunThreads / kRunLanes;
  const int pass = kTeams * p.n * static_cast<int>(sizeof(T));
  int passes = kRunBytes / pass;
  if (passes > kMostRunPasses) passes = kMostRunPasses;
  shape.rows = kTeams * (passes > 1 ? passes : 1);
  const int64_t blocks = (int64_t{p.rows} + shape.rows - 1) / shape.rows;
  if (blocks < 2 * multiprocessors(ctx)) return false;
  const auto bytes = [&](int width) { return (shape.rows * p.n * width + 47) / 16 * 16; };
  shape.bytes = bytes(sizeof(T));
  const auto all = static_cast<size_t>((N - 1) * shape.bytes + bytes(sizeof(U)));
  *status = gpu::launch(kernel, {blocks, kRunThreads, all}, ctx, p, shape);
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_SOFTMAX_RUNS_H_
