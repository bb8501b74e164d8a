// group_norm and its backward against the reference.
//
// Bounds, in units of float32's epsilon times a scale, plus the result's own rounding:
//   dst          the group's largest |dst - bias| + |bias|
//   mean, rstd   |mean| and three deviations; rstd
//   grad_src     the group's largest rstd (|g| + mean |g| + |x_hat| mean |g x_hat|), the terms of it
//   grad_weight, grad_bias   the sum over samples and pixels of |terms|
#include "reference/group_norm.h"

#include <limits>
#include <sstream>
#include <string>

#include "channel_norm_case.h"

namespace polyops::testing {
namespace {

struct Case {
  int64_t samples, channels, pixels;
  int32_t groups;
  int64_t offset = 0;

  Sizes sizes() const { return {samples, channels, pixels}; }
  Sizes rows() const { return {samples, groups}; }
  int64_t n() const { return channels / groups * pixels; }
};

constexpr NormTypes kTypes[] = {{POLYOPS_FLOAT32, POLYOPS_FLOAT32, POLYOPS_FLOAT32},
                                {POLYOPS_BFLOAT16, POLYOPS_BFLOAT16, POLYOPS_BFLOAT16},
                                {POLYOPS_FLOAT16, POLYOPS_FLOAT16, POLYOPS_FLOAT16},
                                {POLYOPS_BFLOAT16, POLYOPS_FLOAT32, POLYOPS_FLOAT32}};

// Two by turns: cases repeat every layout often enough.
std::vector<NormTypes> types_of_turn(size_t turn) {
  return {kTypes[turn % std::size(kTypes)], kTypes[(turn + 1) % std::size(kTypes)]};
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (int64_t pixels : {1, 2, 7, 8, 9, 49, 64, 65, 129, 256}) {
    cases.push_back({2, 6, pixels, 3});
    cases.push_back({5, 4, pixels, 4, 1});
  }
  const std::vector<Case> others = {
      {1, 1, 1, 1},       {3, 1, 1000, 1, 3}, {2, 320, 16, 32},
      {1, 1030, 1, 2},                                             // more channels than threads
      {7, 12, 300, 1},                                             // a group is all
      {4, 4, 1025, 1},    {4, 3, 171, 1, 1},                       // a block per group
      {3, 2, 8000, 1},    {1, 2, 9000, 1},    {1, 4, 1024, 1, 1},  // held by several blocks
      {1, 6, 5001, 2, 1}, {1, 6, 5001, 2, 3}, {2, 3, 10001, 1, 5},
      {1, 2, 20001, 2},   {1, 4, 34000, 1},    // blocks of much memory
      {1, 4500, 8, 1},    {2, 4501, 9, 1, 1},  // held by none: read twice
  };
  cases.insert(cases.end(), others.begin(), others.end());
  return cases;
}

std::string describe(const Case& c, NormTypes types) {
  std::ostringstream text;
  text << polyops_dtype_name(types.src) << " with " << polyops_dtype_name(types.parameter) << ", "
       << c.samples << "x" << c.channels << "x" << c.pixels << " in " << c.groups;
  return text.str();
}

struct Forward {
  std::vector<double> dst, mean, rstd;
};

Forward exact_forward(const Case& c, polyops_group_norm_args args, Forward* scale) {
  Buffer dst(POLYOPS_FLOAT64, c.sizes()), mean(POLYOPS_FLOAT64, c.rows());
  Buffer rstd(POLYOPS_FLOAT64, c.rows()), plain(POLYOPS_FLOAT64, c.sizes());
  args.dst = dst.view();
  args.mean = mean.view();
  args.rstd = rstd.view();
  reference::group_norm(args);
  const Forward exact = {dst.values(), mean.values(), rstd.values()};
  args.dst = plain.view();
  args.bias = absent();
  reference::group_norm(args);
  std::vector<double> terms = plain.values();
  for (size_t i = 0; i < terms.size(); ++i) {
    terms[i] = std::abs(terms[i]) + std::abs(exact.dst[i] - terms[i]);
  }
  scale->dst = largest_of_slice(terms, [&](int64_t i) { return i / c.n(); });
  scale->rstd = exact.rstd;
  scale->mean.resize(exact.mean.size());
  for (size_t r = 0; r < exact.mean.size(); ++r) {
    scale->mean[r] = std::abs(exact.mean[r]) + 3 / exact.rstd[r];
  }
  return exact;
}

void check_forward(const Case& c, NormTypes types, const Buffer& src, bool weighted, bool biased) {
  SCOPED_TRACE(describe(c, types) + (weighted ? " weight" : "") + (biased ? " bias" : ""));
  Buffer weight(types.parameter, {c.channels}, {}, 1), bias(types.parameter, {c.channels});
  weight.fill_normal(23);
  bias.fill_normal(29);
  polyops_group_norm_args args = {sizeof args, c.groups, 1e-5,     src.view(), absent(),
                                  absent(),    absent(), absent(), absent()};
  if (weighted) args.weight = weight.view();
  if (biased) args.bias = bias.view();
  Forward scale;
  const Forward exact = exact_forward(c, args, &scale);
  const std::vector<double> before = src.values();
  for (const polyops_kernel* kernel : kernels_of("group_norm")) {
    SCOPED_TRACE(kernel->name);
    Buffer dst(types.src, c.sizes(), {}, c.offset < 3 ? c.offset : c.offset / 2);
    Buffer mean(types.statistics, c.rows(), {}, 1), rstd(types.statistics, c.rows());
    args.dst = dst.without_data();
    args.mean = args.rstd = rstd.without_data();
    ASSERT_EQ(kernel->supports(&args), nullptr);
    args.dst = dst.view();
    args.mean = mean.view();
    args.rstd = rstd.view();
    ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK);
    const auto first = expect_close("dst", dst, exact.dst, scale.dst, 4);
    expect_close("mean", mean, exact.mean, scale.mean, 1);
    expect_close("rstd", rstd, exact.rstd, scale.rstd, 4);
    ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK);
    ASSERT_EQ(dst.values(), first) << "not repeatable";
  }
  ASSERT_EQ(src.values(), before) << "src was written";
}

