// rms_norm and its backward: every kernel in every way of running lanes against the reference.
//
// Bounds, in units of float32's epsilon times a scale, plus the rounding of a 16-bit result:
//   dst, rstd    the row's largest; rstd
//   grad_src     the row's largest rstd (|g| + |x_hat| mean |g x_hat|), the terms of it
//   grad_weight  the sum over rows of |terms|
#include "reference/rms_norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "harness.h"
#include "norm_case.h"

namespace polyops::testing {
namespace {

constexpr Types kTypes[] = {{POLYOPS_FLOAT32, POLYOPS_FLOAT32, POLYOPS_FLOAT32},
                            {POLYOPS_BFLOAT16, POLYOPS_BFLOAT16, POLYOPS_FLOAT32},
                            {POLYOPS_FLOAT16, POLYOPS_FLOAT16, POLYOPS_FLOAT32}};

// Cases take turns: they repeat every size and layout often enough.
Types types_of_turn(size_t turn) { return kTypes[turn % std::size(kTypes)]; }

std::vector<Case> cases() {
  std::vector<Case> all = all_cases();
  // Rows of one block that are cut differently, more of them than run at a time.
  all.push_back({"contiguous", {60, 3, 300}, 1, {901, 300, 1}, {}});
  all.push_back({"contiguous", {60, 3, 300}, 1, {}, {901, 300, 1}});
  all.push_back({"contiguous", {100, 1025}, 1});
  all.push_back({"contiguous", {2, 12000}, 1});  // float32: twice as much of a lane as before
  return all;
}

// Forward by every kernel, twice and bit-equal where blocks take several rows.
void check_forward(const Case& c, Types types, const Buffer& src, bool weighted, double eps) {
  SCOPED_TRACE(describe(c, types) + (weighted ? " weight" : ""));
  // Where rows are aligned so is it, but for one case.
  Buffer weight(types.parameter, c.row_sizes(), {}, c.n() == 384 ? 1 : c.offset);
  weight.fill_normal(23);
  Buffer exact_dst(POLYOPS_FLOAT64, c.sizes), exact_rstd(POLYOPS_FLOAT64, c.leading());
  polyops_rms_norm_args args = {
      sizeof args,      c.normalized_rank, eps, src.view(), weighted ? weight.view() : absent(),
      exact_dst.view(), exact_rstd.view()};
  reference::rms_norm(args);
  const std::vector<double> dst_values = exact_dst.values(), rstd_values = exact_rstd.values();
  std::vector<double> magnitude = dst_values;
  for (double& value : magnitude) value = std::abs(value);
  const std::vector<double> scale = row_scale(magnitude, c.n());
  const std::vector<double> before = src.values();
  args.dst = Buffer(types.src, c.sizes, c.dst_strides, c.offset).without_data();
  args.rstd = Buffer(types.statistics, c.leading()).without_data();
  for_each_taker("rms_norm", c, types, &args, [&](const polyops_kernel& kernel) {
    const auto run = [&] {
      Buffer dst(types.src, c.sizes, c.dst_strides, c.offset);
      Buffer rstd(types.statistics, c.leading(), {}, 1);
      polyops_rms_norm_args call = args;
      call.dst = dst.view();
      call.rstd = rstd.view();
      EXPECT_EQ(launch(kernel, &call), POLYOPS_OK);
      expect_close("rstd", rstd, rstd_values, rstd_values, 4);
      return expect_close("dst", dst, dst_values, scale, 4);
    };
    const std::vector<double> first = run();
    if (c.sizes[0] < 60) return;  // one row to a team: nothing that could differ
    ASSERT_EQ(run(), first);
  });
  ASSERT_EQ(src.values(), before) << "src was written";
}

TEST(RmsNorm, MatchesReference) {
  size_t turn = 0;
  for (const Case& c : cases()) {
    const Types types = types_of_turn(turn++);
    Buffer src(types.src, c.sizes, c.src_strides, c.offset);
    src.fill_normal(7, 3.0);
    for (const bool weighted : {true, false}) {
      if (!weighted && c.n() >= 100) continue;
      check_forward(c, types, src, weighted, 1e-5);
      if (HasFailure()) return;
    }
  }
}

// Far from 0, tiny and huge rows, zeros, and rows whose squares, or only their sum, are beyond
// float32.
TEST(RmsNorm, HardRows) {
  struct Row {
    double mean, deviation;
  };
  const Row rows[] = {{1e4, 1}, {0, 1e-12}, {1e-22, 0},   {1e15, 1e15}, {-1e18, 1e17},
                      {7, 0},   {0, 0},     {3e18, 1e16}, {0, 1e20},    {1e37, 1e36}};
  const int64_t m = std::size(rows);
  size_t turn = 0;
  for (int64_t n : {3, 64, 1000, 20001, 70000, 140001}) {
    const Case c = {"contiguous", {m, n}, 1};
    for (const double eps : {1e-5, 1.1920929e-07}) {
      const Types types = types_of_turn(turn++);
      if (n > 20001 && eps < 1e-6) continue;
      Buffer noise(POLYOPS_FLOAT64, c.sizes), src(types.src, c.sizes);
      noise.fill_normal(31);
      const double most = types.src == POLYOPS_FLOAT16 ? 65504 : HUGE_VAL;
      src.fill([&](int64_t i) {
        const double x = rows[i / n].mean + rows[i / n].deviation * noise.get(i);
        return std::clamp(x, -most, most);
      });
      check_forward(c, types, src, true, eps);
      if (HasFailure()) return;
    }
  }
}

// Without eps rows of zeros are 0 times infinity.
TEST(RmsNorm, WithoutEps) {
  for (const Types types : kTypes) {
    Buffer src(types.src, {2, 70});
    src.fill_normal(3);
    for (int64_t i = 0; i < 70; ++i) src.set(i, 0);
    for (const polyops_kernel* kernel : kernels_of("rms_norm")) {
      SCOPED_TRACE(kernel->name);
      Buffer dst(types.src, {2, 70}), rstd(types.statistics, {2});
      const polyops_rms_norm_args args = {sizeof args, 1,          0,          src.view(),
                                          absent(),    dst.view(), rstd.view()};
      ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK);
      ASSERT_TRUE(std::isinf(rstd.get(0)));
      ASSERT_TRUE(std::isfinite(rstd.get(1)));
      for (int64_t i = 0; i < 140; ++i) ASSERT_EQ(std::isnan(dst.get(i)), i < 70);
    }
  }
}

// Of rows side by side, as many as keep a device busy: an infinity with more elements behind it.
TEST(RmsNorm, InfinityInRowsSideBySide) {
  constexpr int64_t kRows = 2112, kBad = 10;
  for (int64_t n : {50, 300}) {
    Buffer src(POLYOPS_FLOAT32, {kRows, n}, {1, kRows});
    src.fill_normal(1);
    src.set(n + kBad, std::numeric_limits<double>::infinity());
    int ran = 0;
    for (const polyops_kernel* kernel : kernels_of("rms_norm")) {
      SCOPED_TRACE(kernel->name);
      const Buffer dst(POLYOPS_FLOAT32, {kRows, n}), rstd(POLYOPS_FLOAT32, {kRows});
      const polyops_rms_norm_args args = {sizeof args, 1,          1e-5,       src.view(),
                                          absent(),    dst.view(), rstd.view()};
      if (kernel->supports(&args) != nullptr) continue;  // of contiguous rows
      ++ran;
      ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK);
      for (int64_t i = 0; i < n; ++i) {
        ASSERT_TRUE(i == kBad ? std::isnan(dst.get(n + i)) : dst.get(n + i) == 0) << i;
      }
      ASSERT_EQ(rstd.get(1), 0);
      ASSERT_TRUE(std::isfinite(rstd.get(0)) && std::isfinite(rstd.get(2)));
      ASSERT_GT(rstd.get(2), 0);
    }
    ASSERT_GT(ran, 0);
  }
}

