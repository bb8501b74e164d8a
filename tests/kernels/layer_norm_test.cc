// layer_norm and its backward: every kernel of every ISA against the reference in float64.
//
// Bounds, in units of epsilon of the result's dtype times a scale, plus (for bfloat16) the result's
// own rounding:
//   dst          the row's largest |dst - bias| + |bias|; to it comes what rounding the mean of a
//                row far from 0 costs, which is nothing here: the mean is kept in two parts
//   mean, rstd   the largest |src| of the row; rstd
//   grad_src     the row's largest rstd (|g| + mean |g| + |x_hat| mean |g x_hat|), the terms of it
//   grad_weight, grad_bias   the sum over rows of |terms|
#include "reference/layer_norm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "family.h"
#include "harness.h"
#include "norm_case.h"

namespace polyops::testing {
namespace {

constexpr Types kTypes[] = {{POLYOPS_FLOAT32, POLYOPS_FLOAT32, POLYOPS_FLOAT32},
                            {POLYOPS_BFLOAT16, POLYOPS_BFLOAT16, POLYOPS_BFLOAT16},
                            {POLYOPS_BFLOAT16, POLYOPS_FLOAT32, POLYOPS_FLOAT32},
                            {POLYOPS_FLOAT16, POLYOPS_FLOAT16, POLYOPS_FLOAT16},
                            {POLYOPS_FLOAT16, POLYOPS_FLOAT32, POLYOPS_FLOAT32},
                            {POLYOPS_FLOAT64, POLYOPS_FLOAT64, POLYOPS_FLOAT64}};
// Also a GPU's: what stock returns there.
constexpr Types kGpuTypes[] = {{POLYOPS_FLOAT32, POLYOPS_FLOAT32, POLYOPS_FLOAT32},
                               {POLYOPS_BFLOAT16, POLYOPS_BFLOAT16, POLYOPS_FLOAT32},
                               {POLYOPS_FLOAT16, POLYOPS_FLOAT32, POLYOPS_FLOAT32},
                               {POLYOPS_BFLOAT16, POLYOPS_BFLOAT16, POLYOPS_BFLOAT16},
                               {POLYOPS_FLOAT16, POLYOPS_FLOAT16, POLYOPS_FLOAT32},
                               {POLYOPS_BFLOAT16, POLYOPS_FLOAT32, POLYOPS_FLOAT32},
                               {POLYOPS_FLOAT16, POLYOPS_FLOAT16, POLYOPS_FLOAT16}};

// Of the CPU's kernels all. Those that run lane by lane get two by turns: cases repeat every size
// and layout often enough, and a full turn takes minutes.
std::vector<Types> types_of_turn(size_t turn) {
  constexpr size_t kAll = std::size(kGpuTypes);
  if (!is_gpu()) return {std::begin(kTypes), std::end(kTypes)};
  return {kGpuTypes[turn % kAll], kGpuTypes[(turn + 3) % kAll]};
}

// How many of the CPU's threads to try.
std::vector<int> thread_counts() {
  if (is_gpu()) return {1};
  return {1, 2, 3};
}

struct Forward {
  std::vector<double> dst, mean, rstd;
};

// The reference's results, and the scales of their bounds.
Forward exact_forward(const Case& c, polyops_layer_norm_args args, Forward* scale) {
  Buffer dst(POLYOPS_FLOAT64, c.sizes), mean(POLYOPS_FLOAT64, c.leading());
  Buffer rstd(POLYOPS_FLOAT64, c.leading()), plain(POLYOPS_FLOAT64, c.sizes);
  args.dst = dst.view();
  args.mean = mean.view();
  args.rstd = rstd.view();
  reference::layer_norm(args);
  const Forward exact = {dst.values(), mean.values(), rstd.values()};
  args.dst = plain.view();
  args.bias = absent();
  reference::layer_norm(args);
  std::vector<double> terms = plain.values();
  for (size_t i = 0; i < terms.size(); ++i) {
    terms[i] = std::abs(terms[i]) + std::abs(exact.dst[i] - terms[i]);
  }
  scale->dst = row_scale(terms, c.n());
  scale->rstd = exact.rstd;
  scale->mean.resize(exact.mean.size());
  for (size_t r = 0; r < exact.mean.size(); ++r) {
    scale->mean[r] = std::abs(exact.mean[r]) + 3 / exact.rstd[r];
  }
  return exact;
}

// Forward by every kernel with 1, 2 and 3 threads, bit-equal.
void check_forward(const Case& c, Types types, const Buffer& src, bool weighted, bool biased) {
  SCOPED_TRACE(describe(c, types) + (weighted ? " weight" : "") + (biased ? " bias" : ""));
  // Where rows are aligned so are these, but for one case.
  Buffer weight(types.parameter, c.row_sizes(), {}, c.offset);
  Buffer bias(types.parameter, c.row_sizes(), {}, c.n() == 384 ? 1 : 0);
  weight.fill_normal(23);
  bias.fill_normal(29);
  polyops_layer_norm_args args = {sizeof args, c.normalized_rank, 1e-5,     src.view(), absent(),
                                  absent(),    absent(),          absent(), absent()};
  if (weighted) args.weight = weight.view();
  if (biased) args.bias = bias.view();
  Forward scale;
  const Forward exact = exact_forward(c, args, &scale);
  args.dst = Buffer(types.src, c.sizes, c.dst_strides, c.offset).without_data();
  args.mean = args.rstd = Buffer(types.statistics, c.leading()).without_data();
  const std::vector<double> before = src.values();
  for_each_taker("layer_norm", c, types, &args, [&](const polyops_kernel& kernel) {
    Forward with_one_thread;
    for (int threads : thread_counts()) {
      Buffer dst(types.src, c.sizes, c.dst_strides, c.offset);
      Buffer mean(types.statistics, c.leading(), {}, 1), rstd(types.statistics, c.leading());
      polyops_layer_norm_args call = args;
      call.dst = dst.view();
      call.mean = mean.view();
      call.rstd = rstd.view();
      ASSERT_EQ(launch(kernel, &call, threads), POLYOPS_OK);
      const Forward now = {expect_close("dst", dst, exact.dst, scale.dst, 4),
                           expect_close("mean", mean, exact.mean, scale.mean, 1),
                           expect_close("rstd", rstd, exact.rstd, scale.rstd, 4)};
      if (threads == 1) with_one_thread = now;
      ASSERT_EQ(now.dst, with_one_thread.dst) << threads << " threads";
      ASSERT_EQ(now.mean, with_one_thread.mean) << threads << " threads";
      ASSERT_EQ(now.rstd, with_one_thread.rstd) << threads << " threads";
    }
  });
  ASSERT_EQ(src.values(), before) << "src was written";
}

TEST(LayerNorm, MatchesReference) {
  size_t turn = 0;
  for (const Case& c : all_cases()) {
    for (Types types : types_of_turn(turn++)) {
      Buffer src(types.src, c.sizes, c.src_strides, c.offset);
      src.fill_normal(7, 3.0);
      for (int which = c.n() < 100 ? 0 : 3; which < 4; ++which) {
        check_forward(c, types, src, (which & 1) != 0, (which & 2) != 0);
        if (HasFailure()) return;
      }
    }
  }
}

// Means far from 0 beside the deviation, tiny and huge deviations, constant rows, and rows whose
// squares, then also their sum, are beyond float32.
TEST(LayerNorm, HardRows) {
  struct Row {
    double mean, deviation;
  };
  const Row rows[] = {{1e4, 1},      {-1e6, 1}, {3e7, 100}, {0, 1e-12}, {5, 1e-6}, {1e15, 1e15},
                      {-1e18, 1e17}, {7, 0},    {1e4, 0},   {0, 0},     {0, 1e20}, {1e37, 1e36}};
  const int64_t m = std::size(rows);
  std::vector<Case> cases;
  if (is_gpu()) cases.push_back({"strided", {3 * m, 50}, 1, {1, 3 * m}});  // one over the other
  for (int64_t n : {3, 64, 1000, 20001, 70000, 140001}) {
    if (n > 20001 && !is_gpu()) break;  // beyond what a block keeps of a row
    cases.push_back({"contiguous", {m, n}, 1});
  }
  size_t turn = 0;
  for (const Case& c : cases) {
    for (Types types : types_of_turn(turn++)) {
      Buffer noise(POLYOPS_FLOAT64, c.sizes), src(types.src, c.sizes, c.src_strides);
      noise.fill_normal(31);
      const double most = types.src == POLYOPS_FLOAT16 ? 65504 : HUGE_VAL;
      src.fill([&](int64_t i) {
        const Row& row = rows[i / c.n() % m];
        return std::clamp(row.mean + row.deviation * noise.get(i), -most, most);
      });
      check_forward(c, types, src, true, true);
      if (HasFailure()) return;
    }
  }
}

TEST(LayerNorm, NanAndInfinitySpoilTheirRow) {
  for (int64_t n : {1, 5, 64, 300}) {
    for (double bad :
         {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
          -std::numeric_limits<double>::infinity()}) {
      for (Types types : kTypes) {
        Buffer src(types.src, {3, n});
        src.fill_normal(1);
        src.set(n + n / 2, bad);
        for (const polyops_kernel* kernel : kernels_of("layer_norm")) {
          SCOPED_TRACE(kernel->name);
          Buffer dst(types.src, {3, n}), mean(types.statistics, {3}), rstd(types.statistics, {3});
          polyops_layer_norm_args args = {sizeof args, 1,           1e-5,
                                          src.view(),  absent(),    absent(),
                                          dst.view(),  mean.view(), rstd.view()};
          if (kernel->supports(&args) != nullptr) continue;
          ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK);
          for (int64_t r = 0; r < 3; ++r) {
            ASSERT_EQ(std::isnan(mean.get(r)), r == 1);
            ASSERT_EQ(std::isnan(rstd.get(r)), r == 1);
            for (int64_t i = 0; i < n; ++i) ASSERT_EQ(std::isnan(dst.get(r * n + i)), r == 1);
          }
        }
      }
    }
  }
}

// Which gradients are asked for.
struct Wanted {
  bool src, weight, bias;
};

struct Gradients {
  std::vector<double> src, weight, bias;
};

Gradients exact_backward(const Case& c, polyops_layer_norm_backward_args args) {
  Buffer src(POLYOPS_FLOAT64, c.sizes), weight(POLYOPS_FLOAT64, c.row_sizes());
  Buffer bias(POLYOPS_FLOAT64, c.row_sizes());
  args.grad_src = src.view();
  args.grad_weight = weight.view();
  args.grad_bias = bias.view();
  reference::layer_norm_backward(args);
  return {src.values(), weight.values(), bias.values()};
}

// The sums of absolute values of the terms of each gradient, from the inputs as doubles.
Gradients backward_terms(const Case& c, const Buffer& grad, const Buffer& src, const Buffer& mean,
                         const Buffer& rstd, const Buffer* weight) {
  const int64_t n = c.n();
  const int64_t rows = grad.numel() / n;
  Gradients terms = {std::vector<double>(rows * n), std::vector<double>(n), std::vector<double>(n)};
  for (int64_t r = 0; r < rows; ++r) {
    const auto g = [&](int64_t i) {
      return std::abs(grad.get(r * n + i) * (weight == nullptr ? 1 : weight->get(i)));
    };
    const auto x = [&](int64_t i) {
      return (std::abs(src.get(r * n + i)) + std::abs(mean.get(r))) * rstd.get(r);
    };
    double sum = 0, product = 0;
    for (int64_t i = 0; i < n; ++i) {
      sum += g(i) / n;
      product += g(i) * x(i) / n;
      terms.weight[i] += std::abs(grad.get(r * n + i)) * x(i);
      terms.bias[i] += std::abs(grad.get(r * n + i));
    }
    for (int64_t i = 0; i < n; ++i) {
      terms.src[r * n + i] = rstd.get(r) * (g(i) + sum + x(i) * product);
    }
  }
  terms.src = row_scale(terms.src, n);
  return terms;
}

struct BackwardInputs {
  BackwardInputs(const Case& c, Types types, double center, double deviation)
      : grad(types.src, c.sizes, c.src_strides, c.offset),
        src(types.src, c.sizes, c.src_strides, c.n() % 3 == 0 ? 1 : c.offset),
        mean(types.statistics, c.leading(), {}, 1),
        rstd(types.statistics, c.leading()),
        weight(types.parameter, c.row_sizes(), {}, 1) {
    grad.fill_normal(41);
    Buffer noise(POLYOPS_FLOAT64, c.sizes);
    noise.fill_normal(43);
    src.fill([&](int64_t i) { return center + deviation * noise.get(i); });
    weight.fill_normal(47);
    Buffer dst(POLYOPS_FLOAT64, c.sizes);
    reference::layer_norm({sizeof(polyops_layer_norm_args), c.normalized_rank, 1e-5, src.view(),
                           absent(), absent(), dst.view(), mean.view(), rstd.view()});
  }

