// What is computed of a row whose packs of grad and src have arrived: its sums, the columns', and
// grad_src.
#ifndef POLYOPS_GPU_LAYER_NORM_BACKWARD_ROW_H_
#define POLYOPS_GPU_LAYER_NORM_BACKWARD_ROW_H_

#include "backward.h"

namespace polyops::gpu {
namespace {

template <class T, class P>
using Weight = Parameters<T, P, 1>;

// f(k, grad, src, weight) of the lane's pack k, the row's at.
template <class Places, class T, class P, class F>
GPU_DEVICE void with_pack(const Places& slots, int stage, const Weight<T, P>& weights,
                          const Cut<T>& cut, int k, int at, F f) {
  float grad[kPack<T>], x[kPack<T>], weight[kPack<T>];
  unpack<T>(*slots.place(stage, 0, k), grad);
  unpack<T>(*slots.place(stage, 1, k), x);
  weights.fetch(0, at + (cut.shift != 0), weight);
  f(k, grad, x, weight);
}
template <class Places, class T, class P, class F>
GPU_DEVICE void for_each_pack(const Places& slots, int stage, const Weight<T, P>& weights,
                              const Cut<T>& cut, int lane, int team, F f) {
#pragma unroll
  for (int k = 0; k < kBackwardPacks<T>; ++k) {
    const int at = lane + k * team;
    if (at >= cut.whole) break;
    with_pack(slots, stage, weights, cut, k, at, f);
  }
}

// The same for each of its elements at the ends: f(e, at, grad, src, weight).
template <class Norm, class T, class P, class F>
GPU_DEVICE void for_each_end_of(const BackwardRow<Norm, T, P>& row, const Slots<T>& slots,
                                int stage, const Weight<T, P>& weights, const Cut<T>& cut, int lane,
                                int team, F f) {
  for_each_end<kMostEnds<T>>(cut, lane, team, [&](int e, int at) {
    const float grad = pick<T>(slots.place(stage, 0, kBackwardPacks<T> + e), row.grad_shift + at);
    const float x = pick<T>(slots.place(stage, 1, kBackwardPacks<T> + e), row.src_shift + at);
    f(e, at, grad, x, weights.one(0, at));
  });
}

// Of a row's elements: of g = grad weight, where there is a mean, and of g x_hat.
template <class Norm>
struct RowSums {
  float sum[2] = {}, product[2] = {};

  // j: of neighbours. Adds to the columns, too.
  GPU_DEVICE void add(int j, const Normal<Norm>& normal, float grad, float x, float weight,
                      float* of_bias, float* of_weight) {
    if constexpr (Norm::kCentered) {
      sum[j % 2] = fmaf(grad, weight, sum[j % 2]);
      *of_bias += grad;
    }
    const float both = grad * normal.near(x);
    product[j % 2] = fmaf(both, weight, product[j % 2]);
    *of_weight = Norm::kCentered ? fmaf(both, normal.rest, *of_weight) : *of_weight + both;
  }
  GPU_DEVICE void get(const Normal<Norm>& normal, float (&sums)[Norm::kSums]) const {
    if constexpr (Norm::kCentered) sums[0] = sum[0] + sum[1];
    sums[Norm::kSums - 1] = (product[0] + product[1]) * normal.rest;
  }
};

// Adds to the columns; sums: as RowSums.
template <bool kRagged, class Places, class Norm, class T, class P>
GPU_DEVICE void sum_row(const BackwardRow<Norm, T, P>& row, const Normal<Norm>& normal,
                        const Places& slots, int stage, const Weight<T, P>& weights,
                        const Cut<T>& cut, int lane, int team, ColumnSums<Norm, T>* columns,
                        float (&sums)[Norm::kSums]) {
  constexpr int kLast = Norm::kParameters - 1;
  RowSums<Norm> all;
  for_each_pack(slots, stage, weights, cut, lane, team,
                [&](int k, const auto& grad, const auto& x, const auto& weight) {
#pragma unroll
                  for (int j = 0; j < kPack<T>; ++j) {
                    all.add(j, normal, grad[j], x[j], weight[j], &columns->packs[kLast][k][j],
                            &columns->packs[0][k][j]);
                  }
                });
  if constexpr (kRagged) {
    for_each_end_of(row, slots, stage, weights, cut, lane, team,
                    [&](int e, int, float grad, float x, float weight) {
                      all.add(e, normal, grad, x, weight, &columns->ends[kLast][e],
                              &columns->ends[0][e]);
                    });
  }
  all.get(normal, sums);
}

// grad_src, rstd (g - mean of g - x_hat mean of g x_hat); rms_norm's without the mean of g. The
// square of rstd, 0 where elements are large, is nowhere; what of it a tiny rstd times a mean loses
// below the least float32 is as little in the result.
template <class Norm>
struct Gradient {
  const Normal<Norm>& normal;
  float of_product, of_g;

  GPU_DEVICE Gradient(const Normal<Norm>& of, const float (&sums)[Norm::kSums], float inv_n)
      : normal(of),
        of_product(-sums[Norm::kSums - 1] * inv_n * (Norm::kCentered ? of.rest : of.rstd)),
        of_g(Norm::kCentered ? -sums[0] * inv_n : 0.0f) {}
  GPU_DEVICE float operator()(float grad, float x, float weight) const {
    const float g = Norm::kCentered ? fmaf(grad, weight, of_g) : grad * weight;
    return fmaf(Norm::kCentered ? normal.near(x) : x, of_product, g) * normal.rstd;
  }
  template <int kCount>
  GPU_DEVICE void all(const float (&grad)[kCount], const float (&x)[kCount],
                      const float (&weight)[kCount], float (&y)[kCount]) const {
#pragma unroll
    for (int j = 0; j < kCount; ++j) y[j] = (*this)(grad[j], x[j], weight[j]);
  }
};

template <bool kRagged, class Norm, class T, class P>
GPU_DEVICE void store_row(const BackwardRow<Norm, T, P>& row, const Gradient<Norm>& gradient,
                          const Slots<T>& slots, int stage, const Weight<T, P>& weights,
                          const Cut<T>& cut, int lane, int team) {
  const bool fits = !kRagged || cut.fits(row.out);
  for_each_pack(slots, stage, weights, cut, lane, team,
                [&](int k, const auto& grad, const auto& x, const auto& weight) {
                  float y[kPack<T>];
                  gradient.all(grad, x, weight, y);
                  store_pack(cut, row.out, fits, lane + k * team, y);
                });
  if constexpr (!kRagged) return;
  for_each_end_of(row, slots, stage, weights, cut, lane, team,
                  [&](int, int at, float grad, float x, float weight) {
                    row.out[at] = narrow<T>(gradient(grad, x, weight));
                  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_BACKWARD_ROW_H_