// NaN spoils its row; an infinity makes the others 0, itself NaN, and rstd 0.
TEST(RmsNorm, NanAndInfinity) {
  const double kInf = std::numeric_limits<double>::infinity();
  for (int64_t n : {1, 5, 64, 300}) {
    for (double bad : {std::numeric_limits<double>::quiet_NaN(), kInf, -kInf}) {
      for (const Types types : kTypes) {
        Buffer src(types.src, {3, n});
        src.fill_normal(1);
        src.set(n + n / 2, bad);
        for (const polyops_kernel* kernel : kernels_of("rms_norm")) {
          SCOPED_TRACE(kernel->name);
          Buffer dst(types.src, {3, n}), rstd(types.statistics, {3});
          const polyops_rms_norm_args args = {sizeof args, 1,          1e-5,       src.view(),
                                              absent(),    dst.view(), rstd.view()};
          ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK);
          for (int64_t i = 0; i < 3 * n; ++i) {
            const bool is_bad = i == n + n / 2, beside = i / n == 1;
            const bool expect_nan = is_bad || (beside && std::isnan(bad));
            ASSERT_EQ(std::isnan(dst.get(i)), expect_nan) << i;
            if (beside && !expect_nan) {
              ASSERT_EQ(dst.get(i), 0) << i;
            }
          }
          ASSERT_EQ(std::isnan(rstd.get(1)), std::isnan(bad));
          if (std::isinf(bad)) {
            ASSERT_EQ(rstd.get(1), 0);
          }
          ASSERT_TRUE(std::isfinite(rstd.get(0)) && std::isfinite(rstd.get(2)));
        }
      }
    }
  }
}