TEST(GroupNorm, MatchesReference) {
  size_t turn = 0;
  for (const Case& c : all_cases()) {
    for (NormTypes types : types_of_turn(turn++)) {
      Buffer src(types.src, c.sizes(), {}, c.offset);
      src.fill_normal(7, 3.0);
      for (int which = c.n() < 50 ? 0 : 3; which < 4; ++which) {
        check_forward(c, types, src, (which & 1) != 0, (which & 2) != 0);
        if (HasFailure()) return;
      }
    }
  }
}

TEST(GroupNorm, HardGroups) {
  size_t turn = 0;
  for (const Case& c : {Case{2, 20, 3, 10}, Case{1, 20, 65, 10}, Case{1, 10, 3000, 10, 1},
                        Case{1, 10, 17000, 10}, Case{1, 4500, 8, 1}}) {
    for (NormTypes types : types_of_turn(turn++)) {
      Buffer src(types.src, c.sizes(), {}, c.offset);
      fill_hard(&src, [&](int64_t i) { return i / c.n(); });
      check_forward(c, types, src, true, true);
      if (HasFailure()) return;
    }
  }
}

// An element far from the others, where it is the pivot or the first of a lane.
TEST(GroupNorm, OutliersCostTheOthersNothing) {
  for (const Case& c :
       {Case{3, 4, 100, 1}, Case{3, 2, 500, 1}, Case{1, 2, 9000, 1}, Case{1, 4500, 8, 1}}) {
    for (int64_t place : {0, 4, 1001}) {
      Buffer src(POLYOPS_FLOAT32, c.sizes());
      src.fill_normal(3);
      src.set(place % src.numel(), 1e4);
      check_forward(c, kTypes[0], src, true, true);
      if (HasFailure()) return;
    }
  }
}

// The moments of a group are taken around the mean of a part of it.
TEST(GroupNorm, ChannelsFarFromEachOther) {
  size_t turn = 0;
  for (const Case& c : {Case{5, 8, 500, 1}, Case{1, 8, 2000, 1}, Case{1, 4500, 8, 1}}) {
    for (int64_t far : {0, 7}) {
      const NormTypes types = kTypes[turn++ % std::size(kTypes)];
      Buffer src(types.src, c.sizes());
      src.fill_normal(5);
      for (int64_t i = 0; i < src.numel(); ++i) {
        if (i / c.pixels % 8 == far) src.set(i, src.get(i) + 1e4);
      }
      check_forward(c, types, src, true, true);
      if (HasFailure()) return;
    }
  }
}

