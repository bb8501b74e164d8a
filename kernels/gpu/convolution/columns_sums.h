// Gradients of weight and bias of such images as columns.h takes. Bound: memory, input and gradient
// once. A block has one channel and some strips of its planes, in all images; its threads add up
// their own, then each other's.
#ifndef POLYOPS_GPU_CONVOLUTION_COLUMNS_SUMS_H_
#define POLYOPS_GPU_CONVOLUTION_COLUMNS_SUMS_H_

#include "columns.h"
#include "strip_sums.h"

namespace polyops::gpu {
namespace {

template <class T>
struct ColumnsSumsCall {
  Shape shape;
  const T* grad;
  const T* src;
  Sums<T> sums;
  Division across, down;  // strips of a row, stretches of a plane
  int32_t rows;           // of a stretch
  int32_t strips, turns;  // of a channel, of a thread
};

// A strip's sums. src, grad: of its planes, the strip's column of row 0.
template <class W, class Own, class T>
GPU_DEVICE void sum_column(const Shape& s, int32_t column, int32_t first, int32_t rows,
                           const T* src, const T* grad, StripSums<W, Own>* sums) {
  const int32_t y = first * W::kS - Own::kPadding;
  RowWalk<T> walk(src, y, s.h.in, s.w.in), of_grad(grad, first, first + rows, s.w.out);
  ColumnRow<W, Own, T> next[W::kS];
  Few<T, Own::kResults> next_grads;
  const auto load = [&]() {
#pragma unroll
    for (int i = 0; i < W::kS; ++i) {
      next[i].load(walk.row, column * W::kS, s.w.in);
      walk.advance();
    }
    next_grads.load(of_grad.row);
    of_grad.advance();
  };
  for (auto& row : next) row.clear();
  load();
#pragma unroll 1
  for (int32_t step = 0; step < rows + Own::kBefore; ++step) {
    float values[W::kS][Own::kPixels][1], grads[Own::kResults];
#pragma unroll
    for (int i = 0; i < W::kS; ++i) {
      const int32_t at = y + step * W::kS + i;
      next[i].get(static_cast<uint32_t>(at) < static_cast<uint32_t>(s.h.in), values[i]);
    }
    next_grads.get(grads);
    load();
    sums->shift();
#pragma unroll
    for (int c = 0; c < Own::kResults; ++c) sums->grads[0][c][0] = grads[c];
    if (step < rows) sums->add_grads();
    sums->add_step(step, rows, Own::kResults, values);
  }
}

template <class W, class Own, class T>
GPU_KERNEL(Own::kThreads, Own::kBlocks)
sum_columns(ColumnsSumsCall<T> call) {
  GPU_SHARED(float, shared, (W::kTaps + 1) * kMostWaves);
  const Shape& s = call.shape;
  const SplitOfChannel own(s.channels);
  const int32_t split = own.split, channel = own.channel;
  StripSums<W, Own> sums;
#pragma unroll 1
  for (int32_t turn = 0; turn < call.turns; ++turn) {
    const int32_t index = (split * call.turns + turn) * Own::kThreads + thread_id();
    if (index >= call.strips) break;
    auto rest = static_cast<uint32_t>(index);
    const auto column = static_cast<int32_t>(take_remainder(call.across, &rest)) * Own::kResults;
    const auto first = static_cast<int32_t>(take_remainder(call.down, &rest)) * call.rows;
    const int64_t plane = int64_t{rest} * s.channels + channel;
    sum_column<W, Own, T>(s, column, first, Tile::least(call.rows, s.h.out - first),
                          call.src + (plane * s.in() + column * W::kS),
                          call.grad + (plane * s.out() + column), &sums);
  }
  float all[W::kTaps + 1];
#pragma unroll
  for (int i = 0; i <= W::kTaps; ++i) all[i] = sums.sums[i][0];
  put_sums(all, s, own, call.sums, shared);
}

template <class Own>
Stretches columns_sums_grid(const Shape& s) {
  const int64_t blocks = kSumMultiprocessors * Own::kBlocks / s.channels;
  return stretches_of(s.h.out, kMore<Own>, int64_t{s.batch} * (s.w.out / Own::kResults),
                      (blocks > 1 ? blocks : 1) * Own::kThreads);
}
template <class Own>
int64_t splits_of(const Stretches& g) {
  return ceil_div(g.count, g.turns * Own::kThreads);
}

inline int64_t columns_splits(const Shape& s) {
  int64_t splits = 0;
  if (!has_columns(s)) return splits;
  with_columns(s, [&]<class W, class Own>() {
    splits = splits_of<Own>(columns_sums_grid<Own>(s));
    return POLYOPS_OK;
  });
  return splits;
}

template <class T>
int launch_columns_sums(const BackwardArgs& a, const Shape& s, const polyops_context* ctx) {
  return with_columns(s, [&]<class W, class Own>() {
    const Stretches g = columns_sums_grid<Own>(s);
    const int64_t splits = splits_of<Own>(g);
    const ColumnsSumsCall<T> call = {s,
                                     static_cast<const T*>(a.grad_dst.data),
                                     static_cast<const T*>(a.src.data),
                                     sums_of<T>(a, splits, ctx),
                                     Division(static_cast<uint32_t>(s.w.out / Own::kResults)),
                                     Division(static_cast<uint32_t>(ceil_div(s.h.out, g.rows))),
                                     g.rows,
                                     static_cast<int32_t>(g.count),
                                     static_cast<int32_t>(g.turns)};
    const int status =
        launch(sum_columns<W, Own, T>, {splits * s.channels, Own::kThreads}, ctx, call);
    return launch_add_parts(status, s, call.sums, ctx);
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_COLUMNS_SUMS_H_
