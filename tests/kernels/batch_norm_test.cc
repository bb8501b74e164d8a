// batch_norm and its backward against the reference, in both layouts.
//
// Bounds, in units of float32's epsilon times a scale, plus the result's own rounding:
//   dst          the channel's largest |dst - bias| + |bias|, in evaluation (|src| + |mean|) rstd |weight|
//   mean, rstd   |mean| and three deviations; rstd. The running ones: their terms
//   grad_src     the channel's largest rstd |weight| (|grad| + mean |grad| + |x_hat| mean |grad x_hat|)
//   grad_weight, grad_bias   the sum of |terms|
#include "reference/batch_norm.h"

#include <limits>
#include <sstream>
#include <string>

#include "channel_norm_case.h"

namespace polyops::testing {
namespace {

struct Case {
  int64_t samples, channels, pixels;
  bool last = false;
  int64_t offset = 0;

  Sizes sizes() const { return {samples, channels, pixels}; }
  Sizes strides() const {
    if (last) return {channels * pixels, 1, channels};
    return {};
  }
  int64_t channel(int64_t i) const { return i / pixels % channels; }
};

constexpr NormTypes kTypes[] = {{POLYOPS_FLOAT32, POLYOPS_FLOAT32, POLYOPS_FLOAT32},
                                {POLYOPS_BFLOAT16, POLYOPS_BFLOAT16, POLYOPS_FLOAT32},
                                {POLYOPS_FLOAT16, POLYOPS_FLOAT32, POLYOPS_FLOAT32}};

const NormTypes& types_of_turn(size_t turn) { return kTypes[turn % std::size(kTypes)]; }

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (bool last : {false, true}) {
    for (int64_t pixels : {2, 7, 49, 64, 300}) {
      cases.push_back({2, 6, pixels, last});
      if (pixels < 300) cases.push_back({5, 16, pixels, last, 1});
    }
    const std::vector<Case> others = {
        {2, 8, 9, last},    {40, 1, 33, last},     {3, 24, 130, last}, {2, 264, 5, last},
        {1, 3, 9001, last}, {2, 2, 8200, last, 3}, {17, 2, 520, last}, {2, 1030, 2, last, 1},
    };
    cases.insert(cases.end(), others.begin(), others.end());
  }
  // Held in a cluster's shared memory: several channels to a tile, on planes and next to each other, by a
  // block and by more; one channel.
  const std::vector<Case> held = {
      {41, 8, 49},       {5, 16, 7},        {41, 4, 49},  {3, 32, 701, true},
      {3, 32, 70, true}, {9, 16, 90, true}, {70, 4, 104}, {1, 2, 6000},
  };
  cases.insert(cases.end(), held.begin(), held.end());
  cases.push_back({50, 40, 1});
  cases.push_back({1, 1, 2});
  return cases;
}

std::string describe(const Case& c, NormTypes types) {
  std::ostringstream text;
  text << polyops_dtype_name(types.src) << " with " << polyops_dtype_name(types.parameter) << ", "
       << c.samples << "x" << c.channels << "x" << c.pixels << (c.last ? " channels last" : "");
  return text.str();
}

// Parameters and running moments.
struct Parameters {
  explicit Parameters(const Case& c, int32_t dtype)
      : weight(dtype, {c.channels}, {}, 1),
        bias(dtype, {c.channels}),
        mean(dtype, {c.channels}),
        var(dtype, {c.channels}, {}, 1) {
    weight.fill_normal(23);
    bias.fill_normal(29);
    mean.fill_normal(31);
    var.fill_normal(37);
    for (int64_t i = 0; i < c.channels; ++i) var.set(i, 0.1 + std::abs(var.get(i)));
  }
  Buffer weight, bias, mean, var;
};

struct Forward {
  std::vector<double> dst, mean, rstd, running_mean, running_var;
};

Forward exact_forward(const Case& c, polyops_batch_norm_args args, const Parameters& parameters,
                      Forward* scale) {
  Buffer dst(POLYOPS_FLOAT64, c.sizes()), mean(POLYOPS_FLOAT64, {c.channels});
  Buffer rstd(POLYOPS_FLOAT64, {c.channels}), running_mean(POLYOPS_FLOAT64, {c.channels});
  Buffer running_var(POLYOPS_FLOAT64, {c.channels});
  running_mean.fill([&](int64_t i) { return parameters.mean.get(i); });
  running_var.fill([&](int64_t i) { return parameters.var.get(i); });
  args.dst = dst.view();
  args.mean = mean.view();
  args.rstd = rstd.view();
  args.running_mean = running_mean.view();
  args.running_var = running_var.view();
  reference::batch_norm(args);
  const Forward exact = {dst.values(), mean.values(), rstd.values(), running_mean.values(),
                         running_var.values()};
  const auto bias = [&](int64_t ch) {
    return polyops_is_present(&args.bias) ? parameters.bias.get(ch) : 0.0;
  };
  std::vector<double> terms = exact.dst;
  for (size_t i = 0; i < terms.size(); ++i) {
    const double b = bias(c.channel(static_cast<int64_t>(i)));
    terms[i] = std::abs(terms[i] - b) + std::abs(b);
  }
  scale->dst = largest_of_slice(terms, [&](int64_t i) { return c.channel(i); });
  scale->rstd = exact.rstd;
  for (int64_t ch = 0; ch < c.channels; ++ch) {
    const double deviation = 1 / exact.rstd[ch];
    scale->mean.push_back(std::abs(exact.mean[ch]) + 3 * deviation);
    scale->running_mean.push_back(scale->mean[ch] + std::abs(parameters.mean.get(ch)));
    scale->running_var.push_back(4 * deviation * deviation + parameters.var.get(ch));
  }
  return exact;
}

void check_forward(const Case& c, NormTypes types, const Buffer& src, bool training, bool affine) {
  SCOPED_TRACE(describe(c, types) + (training ? " training" : " evaluation"));
  Parameters parameters(c, types.parameter);
  polyops_batch_norm_args args = {sizeof args, training ? 1 : 0, 0.25,     1e-5,
                                  src.view(),  absent(),         absent(), absent(),
                                  absent(),    absent(),         absent(), absent()};
  if (affine) {
    args.weight = parameters.weight.view();
    args.bias = parameters.bias.view();
  }
  Forward scale;
  const Forward exact = exact_forward(c, args, parameters, &scale);
  for (const polyops_kernel* kernel : kernels_of("batch_norm")) {
    SCOPED_TRACE(kernel->name);
    std::vector<double> first;
    for (bool running : {true, false}) {
      if (!training && !running) continue;
      Parameters own(c, types.parameter);
      Buffer dst(types.src, c.sizes(), c.strides(), c.offset);
      Buffer mean(types.statistics, {c.channels}, {}, 1), rstd(types.statistics, {c.channels});
      args.running_mean = running ? own.mean.view() : absent();
      args.running_var = running ? own.var.view() : absent();
      args.dst = dst.without_data();
      args.mean = args.rstd = rstd.without_data();
      ASSERT_EQ(kernel->supports(&args), nullptr);
      args.dst = dst.view();
      args.mean = mean.view();
      args.rstd = rstd.view();
      ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK);
      const auto now = expect_close("dst", dst, exact.dst, scale.dst, 4);
      expect_close("mean", mean, exact.mean, scale.mean, 1);
      expect_close("rstd", rstd, exact.rstd, scale.rstd, 4);
      if (first.empty()) first = now;
      ASSERT_EQ(now, first) << "not repeatable";
      if (!running) continue;
      expect_close("running_mean", own.mean, exact.running_mean, scale.running_mean, 2);
      expect_close("running_var", own.var, exact.running_var, scale.running_var, 8);
    }
  }
}