TEST(GroupNorm, NanAndInfinitySpoilTheirGroup) {
  for (const Case& c :
       {Case{3, 2, 5, 1}, Case{3, 2, 300, 1}, Case{3, 2, 9000, 1}, Case{3, 4500, 8, 1}}) {
    for (double bad :
         {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
          -std::numeric_limits<double>::infinity()}) {
      for (int64_t place : {int64_t{0}, c.n() / 2, c.n() - 1}) {
        Buffer src(POLYOPS_FLOAT32, c.sizes()), dst(POLYOPS_FLOAT32, c.sizes());
        Buffer mean(POLYOPS_FLOAT32, c.rows()), rstd(POLYOPS_FLOAT32, c.rows());
        src.fill_normal(1);
        src.set(c.n() + place, bad);
        const polyops_group_norm_args args = {sizeof args, c.groups,    1e-5,
                                              src.view(),  absent(),    absent(),
                                              dst.view(),  mean.view(), rstd.view()};
        for (const polyops_kernel* kernel : kernels_of("group_norm")) {
          ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK);
          for (int64_t r = 0; r < 3; ++r) {
            ASSERT_EQ(std::isnan(mean.get(r)), r == 1);
            ASSERT_EQ(std::isnan(rstd.get(r)), r == 1);
            for (int64_t i = 0; i < c.n(); i += 1 + c.n() / 50) {
              ASSERT_EQ(std::isnan(dst.get(r * c.n() + i)), r == 1);
            }
          }
        }
      }
    }
  }
}

struct Gradients {
  std::vector<double> src, weight, bias;
};

Gradients exact_backward(const Case& c, polyops_group_norm_backward_args args) {
  Buffer src(POLYOPS_FLOAT64, c.sizes());
  Buffer weight(POLYOPS_FLOAT64, {c.channels}), bias(POLYOPS_FLOAT64, {c.channels});
  args.grad_src = src.view();
  args.grad_weight = weight.view();
  args.grad_bias = bias.view();
  reference::group_norm_backward(args);
  return {src.values(), weight.values(), bias.values()};
}

// The sums of absolute values of the terms of each gradient.
Gradients backward_terms(const Case& c, const Buffer& grad, const Buffer& src, const Buffer& mean,
                         const Buffer& rstd, const Buffer* weight) {
  const int64_t n = c.n(), rows = c.samples * c.groups;
  Gradients terms = {std::vector<double>(rows * n), std::vector<double>(c.channels),
                     std::vector<double>(c.channels)};
  for (int64_t r = 0; r < rows; ++r) {
    const auto channel = [&](int64_t i) { return (r * n + i) / c.pixels % c.channels; };
    const auto g = [&](int64_t i) {
      return std::abs(grad.get(r * n + i) * (weight == nullptr ? 1 : weight->get(channel(i))));
    };
    const auto x = [&](int64_t i) {
      return (std::abs(src.get(r * n + i)) + std::abs(mean.get(r))) * rstd.get(r);
    };
    double sum = 0, product = 0;
    for (int64_t i = 0; i < n; ++i) {
      sum += g(i) / n;
      product += g(i) * x(i) / n;
      terms.weight[channel(i)] += std::abs(grad.get(r * n + i)) * x(i);
      terms.bias[channel(i)] += std::abs(grad.get(r * n + i));
    }
    for (int64_t i = 0; i < n; ++i) {
      terms.src[r * n + i] = rstd.get(r) * (g(i) + sum + x(i) * product);
    }
  }
  terms.src = largest_of_slice(terms.src, [&](int64_t i) { return i / n; });
  return terms;
}

void check_backward(const Case& c, NormTypes types, bool weighted, int wanted, int64_t src_offset) {
  SCOPED_TRACE(describe(c, types) + (weighted ? " weight" : "") + ", src at " +
               std::to_string(src_offset));
  Buffer grad(types.src, c.sizes(), {}, c.offset), src(types.src, c.sizes(), {}, src_offset);
  Buffer mean(types.statistics, c.rows(), {}, 1), rstd(types.statistics, c.rows());
  Buffer weight(types.parameter, {c.channels}, {}, 1), unused(POLYOPS_FLOAT64, c.sizes());
  grad.fill_normal(41);
  src.fill_normal(43, 2.0);
  weight.fill_normal(47);
  reference::group_norm({sizeof(polyops_group_norm_args), c.groups, 1e-5, src.view(), absent(),
                         absent(), unused.view(), mean.view(), rstd.view()});
  polyops_group_norm_backward_args args = {sizeof args, c.groups,    grad.view(),   src.view(),
                                           mean.view(), rstd.view(), weight.view(), absent(),
                                           absent(),    absent()};
  if (!weighted) args.weight = absent();
  const Gradients exact = exact_backward(c, args);
  const Gradients scale = backward_terms(c, grad, src, mean, rstd, weighted ? &weight : nullptr);
  for (const polyops_kernel* kernel : kernels_of("group_norm_backward")) {
    SCOPED_TRACE(kernel->name);
    Buffer grad_src(types.src, c.sizes(), {}, c.offset);
    Buffer grad_weight(types.parameter, {c.channels}, {}, 1),
        grad_bias(types.parameter, {c.channels});
    if ((wanted & 1) != 0) args.grad_src = grad_src.view();
    if ((wanted & 2) != 0) args.grad_weight = grad_weight.view();
    if ((wanted & 4) != 0) args.grad_bias = grad_bias.view();
    ASSERT_EQ(kernel->supports(&args), nullptr);
    Gradients before;
    for (int again = 0; again < 2; ++again) {
      ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK);
      Gradients got;
      if ((wanted & 1) != 0) {
        got.src = expect_close("grad_src", grad_src, exact.src, scale.src, 4);
      }
      if ((wanted & 2) != 0) {
        got.weight = expect_close("grad_weight", grad_weight, exact.weight, scale.weight, 4);
      }
      if ((wanted & 4) != 0) {
        got.bias = expect_close("grad_bias", grad_bias, exact.bias, scale.bias, 4);
      }
      if (again != 0) {
        ASSERT_EQ(got.src, before.src);
        ASSERT_EQ(got.weight, before.weight);
        ASSERT_EQ(got.bias, before.bias);
      }
      before = got;
    }
  }
}