// Which gradients are asked for.
struct Wanted {
  bool src, weight;
};

struct Gradients {
  std::vector<double> src, weight;
};

// The sums of absolute values of the terms of each gradient.
Gradients terms_of(const Case& c, const Buffer& grad, const Buffer& src, const Buffer& rstd,
                   const Buffer* weight) {
  const int64_t n = c.n();
  Gradients terms = {std::vector<double>(grad.numel()), std::vector<double>(n)};
  for (int64_t r = 0; r < grad.numel() / n; ++r) {
    const auto g = [&](int64_t i) {
      return std::abs(grad.get(r * n + i) * (weight == nullptr ? 1 : weight->get(i)));
    };
    const auto x = [&](int64_t i) { return std::abs(src.get(r * n + i)) * rstd.get(r); };
    double product = 0;
    for (int64_t i = 0; i < n; ++i) {
      product += g(i) * x(i) / n;
      terms.weight[i] += std::abs(grad.get(r * n + i)) * x(i);
    }
    for (int64_t i = 0; i < n; ++i) terms.src[r * n + i] = rstd.get(r) * (g(i) + x(i) * product);
  }
  terms.src = row_scale(terms.src, n);
  return terms;
}

struct BackwardInputs {
  BackwardInputs(const Case& c, Types types, double deviation, int weight_offset)
      : grad(types.src, c.sizes, c.src_strides, c.offset),
        src(types.src, c.sizes, c.src_strides, c.n() % 3 == 0 ? 1 : c.offset),
        rstd(types.statistics, c.leading(), {}, 1),
        weight(types.parameter, c.row_sizes(), {}, weight_offset) {
    grad.fill_normal(41);
    src.fill_normal(43, deviation);
    weight.fill_normal(47);
    Buffer dst(POLYOPS_FLOAT64, c.sizes);
    reference::rms_norm({sizeof(polyops_rms_norm_args), c.normalized_rank, 1e-5, src.view(),
                         absent(), dst.view(), rstd.view()});
  }

  Buffer grad, src, rstd, weight;
};

// deviation: the standard one of src.
void check_backward(const Case& c, Types types, bool weighted, Wanted wanted, double deviation = 2,
                    int weight_offset = 1) {
  SCOPED_TRACE(describe(c, types) + (weighted ? " weight" : ""));
  const BackwardInputs in(c, types, deviation, weight_offset);
  Buffer exact_src(POLYOPS_FLOAT64, c.sizes), exact_weight(POLYOPS_FLOAT64, c.row_sizes());
  polyops_rms_norm_backward_args args = {sizeof args,      c.normalized_rank,  in.grad.view(),
                                         in.src.view(),    in.rstd.view(),     absent(),
                                         exact_src.view(), exact_weight.view()};
  if (weighted) args.weight = in.weight.view();
  reference::rms_norm_backward(args);
  const Gradients exact = {exact_src.values(), exact_weight.values()};
  const Gradients scale = terms_of(c, in.grad, in.src, in.rstd, weighted ? &in.weight : nullptr);
  const auto run = [&](const polyops_kernel& kernel) {
    Buffer src(types.src, c.sizes, c.dst_strides, c.offset);
    Buffer weight(types.parameter, c.row_sizes(), {}, 1);
    polyops_rms_norm_backward_args call = args;
    if (wanted.src) call.grad_src = src.view();
    if (wanted.weight) call.grad_weight = weight.view();
    EXPECT_EQ(launch(kernel, &call), POLYOPS_OK);
    Gradients got;
    if (wanted.src) got.src = expect_close("grad_src", src, exact.src, scale.src, 4);
    if (wanted.weight) {
      got.weight = expect_close("grad_weight", weight, exact.weight, scale.weight, 4);
    }
    return got;
  };
  const Buffer out(types.src, c.sizes, c.dst_strides, c.offset);
  args.grad_src = wanted.src ? out.without_data() : absent();
  args.grad_weight =
      wanted.weight ? Buffer(types.parameter, c.row_sizes()).without_data() : absent();
  // Without grad_src its layout does not matter, and the kernel named may not be the first.
  Case expected = c;
  if (!wanted.src && !c.dst_strides.empty() && c.src_strides.empty())
    expected.kernel = "contiguous";
  for_each_taker("rms_norm_backward", expected, types, &args, [&](const polyops_kernel& kernel) {
    const Gradients first = run(kernel);
    if (c.sizes[0] < 60) return;
    const Gradients second = run(kernel);
    ASSERT_EQ(first.src, second.src);
    ASSERT_EQ(first.weight, second.weight);
  });
}

