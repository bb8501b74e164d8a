// group_norm against the reference.
//
// Bounds, in units of float32's epsilon times a scale, plus the result's own rounding:
//   dst          the group's largest |dst - bias| + |bias|
//   mean, rstd   |mean| and three deviations; rstd
#include "reference/group_norm.h"

#include <limits>

#include "group_norm_case.h"

namespace polyops::testing {
namespace {

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

// More groups than clusters find room at a time, or teams, of which one has a turn less than the
// others; one that is too large for a cluster; somewhat more than a cluster has room for, and than
// a team has. On a device such as half of the teams begin late for.
TEST(GroupNorm, GroupAfterGroup) {
  std::vector<Case> cases = {
      {3, 2, 13000, 1}, {5, 2, 13000, 1}, {1, 2, 84000, 1}, {2, 2, 22000, 1}};
  if (on_device()) cases.push_back({4, 2, 1500000, 1});
  for (const Case& c : cases) {
    Buffer src(POLYOPS_FLOAT32, c.sizes());
    fill_hard(&src, [&](int64_t i) { return i / c.n(); });
    check_forward(c, kTypes[0], src, true, true);
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