TEST(GroupNormBackward, MatchesReference) {
  size_t turn = 0;
  for (const Case& c : all_cases()) {
    for (NormTypes types : types_of_turn(turn++)) {
      check_backward(c, types, turn % 3 != 0, 7, 1);
      if (HasFailure()) return;
    }
  }
}

// Groups held in shared memory: where a channel is one unit and several, of one strip and several, by
// one block and four, some of them without any; and groups that do not fit.
TEST(GroupNormBackward, HeldGroups) {
  size_t turn = 0;
  for (const Case& c :
       {Case{5, 6, 8, 3}, Case{4, 3, 24, 1}, Case{7, 20, 208, 1}, Case{4, 2, 3136, 1},
        Case{1, 10, 4096, 1}, Case{1, 3, 1040, 1}, Case{1, 1, 8024, 1}, Case{1, 40, 512, 1},
        Case{2, 600, 64, 1}, Case{2, 6, 64, 3}, Case{1, 1, 8008, 1}, Case{5, 4, 49, 1},
        Case{2, 4, 24000, 1}, Case{2, 90, 1000, 1}, Case{2, 90, 999, 1}}) {
    for (NormTypes types : types_of_turn(turn++)) {
      check_backward(c, types, turn % 4 != 0, 7, 0);
      if (HasFailure()) return;
    }
  }
}

TEST(GroupNormBackward, AnySubsetOfTheGradients) {
  for (int wanted = 1; wanted < 8; ++wanted) {
    for (int64_t pixels : {65, 64}) {
      check_backward({3, 6, pixels, 2}, kTypes[wanted % std::size(kTypes)], wanted % 2 != 0, wanted,
                     0);
    }
    if (HasFailure()) return;
  }
}

TEST(GroupNorm, DeclinesWhatItCannotRead) {
  Buffer src(POLYOPS_FLOAT32, {2, 6, 5}), dst(POLYOPS_FLOAT32, {2, 6, 5});
  Buffer rows(POLYOPS_FLOAT32, {2, 3}), gap(POLYOPS_FLOAT32, {6}, {2});
  Buffer half(POLYOPS_BFLOAT16, {6}), wide(POLYOPS_FLOAT64, {2, 6, 5});
  Buffer last(POLYOPS_FLOAT32, {2, 6, 5}, {30, 1, 6});
  for (const polyops_kernel* kernel : kernels_of("group_norm")) {
    const polyops_group_norm_args good = {
        sizeof good, 3, 1e-5, src.view(), absent(), absent(), dst.view(), rows.view(), rows.view()};
    EXPECT_EQ(kernel->supports(&good), nullptr);
    polyops_group_norm_args bad = good;
    bad.weight = gap.view();
    EXPECT_STREQ(kernel->supports(&bad), "layout");
    bad.weight = half.view();
    EXPECT_STREQ(kernel->supports(&bad), "dtype");
    bad = good;
    bad.src = last.view();
    EXPECT_STREQ(kernel->supports(&bad), "layout");
    bad.src = bad.dst = wide.view();
    EXPECT_STREQ(kernel->supports(&bad), "dtype");
    bad = good;
    bad.groups = 4;
    EXPECT_STREQ(kernel->supports(&bad), "shape");
  }
}

}  // namespace
}  // namespace polyops::testing
