// group_norm's backward against the reference.
//
// Bounds, in units of float32's epsilon times a scale, plus the result's own rounding:
//   grad_src     the group's largest rstd (|g| + mean |g| + |x_hat| mean |g x_hat|), the terms of
//                it
//   grad_weight, grad_bias   the sum over samples and pixels of |terms|
#include "group_norm_case.h"
#include "reference/group_norm.h"

namespace polyops::testing {
namespace {

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

// Groups held in shared memory: where a channel is one unit and several, of one strip and several,
// by one block and four, some of them without any; and groups that do not fit.
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

// More groups than clusters find room at a time; or teams, where there are no clusters.
TEST(GroupNormBackward, GroupAfterGroup) {
  check_backward({5, 2, 13000, 1}, kTypes[0], true, 7, 0);
  check_backward({4, 2, 11264, 1}, kTypes[0], true, 7, 0);
  if (!on_device()) return;
  check_backward({4, 64, 16384, 1}, kTypes[0], true, 7, 0);  // half of the teams begin late
  check_backward({1, 2, 300000, 1}, kTypes[0], true, 7, 0);  // for neither
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

}  // namespace
}  // namespace polyops::testing