TEST(BatchNorm, MatchesReference) {
  size_t turn = 0;
  for (const Case& c : all_cases()) {
    const NormTypes& types = types_of_turn(turn++);
    Buffer src(types.src, c.sizes(), c.strides(), c.offset);
    src.fill_normal(7, 3.0);
    check_forward(c, types, src, true, turn % 4 != 0);
    check_forward(c, types, src, false, turn % 5 != 0);
    if (HasFailure()) return;
  }
}

TEST(BatchNorm, HardChannels) {
  size_t turn = 0;
  for (const Case& c :
       {Case{3, 10, 33}, Case{3, 16, 33, true}, Case{2, 10, 1500}, Case{2, 10, 1500, true},
        Case{40, 16, 70, true}, Case{40, 24, 70, true}, Case{3, 20, 700, true}, Case{5, 10, 400},
        Case{4, 20, 49}, Case{3, 10, 400}}) {
    const NormTypes& types = types_of_turn(turn++);
    Buffer src(types.src, c.sizes(), c.strides());
    fill_hard(&src, [&](int64_t i) { return c.channel(i); });
    check_forward(c, types, src, true, true);
    if (HasFailure()) return;
  }
}

TEST(BatchNorm, OutliersCostTheOthersNothing) {
  for (const Case& c :
       {Case{3, 2, 500}, Case{3, 8, 500, true}, Case{3, 12, 500, true}, Case{3, 2, 501}}) {
    for (int64_t place : {0, 4, 101}) {
      Buffer src(POLYOPS_FLOAT32, c.sizes(), c.strides());
      src.fill_normal(3);
      src.set(place, 1e4);
      check_forward(c, kTypes[0], src, true, true);
      if (HasFailure()) return;
    }
  }
}

