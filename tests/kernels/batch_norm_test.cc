// batch_norm against the reference, in both layouts.
//
// Bounds, in units of float32's epsilon times a scale, plus the result's own rounding:
//   dst          the channel's largest |dst - bias| + |bias|, in evaluation (|src| + |mean|) rstd
//                |weight|
//   mean, rstd   |mean| and three deviations; rstd. The running ones: their terms
#include "reference/batch_norm.h"

#include <limits>

#include "batch_norm_case.h"

namespace polyops::testing {
namespace {

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
        Case{4, 20, 49}, Case{3, 10, 400}, Case{21, 12, 49}, Case{21, 40, 49}, Case{60, 28, 49}}) {
    const NormTypes& types = types_of_turn(turn++);
    Buffer src(types.src, c.sizes(), c.strides());
    fill_hard(&src, [&](int64_t i) { return c.channel(i); });
    check_forward(c, types, src, true, true);
    if (HasFailure()) return;
  }
}

// More channels than clusters find room at a time, and such as are too large for a cluster's. On a
// device such as half of the teams begin late for.
TEST(BatchNorm, ChannelAfterChannel) {
  std::vector<Case> cases = {{4, 5, 4700}, {3, 2, 56000}};
  if (on_device()) cases.push_back({2, 4, 1500000});
  for (const Case& c : cases) {
    Buffer src(POLYOPS_FLOAT32, c.sizes());
    fill_hard(&src, [&](int64_t i) { return c.channel(i); });
    check_forward(c, kTypes[0], src, true, true);
  }
}

// By a grid that is at work at once, which has room for all of them or not; rows and channels that
// are no whole tiles.
TEST(BatchNorm, ChannelsOfAGrid) {
  size_t turn = 0;
  std::vector<Case> cases = {
      {3, 92, 301, true}, {1, 120, 1300, true}, {2, 32, 5000, true}, {5, 24, 700, true}};
  if (on_device()) cases.push_back({1, 200, 40000, true});
  for (const Case& c : cases) {
    const NormTypes& types = types_of_turn(turn++);
    Buffer src(types.src, c.sizes(), c.strides());
    fill_hard(&src, [&](int64_t i) { return c.channel(i); });
    check_forward(c, types, src, true, true);
    if (HasFailure()) return;
  }
}

// So many that a grid takes tiles of them one after the other.
TEST(BatchNorm, TilesOfAGridInTurn) {
  const Case c = {1, 128, on_device() ? 200000 : 3700, true};
  Buffer src(POLYOPS_FLOAT32, c.sizes(), c.strides());
  fill_hard(&src, [&](int64_t i) { return c.channel(i); });
  check_forward(c, kTypes[0], src, true, true);
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

// The variance is infinite, and results are the bias, as stock's.
TEST(BatchNorm, SquaresBeyondFloat32) {
  for (const Case& c : {Case{3, 2, 5}, Case{3, 8, 50, true}, Case{3, 12, 50, true}, Case{3, 8, 50},
                        Case{1, 16, 5000, true}, Case{2, 2, 9000}}) {
    Buffer src(POLYOPS_FLOAT32, c.sizes(), c.strides()),
        dst(POLYOPS_FLOAT32, c.sizes(), c.strides());
    Buffer mean(POLYOPS_FLOAT32, {c.channels}), rstd(POLYOPS_FLOAT32, {c.channels});
    src.fill_normal(1, 1e25);
    const polyops_batch_norm_args args = {sizeof args, 1,          0.1,         1e-5,
                                          src.view(),  absent(),   absent(),    absent(),
                                          absent(),    dst.view(), mean.view(), rstd.view()};
    for (const polyops_kernel* kernel : kernels_of("batch_norm")) {
      ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK);
      for (int64_t ch = 0; ch < c.channels; ++ch) ASSERT_EQ(rstd.get(ch), 0);
      for (int64_t i = 0; i < dst.numel(); i += 1 + dst.numel() / 90) ASSERT_EQ(dst.get(i), 0);
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