  Buffer grad, src, mean, rstd, weight;
};

// One kernel, once; returns what it wrote.
Gradients run_backward(const polyops_kernel& kernel, const Case& c, Types types,
                       polyops_layer_norm_backward_args args, Wanted wanted, int threads,
                       const Gradients& exact, const Gradients& scale) {
  Buffer src(types.src, c.sizes, c.dst_strides, c.offset);
  Buffer weight(types.parameter, c.row_sizes(), {}, 1), bias(types.parameter, c.row_sizes());
  args.grad_src = wanted.src ? src.view() : absent();
  args.grad_weight = wanted.weight ? weight.view() : absent();
  args.grad_bias = wanted.bias ? bias.view() : absent();
  EXPECT_EQ(launch(kernel, &args, threads), POLYOPS_OK);
  Gradients got;
  if (wanted.src) got.src = expect_close("grad_src", src, exact.src, scale.src, 4);
  if (wanted.weight)
    got.weight = expect_close("grad_weight", weight, exact.weight, scale.weight, 4);
  if (wanted.bias) got.bias = expect_close("grad_bias", bias, exact.bias, scale.bias, 4);
  return got;
}

void check_backward(const Case& c, Types types, bool weighted, Wanted wanted, double center = 0,
                    double deviation = 2) {
  SCOPED_TRACE(describe(c, types) + (weighted ? " weight" : ""));
  const BackwardInputs in(c, types, center, deviation);
  polyops_layer_norm_backward_args args = {
      sizeof args,    c.normalized_rank, in.grad.view(), in.src.view(), in.mean.view(),
      in.rstd.view(), in.weight.view(),  absent(),       absent(),      absent()};
  if (!weighted) args.weight = absent();
  const Gradients exact = exact_backward(c, args);
  const Gradients scale =
      backward_terms(c, in.grad, in.src, in.mean, in.rstd, weighted ? &in.weight : nullptr);
  Buffer out(types.src, c.sizes, c.dst_strides, c.offset),
      parameter(types.parameter, c.row_sizes());
  if (wanted.src) args.grad_src = out.without_data();
  if (wanted.weight) args.grad_weight = parameter.without_data();
  if (wanted.bias) args.grad_bias = parameter.without_data();
  const auto test = [&](const polyops_kernel& kernel) {
    for (int threads : thread_counts()) {
      const auto run = [&] {
        return run_backward(kernel, c, types, args, wanted, threads, exact, scale);
      };
      const Gradients first = run();
      if ((threads == 1 && !is_gpu()) || c.sizes[0] < 100)
        continue;  // one piece: nothing that could differ
      const Gradients second = run();
      ASSERT_EQ(first.src, second.src);
      ASSERT_EQ(first.weight, second.weight) << threads << " threads";
      ASSERT_EQ(first.bias, second.bias) << threads << " threads";
    }
  };
  // Without grad_src its layout does not matter, and the kernel named may not be the first.
  Case expected = c;
  if (!wanted.src && !c.dst_strides.empty() && c.src_strides.empty()) {
    expected.kernel = "contiguous";
  }
  for_each_taker("layer_norm_backward", expected, types, &args, test);
}

TEST(LayerNormBackward, MatchesReference) {
  size_t turn = 0;
  for (const Case& c : all_cases()) {
    const std::vector<Types> every = types_of_turn(turn++);
    int64_t numel = c.n();
    for (int64_t size : c.leading()) numel *= size;
    const bool slow = is_gpu() && numel > 50'000;  // lane by lane: then with weights one type alone
    for (size_t t = 0; t < every.size(); ++t) {
      for (bool weighted : {false, true}) {
        if (slow && weighted != (t == 0)) continue;
        check_backward(c, every[t], weighted, {true, true, true});
        if (HasFailure()) return;
      }
    }
  }
}

// Of which a block has room for one and a part: so many that their places go round, in blocks of
// which some lanes have a pack more. A device has more blocks than the harness.
TEST(LayerNormBackward, LongestRowsOfAClusterByTurns) {
  if (!is_gpu()) return;
  const int64_t rows = on_device() ? 400 : 11;
  for (const Types& types : {kGpuTypes[0], kGpuTypes[3]}) {
    check_backward({"contiguous", {rows, 16400}, 1}, types, true, {true, true, true});
  }
  check_backward({"contiguous", {4, 16400}, 1}, kGpuTypes[0], true, {false, true, true});
  // A block's section has nothing behind it, where lanes have as many columns each.
  check_backward({"contiguous", {4, 17408}, 1}, kGpuTypes[0], true, {true, true, true});
}

// Of which each cluster takes some, cut alike; with and without sums over rows and columns.
TEST(LayerNormBackward, OddRowsOfAClusterByTurns) {
  if (!is_gpu()) return;
  const Case c = {"contiguous", {on_device() ? 400 : 21, 16401}, 1};
  Buffer src(kGpuTypes[3].src, c.sizes);
  src.fill_normal(7);
  check_forward(c, kGpuTypes[3], src, true, true);
  for (Wanted wanted : {Wanted{true, true, true}, {true, false, false}, {false, true, true}}) {
    check_backward(c, kGpuTypes[3], true, wanted);
  }
}

// Whose sums of columns find room where the weight was, or where the packs were, as shared memory
// has it.
TEST(LayerNormBackward, LongestRowsOfABlock) {
  if (!is_gpu()) return;
  for (int64_t n : {12288, 16384}) {
    check_backward({"contiguous", {7, n}, 1}, kGpuTypes[1], true, {true, true, true});
  }
}

// Whose rstd squared is 0, or whose mean times rstd is beyond float32: rows of equal elements.
TEST(LayerNormBackward, LargeElements) {
  if (!is_gpu()) return;
  const std::pair<double, double> rows[] = {{1e38, 0}, {-2e36, 0}, {0, 1e25}, {1e30, 1e28}};
  int turn = 0;
  for (const auto& [center, deviation] : rows) {
    for (const Case& c : {Case{"contiguous", {7, 104}, 1}, Case{"contiguous", {3, 1025}, 1}}) {
      for (Types types : types_of_turn(turn++)) {
        if (types.src == POLYOPS_FLOAT16) continue;
        check_backward(c, types, turn % 2 == 0, {true, true, true}, center, deviation);
        if (HasFailure()) return;
      }
    }
  }
}

TEST(LayerNormBackward, AnySubsetOfTheGradients) {
  for (const Case& c :
       {Case{"contiguous", {37, 65}, 1}, Case{"strided", {9, 65}, 1, {1, 9}, {}},
        Case{"strided", {40, 33}, 1, {}, {1, 40}, 1}, Case{"contiguous", {200, 700}, 1},
        Case{"strided", {200, 333}, 1, {1, 200}, {1, 201}},     // copied
        Case{"strided", {2, 72, 40}, 1, {2880, 1, 72}, {}}}) {  // by tiles
    for (int which = 1; which < 8; ++which) {
      for (Types types : types_of_turn(which)) {
        const Wanted wanted = {(which & 1) != 0, (which & 2) != 0, (which & 4) != 0};
        check_backward(c, types, which % 3 != 0, wanted);
        if (HasFailure()) return;
      }
    }
  }
}

TEST(LayerNorm, DeclinesWhatItCannotRead) {
  Buffer src(POLYOPS_FLOAT32, {4, 6}), dst(POLYOPS_FLOAT32, {4, 6});
  Buffer rows(POLYOPS_FLOAT32, {4}), gap(POLYOPS_FLOAT32, {6}, {2});
  Buffer half(POLYOPS_BFLOAT16, {6}), half_dst(POLYOPS_BFLOAT16, {4, 6});
  for (const polyops_kernel* kernel : kernels_of("layer_norm")) {
    SCOPED_TRACE(kernel->name);
    const polyops_layer_norm_args good = {
        sizeof good, 1, 1e-5, src.view(), absent(), absent(), dst.view(), rows.view(), rows.view()};
    EXPECT_EQ(kernel->supports(&good), nullptr);
    polyops_layer_norm_args bad = good;
    bad.weight = gap.view();
    EXPECT_STREQ(kernel->supports(&bad), "layout");
    bad.weight = half.view();
    EXPECT_STREQ(kernel->supports(&bad), "dtype");
    bad = good;
    bad.dst = half_dst.view();
    EXPECT_STREQ(kernel->supports(&bad), "dtype");
  }
}

}  // namespace
}  // namespace polyops::testing