TEST(BatchNorm, NanAndInfinitySpoilTheirChannel) {
  for (const Case& c : {Case{3, 2, 5}, Case{3, 8, 50, true}, Case{3, 12, 50, true}, Case{3, 8, 50},
                        Case{2, 2, 9000}}) {
    for (double bad :
         {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
      Buffer src(POLYOPS_FLOAT32, c.sizes(), c.strides()),
          dst(POLYOPS_FLOAT32, c.sizes(), c.strides());
      Buffer mean(POLYOPS_FLOAT32, {c.channels}), rstd(POLYOPS_FLOAT32, {c.channels});
      src.fill_normal(1);
      src.set(c.pixels + c.pixels / 2, bad);  // of channel 1
      const polyops_batch_norm_args args = {sizeof args, 1,          0.1,         1e-5,
                                            src.view(),  absent(),   absent(),    absent(),
                                            absent(),    dst.view(), mean.view(), rstd.view()};
      for (const polyops_kernel* kernel : kernels_of("batch_norm")) {
        ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK);
        for (int64_t ch = 0; ch < c.channels; ++ch) {
          ASSERT_EQ(std::isnan(rstd.get(ch)), ch == 1);
        }
        for (int64_t i = 0; i < dst.numel(); i += 1 + dst.numel() / 90) {
          ASSERT_EQ(std::isnan(dst.get(i)), c.channel(i) == 1);
        }
      }
    }
  }
}

struct Gradients {
  std::vector<double> src, weight, bias;
};

Gradients exact_backward(const Case& c, polyops_batch_norm_backward_args args) {
  Buffer src(POLYOPS_FLOAT64, c.sizes());
  Buffer weight(POLYOPS_FLOAT64, {c.channels}), bias(POLYOPS_FLOAT64, {c.channels});
  args.grad_src = src.view();
  args.grad_weight = weight.view();
  args.grad_bias = bias.view();
  reference::batch_norm_backward(args);
  return {src.values(), weight.values(), bias.values()};
}

