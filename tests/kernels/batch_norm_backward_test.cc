// batch_norm's backward against the reference, in both layouts.
//
// Bounds, in units of float32's epsilon times a scale, plus the result's own rounding:
//   grad_src     the channel's largest rstd |weight| (|grad| + mean |grad| + |x_hat| mean |grad
//                x_hat|)
//   grad_weight, grad_bias   the sum of |terms|
#include "batch_norm_case.h"
#include "reference/batch_norm.h"

namespace polyops::testing {
namespace {

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

// More channels than clusters find room at a time.
TEST(BatchNormBackward, ChannelAfterChannel) {
  check_backward({4, 5, 4700}, kTypes[0], true, true, 7);
  check_backward({3, 2, 28000}, kTypes[0], true, true, 7);  // too large for a cluster
  check_backward({2, 5, 6000}, kTypes[0], true, true, 7);   // by several teams
  if (!on_device()) return;
  check_backward({2, 4, 8000}, kTypes[0], true, true, 7);
  check_backward({2, 4, 750000}, kTypes[0], true, true, 7);  // by teams
}

TEST(BatchNormBackward, TileAfterTile) {
  size_t turn = 0;
  for (const Case& c : {Case{21, 12, 49}, Case{21, 40, 49}, Case{9, 40, 50}, Case{30, 28, 49}}) {
    check_backward(c, types_of_turn(turn++), true, true, 7);
  }
}

TEST(BatchNormBackward, ChannelsOfAGrid) {
  size_t turn = 0;
  std::vector<Case> cases = {{3, 92, 301, true}, {1, 120, 1300, true}, {2, 32, 2500, true}};
  if (on_device()) cases.push_back({1, 200, 20000, true});
  for (const Case& c : cases) {
    check_backward(c, types_of_turn(turn++), true, true, 7);
  }
}

// So many that a grid takes tiles of them one after the other.
TEST(BatchNormBackward, TilesOfAGridInTurn) {
  const Case c = {1, 128, on_device() ? 200000 : 3700, true};
  check_backward(c, kTypes[0], true, true, 7);
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

}  // namespace
}  // namespace polyops::testing