TEST(RmsNormBackward, MatchesReference) {
  size_t turn = 0;
  for (const Case& c : cases()) {
    const Types types = types_of_turn(turn++);
    check_backward(c, types, turn % 4 != 0, {true, true});
    if (HasFailure()) return;
  }
}

TEST(RmsNormBackward, AnySubsetOfTheGradients) {
  size_t turn = 0;
  for (const Case& c :
       {Case{"contiguous", {37, 65}, 1}, Case{"strided", {9, 65}, 1, {1, 9}, {}},
        Case{"strided", {40, 33}, 1, {}, {1, 40}, 1}, Case{"contiguous", {200, 700}, 1},
        Case{"strided", {200, 333}, 1, {1, 200}, {1, 201}},     // copied
        Case{"strided", {2, 72, 40}, 1, {2880, 1, 72}, {}}}) {  // by tiles
    for (const Wanted wanted : {Wanted{true, false}, Wanted{false, true}}) {
      check_backward(c, types_of_turn(turn), turn % 3 != 0, wanted);
      ++turn;
      if (HasFailure()) return;
    }
  }
}

// Of which each cluster takes some, by packs; the weight at 16 bytes or not. Of the longer rows
// some threads have three packs.
TEST(RmsNormBackward, AlignedRowsOfAClusterByTurns) {
  if (!is_gpu()) return;
  const Case c = {"contiguous", {on_device() ? 400 : 13, 16648}, 1};
  for (const Types& types : {kTypes[1], kTypes[2]}) {
    for (int offset : {0, 1}) check_backward(c, types, true, {true, true}, 2, offset);
  }
  for (Wanted wanted : {Wanted{true, false}, Wanted{false, true}}) {
    check_backward(c, kTypes[1], false, wanted);
  }
  check_backward({"contiguous", {3, 70000}, 1}, kTypes[1], true, {true, true}, 2, 0);
}

// So large that the square of rstd is 0.
TEST(RmsNormBackward, LargeElements) {
  for (const Case& c : {Case{"contiguous", {7, 100}, 1}, Case{"contiguous", {3, 1025}, 1},
                        Case{"strided", {9, 65}, 1, {1, 9}, {}}}) {
    for (int turn = 0; turn < 4; ++turn) {
      const Types types = types_of_turn(turn);
      if (types.src == POLYOPS_FLOAT16) continue;
      check_backward(c, types, turn % 2 == 0, {true, true}, 1e25);
    }
  }
}

TEST(RmsNorm, DeclinesWhatItCannotRead) {
  Buffer src(POLYOPS_BFLOAT16, {4, 6}), rows(POLYOPS_FLOAT32, {4}), half(POLYOPS_BFLOAT16, {4});
  Buffer gap(POLYOPS_BFLOAT16, {6}, {2}), wide(POLYOPS_FLOAT32, {6});
  for (const polyops_kernel* kernel : kernels_of("rms_norm")) {
    SCOPED_TRACE(kernel->name);
    const polyops_rms_norm_args good = {sizeof good, 1,          1e-5,       src.view(),
                                        absent(),    src.view(), rows.view()};
    EXPECT_EQ(kernel->supports(&good), nullptr);
    polyops_rms_norm_args bad = good;
    bad.weight = gap.view();
    EXPECT_STREQ(kernel->supports(&bad), "layout");
    bad.weight = wide.view();
    EXPECT_STREQ(kernel->supports(&bad), "dtype");
    bad = good;
    bad.rstd = half.view();
    EXPECT_STREQ(kernel->supports(&bad), "dtype");
    bad = good;
    bad.dst = wide.view();
    EXPECT_STREQ(kernel->supports(&bad), "dtype");
  }
  for (const polyops_kernel* kernel : kernels_of("rms_norm_backward")) {
    const polyops_rms_norm_backward_args none = {sizeof none, 1,        src.view(), src.view(),
                                                 rows.view(), absent(), absent(),   absent()};
    EXPECT_STREQ(kernel->supports(&none), "nothing to compute");
  }
}

}  // namespace
}  // namespace polyops::testing