void check_backward(const Case& c, NormTypes types, bool training, bool weighted, int wanted,
                    bool from_variance = false) {
  SCOPED_TRACE(describe(c, types) + (training ? " training" : " evaluation"));
  Buffer grad(types.src, c.sizes(), c.strides(), c.offset), src(types.src, c.sizes(), c.strides());
  Parameters parameters(c, types.parameter);
  Buffer mean(types.statistics, {c.channels}), rstd(types.statistics, {c.channels});
  grad.fill_normal(41);
  src.fill_normal(43, 2.0);
  Buffer unused(POLYOPS_FLOAT64, c.sizes());
  reference::batch_norm({sizeof(polyops_batch_norm_args), 1, 0, 1e-5, src.view(), absent(),
                         absent(), absent(), absent(), unused.view(), mean.view(), rstd.view()});
  polyops_batch_norm_backward_args args = {sizeof args, training ? 1 : 0, 1e-5,        grad.view(),
                                           src.view(),  mean.view(),      rstd.view(), absent(),
                                           absent(),    absent(),         absent(),    absent()};
  if (weighted) args.weight = parameters.weight.view();
  if (from_variance) {
    args.mean = parameters.mean.view();
    args.var = parameters.var.view();
    args.rstd = absent();
  }
  const Gradients exact = exact_backward(c, args);
  // The sums of the magnitudes of the terms.
  std::vector<double> sum(c.channels), product(c.channels);
  const auto deviation = [&](int64_t ch) {
    return from_variance ? 1 / std::sqrt(parameters.var.get(ch) + 1e-5) : rstd.get(ch);
  };
  const auto x_hat = [&](int64_t i) {
    const int64_t ch = c.channel(i);
    const double m = from_variance ? parameters.mean.get(ch) : mean.get(ch);
    return (std::abs(src.get(i)) + std::abs(m)) * deviation(ch);
  };
  for (int64_t i = 0; i < grad.numel(); ++i) {
    sum[c.channel(i)] += std::abs(grad.get(i));
    product[c.channel(i)] += std::abs(grad.get(i)) * x_hat(i);
  }
  std::vector<double> terms(grad.numel());
  const double n = static_cast<double>(c.samples * c.pixels);
  for (int64_t i = 0; i < grad.numel(); ++i) {
    const int64_t ch = c.channel(i);
    const double weight = weighted ? std::abs(parameters.weight.get(ch)) : 1;
    terms[i] =
        deviation(ch) * weight * (std::abs(grad.get(i)) + (sum[ch] + x_hat(i) * product[ch]) / n);
  }
  terms = largest_of_slice(terms, [&](int64_t i) { return c.channel(i); });
  for (const polyops_kernel* kernel : kernels_of("batch_norm_backward")) {
    SCOPED_TRACE(kernel->name);
    Buffer grad_src(types.src, c.sizes(), c.strides(), c.offset);
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
      if ((wanted & 1) != 0) got.src = expect_close("grad_src", grad_src, exact.src, terms, 4);
      if ((wanted & 2) != 0) {
        got.weight = expect_close("grad_weight", grad_weight, exact.weight, product, 4);
      }
      if ((wanted & 4) != 0) got.bias = expect_close("grad_bias", grad_bias, exact.bias, sum, 4);
      if (again != 0) {
        ASSERT_EQ(got.src, before.src);
        ASSERT_EQ(got.weight, before.weight);
        ASSERT_EQ(got.bias, before.bias);
      }
      before = got;
    }
  }
}

TEST(BatchNormBackward, MatchesReference) {
  size_t turn = 0;
  for (const Case& c : all_cases()) {
    const NormTypes& types = types_of_turn(turn++);
    check_backward(c, types, true, turn % 4 != 0, 7);
    check_backward(c, types, false, turn % 4 != 0, 7, turn % 2 != 0);
    if (HasFailure()) return;
  }
}

TEST(BatchNormBackward, AnySubsetOfTheGradients) {
  for (int wanted = 1; wanted < 8; ++wanted) {
    for (bool last : {false, true}) {
      const NormTypes& types = types_of_turn(wanted);
      check_backward({3, 8, 65, last}, types, true, wanted % 2 != 0, wanted);
      check_backward({3, 8, 65, last}, types, false, wanted % 2 != 0, wanted);
      if (HasFailure()) return;
    }
  }
}

TEST(BatchNorm, DeclinesWhatItCannotRead) {
  Buffer src(POLYOPS_FLOAT32, {2, 6, 5}), dst(POLYOPS_FLOAT32, {2, 6, 5});
  Buffer values(POLYOPS_FLOAT32, {6}), gap(POLYOPS_FLOAT32, {6}, {2});
  Buffer half(POLYOPS_BFLOAT16, {6}), last(POLYOPS_FLOAT32, {2, 6, 5}, {30, 1, 6});
  for (const polyops_kernel* kernel : kernels_of("batch_norm")) {
    const polyops_batch_norm_args good = {sizeof good, 1,          0.1,           1e-5,
                                          src.view(),  absent(),   absent(),      absent(),
                                          absent(),    dst.view(), values.view(), values.view()};
    EXPECT_EQ(kernel->supports(&good), nullptr);
    polyops_batch_norm_args bad = good;
    bad.weight = gap.view();
    EXPECT_STREQ(kernel->supports(&bad), "layout");
    bad.weight = half.view();
    EXPECT_STREQ(kernel->supports(&bad), "dtype");
    bad = good;
    bad.dst = last.view();
    EXPECT_STREQ(kernel->supports(&bad), "layout");
  }
}

}  // namespace
}  // namespace polyops::testing
