// Calls that reach every barrier of the ops over rows and columns, and of copy.
#ifndef POLYOPS_TESTS_SIMT_MUTATION_ROWS_H_
#define POLYOPS_TESTS_SIMT_MUTATION_ROWS_H_

#include <utility>
#include <vector>

#include "mutation_case.h"
#include "polyops/ops/copy.h"
#include "polyops/ops/cross_entropy.h"
#include "polyops/ops/cumsum.h"
#include "polyops/ops/extreme.h"
#include "polyops/ops/layer_norm.h"
#include "polyops/ops/nll_loss.h"
#include "polyops/ops/reduction.h"
#include "polyops/ops/rms_norm.h"
#include "polyops/ops/softmax.h"
#include "polyops/ops/var.h"

namespace polyops::testing {
namespace {

// Rows of every length class, columns, and rows with gaps.
struct Shape {
  Sizes sizes;
  int dim;
  Sizes strides = {};
  double scale = 1;
};
const std::vector<Shape> kShapes = {{{5, 33}, 1},     {{3, 300}, 1},         {{3, 1025}, 1},
                                    {{2, 5000}, 1},   {{2, 20001}, 1},       {{2, 50000}, 1},
                                    {{1, 140001}, 1}, {{2, 700, 40}, 1},     {{1, 5000, 9}, 1},
                                    {{30, 70}, 0},    {{3, 500}, 1, {1, 3}}, {{40, 70}, 1, {1, 40}},
                                    {{400, 49}, 1}};

Calls softmax_of(const char* op) {
  Calls all = {op, {}};
  for (const Shape& s : kShapes) {
    all.calls.push_back([s](const polyops_kernel& kernel) {
      const Buffer src = random(s.sizes, 1, s.strides), dst(POLYOPS_FLOAT32, s.sizes);
      return run(kernel,
                 polyops_softmax_args{sizeof(polyops_softmax_args), s.dim, src.view(), dst.view()},
                 {&dst});
    });
  }
  return all;
}

Calls softmax_backward_of(const char* op) {
  Calls all = {op, {}};
  for (const Shape& s : kShapes) {
    all.calls.push_back([s](const polyops_kernel& kernel) {
      const Buffer grad = random(s.sizes, 1, s.strides), dst = random(s.sizes, 2);
      const Buffer result(POLYOPS_FLOAT32, s.sizes);
      return run(kernel,
                 polyops_softmax_backward_args{sizeof(polyops_softmax_backward_args), s.dim,
                                               grad.view(), dst.view(), result.view()},
                 {&result});
    });
  }
  return all;
}

Calls softmax() { return softmax_of("softmax"); }
Calls softmax_backward() { return softmax_backward_of("softmax_backward"); }
Calls log_softmax() { return softmax_of("log_softmax"); }
Calls log_softmax_backward() { return softmax_backward_of("log_softmax_backward"); }

const std::vector<Sizes> kRows = {{40, 33},   {9, 300},   {9, 1025},  {7, 5000},
                                  {3, 20001}, {2, 33024}, {2, 70001}, {2, 140001}};

// Those, rows one over the other, several rows of each cluster, and huge ones, which are taken
// again, smaller.
std::vector<Shape> norm_rows() {
  std::vector<Shape> all = {{{40, 33}, 1, {1, 40}}};
  for (const Sizes& sizes : kRows) all.push_back({sizes, 1});
  all.push_back({{13, 20001}, 1});
  all.push_back({{6, 20001}, 1, {}, 1e25});
  return all;
}
Buffer values_of(const Shape& s) {
  Buffer src(POLYOPS_FLOAT32, s.sizes, s.strides);
  src.fill_normal(1, s.scale);
  return src;
}

Calls layer_norm() {
  Calls all = {"layer_norm", {}};
  for (const Shape& s : norm_rows()) {
    all.calls.push_back([s](const polyops_kernel& kernel) {
      const Sizes& sizes = s.sizes;
      const Buffer src = values_of(s), weight = random({sizes[1]}, 2), bias = random({sizes[1]}, 3);
      const Buffer dst(POLYOPS_FLOAT32, sizes), mean(POLYOPS_FLOAT32, {sizes[0], 1});
      const Buffer rstd(POLYOPS_FLOAT32, {sizes[0], 1});
      const polyops_layer_norm_args args = {sizeof args,   1,           1e-5,       src.view(),
                                            weight.view(), bias.view(), dst.view(), mean.view(),
                                            rstd.view()};
      return run(kernel, args, {&dst, &mean, &rstd});
    });
  }
  return all;
}

// More of those beyond a block than a cluster's shared memory has at a time.
std::vector<Sizes> gradient_rows() {
  std::vector<Sizes> all = kRows;
  for (Sizes& sizes : all) {
    if (sizes[1] == 20001) sizes[0] = 7;
  }
  return all;
}

// One of 16 bits, whose sums of columns take the weight's place, too; one whose src is transposed.
Calls layer_norm_backward() {
  Calls all = {"layer_norm_backward", {}};
  struct Rows {
    Sizes sizes, strides;
    int32_t dtype = POLYOPS_FLOAT32;
  };
  std::vector<Rows> rows;
  for (const Sizes& sizes : gradient_rows()) rows.push_back({sizes, {}});
  rows.push_back({{2, 16384}, {}, POLYOPS_BFLOAT16});
  rows.push_back({{448, 32}, {1, 448}});
  for (const auto& [sizes, strides, dtype] : rows) {
    all.calls.push_back([sizes, strides, dtype](const polyops_kernel& kernel) {
      const Sizes of_rows = {sizes[0], 1}, of_columns = {sizes[1]};
      const Buffer grad = random(sizes, 1, {}, dtype), src = random(sizes, 2, strides, dtype);
      const Buffer weight = random(of_columns, 3, {}, dtype);
      const Buffer mean = random(of_rows, 4), rstd = random(of_rows, 5);
      const Buffer grad_src(dtype, sizes);
      const Buffer grad_weight(dtype, of_columns), grad_bias(dtype, of_columns);
      const polyops_layer_norm_backward_args args = {sizeof args,        1,
                                                     grad.view(),        src.view(),
                                                     mean.view(),        rstd.view(),
                                                     weight.view(),      grad_src.view(),
                                                     grad_weight.view(), grad_bias.view()};
      return run(kernel, args, {&grad_src, &grad_weight, &grad_bias});
    });
  }
  return all;
}

Calls rms_norm() {
  Calls all = {"rms_norm", {}};
  for (const Shape& s : norm_rows()) {
    all.calls.push_back([s](const polyops_kernel& kernel) {
      const Sizes& sizes = s.sizes;
      const Buffer src = values_of(s), weight = random({sizes[1]}, 2);
      const Buffer dst(POLYOPS_FLOAT32, sizes), rstd(POLYOPS_FLOAT32, {sizes[0], 1});
      const polyops_rms_norm_args args = {sizeof args,   1,          1e-5,       src.view(),
                                          weight.view(), dst.view(), rstd.view()};
      return run(kernel, args, {&dst, &rstd});
    });
  }
  return all;
}

// One of 16 bits, by packs in clusters.
Calls rms_norm_backward() {
  Calls all = {"rms_norm_backward", {}};
  std::vector<std::pair<Sizes, int32_t>> rows = {{{9, 16640}, POLYOPS_BFLOAT16}};
  for (const Sizes& sizes : gradient_rows()) rows.push_back({sizes, POLYOPS_FLOAT32});
  for (const auto& [sizes, dtype] : rows) {
    all.calls.push_back([sizes, dtype](const polyops_kernel& kernel) {
      const Buffer grad = random(sizes, 1, {}, dtype), src = random(sizes, 2, {}, dtype);
      const Buffer weight = random({sizes[1]}, 3, {}, dtype), rstd = random({sizes[0], 1}, 5);
      const Buffer grad_src(dtype, sizes), grad_weight(dtype, {sizes[1]});
      const polyops_rms_norm_backward_args args = {sizeof args,     1,
                                                   grad.view(),     src.view(),
                                                   rstd.view(),     weight.view(),
                                                   grad_src.view(), grad_weight.view()};
      return run(kernel, args, {&grad_src, &grad_weight});
    });
  }
  return all;
}

// Of one block, and in two stages; 7 classes.
Calls nll_loss() {
  Calls all = {"nll_loss", {}};
  for (int64_t samples : {300, 9000}) {
    all.calls.push_back([samples](const polyops_kernel& kernel) {
      const Buffer src = random({samples, 7}, 1), dst(POLYOPS_FLOAT32, {});
      const Buffer total(POLYOPS_FLOAT32, {});
      Buffer target(POLYOPS_INT64, {samples});
      target.fill([](int64_t i) { return i % 7; });
      const polyops_nll_loss_args args = {sizeof args, POLYOPS_NLL_LOSS_SUM, -100,
                                          src.view(),  target.view(),        absent(),
                                          dst.view(),  total.view()};
      return run(kernel, args, {&dst, &total});
    });
  }
  return all;
}

// Few classes, teams and blocks, a cluster where there are few rows, and pixels.
Calls cross_entropy() {
  Calls all = {"cross_entropy", {}};
  for (const Sizes& sizes : {Sizes{300, 9}, Sizes{300, 33}, Sizes{3, 1500}, Sizes{2, 20001},
                             Sizes{2, 9, 1030}, Sizes{2, 41, 66}}) {
    all.calls.push_back([sizes](const polyops_kernel& kernel) {
      const bool pixels = sizes.size() == 3;
      const Buffer src = random(sizes, 1), dst(POLYOPS_FLOAT32, {});
      const Buffer stats(POLYOPS_FLOAT32, {sizes[0], POLYOPS_CROSS_ENTROPY_STATS});
      Buffer target(POLYOPS_INT64, pixels ? Sizes{sizes[0], sizes[2]} : Sizes{sizes[0]});
      target.fill([](int64_t i) { return (i * 5) % 9; });
      polyops_cross_entropy_args args = {sizeof args,
                                         POLYOPS_NLL_LOSS_MEAN,
                                         -100,
                                         0.1,
                                         src.view(),
                                         target.view(),
                                         absent(),
                                         dst.view(),
                                         pixels ? absent() : stats.view(),
                                         absent()};
      return run(kernel, args, {&dst, &stats});
    });
  }
  return all;
}

// Few classes, and tiles of pixels; all others meet nowhere.
Calls cross_entropy_backward() {
  Calls all = {"cross_entropy_backward", {}};
  for (const Sizes& sizes : {Sizes{300, 9}, Sizes{2, 9, 131}, Sizes{2, 41, 66}, Sizes{2, 41, 67}}) {
    all.calls.push_back([sizes](const polyops_kernel& kernel) {
      const bool pixels = sizes.size() == 3;
      const Buffer src = random(sizes, 1), grad = random({}, 2);
      const Buffer stats = random({sizes[0], POLYOPS_CROSS_ENTROPY_STATS}, 3);
      const Buffer result(POLYOPS_FLOAT32, sizes);
      Buffer target(POLYOPS_INT64, pixels ? Sizes{sizes[0], sizes[2]} : Sizes{sizes[0]});
      target.fill([](int64_t i) { return (i * 5) % 9; });
      const polyops_cross_entropy_backward_args args = {sizeof args,
                                                        POLYOPS_NLL_LOSS_SUM,
                                                        -100,
                                                        0,
                                                        grad.view(),
                                                        src.view(),
                                                        target.view(),
                                                        absent(),
                                                        pixels ? absent() : stats.view(),
                                                        absent(),
                                                        result.view()};
      return run(kernel, args, {&result});
    });
  }
  return all;
}

Calls nll_loss_backward() {
  Calls all = {"nll_loss_backward", {}};
  for (const Sizes& sizes : {Sizes{40, 33}, Sizes{1, 5, 67}}) {
    all.calls.push_back([sizes](const polyops_kernel& kernel) {
      const bool pixels = sizes.size() == 3;
      const Sizes labels = pixels ? Sizes{sizes[0], sizes[2]} : Sizes{sizes[0]};
      const Buffer grad = random(labels, 1), result(POLYOPS_FLOAT32, sizes);
      Buffer target(POLYOPS_INT64, labels);
      target.fill([&](int64_t i) { return (i * 5) % sizes[1]; });
      const polyops_nll_loss_backward_args args = {sizeof args, POLYOPS_NLL_LOSS_NONE, -100,
                                                   grad.view(), target.view(),         absent(),
                                                   absent(),    result.view()};
      return run(kernel, args, {&result});
    });
  }
  return all;
}

// Of columns in chunks; rows have barriers where they are summed up first.
Calls cumsum() {
  Calls all = {"cumsum", {}};
  for (const Shape& s : std::vector<Shape>{{{500, 24}, 0}}) {
    all.calls.push_back([s](const polyops_kernel& kernel) {
      const Buffer src = random(s.sizes, 1), dst(POLYOPS_FLOAT32, s.sizes);
      return run(kernel,
                 polyops_cumsum_args{sizeof(polyops_cumsum_args), s.dim, src.view(), dst.view()},
                 {&dst});
    });
  }
  return all;
}

// Of blocks that share no wave, and of columns; amax has the same kernels.
Calls sum() {
  Calls all = {"sum", {}};
  for (const Shape& s : std::vector<Shape>{{{2, 9000}, 1}, {{50, 24}, 0}}) {
    all.calls.push_back([s](const polyops_kernel& kernel) {
      Sizes kept = s.sizes;
      kept[static_cast<size_t>(s.dim)] = 1;
      const Buffer src = random(s.sizes, 1), dst(POLYOPS_FLOAT32, kept);
      return run(kernel,
                 polyops_reduction_args{sizeof(polyops_reduction_args), 1u << s.dim, src.view(),
                                        dst.view()},
                 {&dst});
    });
  }
  return all;
}

// Of blocks that share no wave, columns, keys of several chunks and few neighbours; argmin, max and
// min have the same kernels.
Calls argmax() {
  Calls all = {"argmax", {}};
  for (const Shape& s : std::vector<Shape>{
           {{2, 9000}, 1}, {{1, 70001}, 1}, {{50, 24}, 0}, {{300, 19}, 1}, {{5, 520}, 0}}) {
    all.calls.push_back([s](const polyops_kernel& kernel) {
      Sizes kept = s.sizes;
      kept[static_cast<size_t>(s.dim)] = 1;
      const Buffer src = random(s.sizes, 1), indices(POLYOPS_INT64, kept);
      return run(kernel,
                 polyops_extreme_args{sizeof(polyops_extreme_args), s.dim, src.view(),
                                      indices.view(), absent()},
                 {&indices});
    });
  }
  return all;
}

// Of blocks that share no wave, of columns, and of parts of both; the other ops by several numbers
// have the same kernels.
Calls var() {
  Calls all = {"var", {}};
  for (const Shape& s : std::vector<Shape>{
           {{2, 9000}, 1}, {{50, 24}, 0}, {{2, 20000}, 1}, {{1500, 48}, 0}, {{1, 70000}, 1}}) {
    all.calls.push_back([s](const polyops_kernel& kernel) {
      Sizes kept = s.sizes;
      kept[static_cast<size_t>(s.dim)] = 1;
      const Buffer src = random(s.sizes, 1), dst(POLYOPS_FLOAT32, kept);
      return run(kernel,
                 polyops_var_args{sizeof(polyops_var_args), 1u << s.dim, 1, src.view(), dst.view(),
                                  absent()},
                 {&dst});
    });
  }
  return all;
}

// Tiles, whole, not, and beginning anywhere on one side; a run of three channels and one to them,
// also of whole packs.
Calls copy() {
  Calls all = {"copy", {}};
  const std::vector<std::pair<Sizes, Sizes>> turned = {
      {{64, 64}, {1, 64}},  {{67, 131}, {1, 67}}, {{68, 131}, {1, 68}}, {{3, 999}, {1, 3}},
      {{999, 3}, {1, 999}}, {{3, 996}, {1, 3}},   {{996, 3}, {1, 996}}};
  for (const auto& [sizes, strides] : turned) {
    all.calls.push_back([sizes, strides](const polyops_kernel& kernel) {
      const Buffer src = random(sizes, 1, strides), dst(POLYOPS_FLOAT32, sizes);
      return run(kernel, polyops_copy_args{sizeof(polyops_copy_args), 0, src.view(), dst.view()},
                 {&dst});
    });
  }
  return all;
}

}  // namespace
}  // namespace polyops::testing

#endif  // POLYOPS_TESTS_SIMT_MUTATION_ROWS_H_
