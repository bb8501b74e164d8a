// adaptive_max_pool2d, adaptive_max_pool3d and their gradients: every kernel against the reference.
// Values and indices are exact; a gradient is a sum of a few, in float32, rounded.
#include <gtest/gtest.h>

#include <numeric>

#include "max_pool_case.h"
#include "pool3d.h"
#include "reference/max_pool.h"

namespace polyops::testing {
namespace {

struct Case {
  Sizes sizes, results;  // of two or three dimensions
  int64_t offset = 0;

  std::string op() const {
    return sizes.size() == 4 ? "adaptive_max_pool2d" : "adaptive_max_pool3d";
  }
  Sizes all_results() const {
    Sizes all = {sizes[0], sizes[1]};
    all.insert(all.end(), results.begin(), results.end());
    return all;
  }
  std::string describe() const {
    std::ostringstream text;
    for (int64_t n : sizes) text << n << " ";
    text << "to";
    for (int64_t n : results) text << " " << n;
    text << " offset " << offset;
    return text.str();
  }
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (int64_t channels : {3, 16}) {
    for (const Sizes& image : {Sizes{1, 1}, Sizes{7, 7}, Sizes{10, 13}, Sizes{9, 24}}) {
      const Sizes sizes = {2, channels, image[0], image[1]};
      for (const Sizes& results :
           {Sizes{1, 1}, Sizes{2, 3}, Sizes{7, 7}, Sizes{6, 1}, Sizes{11, 15}}) {
        all.push_back({sizes, results});
      }
    }
    all.push_back({{1, channels, 9, 8}, {4, 4}, 1});
    all.push_back({{1, channels, 4, 16}, {1, 1}, 1});
    for (const Sizes& results : {Sizes{1, 1, 1}, Sizes{2, 2, 2}, Sizes{3, 1, 5}, Sizes{5, 7, 3}}) {
      all.push_back({{2, channels, 4, 6, 7}, results});
      all.push_back({{1, channels, 3, 4, 20}, results, 1});
    }
  }
  all.push_back({{1, 2, 130, 10}, {120, 7}});  // several rows to a thread
  all.push_back({{1, 3, 20, 32}, {2, 2}});     // packs, of windows and runs
  all.push_back({{2, 3, 16, 64}, {3, 1}});
  all.push_back({{1, 2, 40, 96}, {1, 1}});
  all.push_back({{1, 1, 45, 77}, {1, 1}});
  all.push_back({{1, 2, 2, 40, 96}, {1, 1, 1}});
  all.push_back({{1, 2, 3, 300}, {2, 1}});  // lanes that come by twice
  all.push_back({{1, 8, 24, 30}, {1, 1}});  // many parts
  all.push_back({{1, 5, 24, 30}, {1, 2}});
  all.push_back({{2, 16, 3, 24, 10}, {3, 2, 5}});  // windows apart, of several rows to a thread
  all.push_back({{3, 401, 10, 8}, {1, 2}});        // several planes to a block
  all.push_back({{1, 3, 60, 120}, {7, 7}});        // strips of rows
  all.push_back({{1, 2, 61, 117}, {3, 8}, 1});
  all.push_back({{1, 2, 3, 3000}, {5, 2}});
  all.push_back({{1, 1, 40, 320}, {40, 9}});  // no room for the windows
  all.push_back({{1, 2, 5, 8}, {5, 2}});
  all.push_back({{1, 2, 5, 4}, {2, 4}});
  all.push_back({{1, 2, 5, 6}, {2, 4}});
  return all;
}

Sizes strides_of(const Sizes& sizes, bool last) {
  return sizes.size() == 4 ? layout_strides(sizes, last) : layout_strides_3d(sizes, last);
}

void check_forward(const Case& c, const Buffer& src, bool results_last) {
  const Sizes results = c.all_results();
  const polyops_adaptive_max_pool_args args = {sizeof args, src.view(), {}, {}};
  expect_largest(c.op(), args, reference::adaptive_max_pool,
                 {results, strides_of(results, results_last), c.offset});
}

void check_backward(const Case& c, bool last, const Buffer& grad, const Buffer& indices) {
  const polyops_adaptive_max_pool_backward_args args = {sizeof args, {}, indices.view(), {}};
  expect_gradient(c.op() + "_backward", args, reference::adaptive_max_pool_backward, grad,
                  {c.sizes, strides_of(c.sizes, last), c.offset});
}

TEST(AdaptiveMaxPool, MatchesReference) {
  for (const Case& c : cases()) {
    for (bool last : {false, true}) {
      for (int32_t dtype : kPoolDtypes) {
        SCOPED_TRACE(c.describe() + (last ? " last " : " ") + polyops_dtype_name(dtype));
        Buffer src(dtype, c.sizes, strides_of(c.sizes, last), c.offset);
        src.fill_normal(7);
        check_forward(c, src, last);
        if (last) check_forward(c, src, false);
        if (::testing::Test::HasFailure()) return;
      }
    }
  }
}

TEST(AdaptiveMaxPool, SpecialValues) {
  for (const Case& c : cases()) {
    if (std::accumulate(c.results.begin(), c.results.end(), int64_t{1}, std::multiplies<>()) > 50) {
      continue;
    }
    for (int common : {2, 8, 16}) {
      for (int32_t dtype : {POLYOPS_BFLOAT16, POLYOPS_FLOAT16}) {
        for (bool last : {false, true}) {
          SCOPED_TRACE(c.describe() + (last ? " last " : " ") + polyops_dtype_name(dtype));
          Buffer src(dtype, c.sizes, strides_of(c.sizes, last), c.offset);
          fill_special(&src, common);
          check_forward(c, src, last);
          if (::testing::Test::HasFailure()) return;
        }
      }
    }
  }
}

// Nothing above -inf, and of a few equal elements, or NaN, the right one.
TEST(AdaptiveMaxPool, FirstAndLast) {
  for (const Sizes& sizes : {Sizes{1, 8, 12, 64}, Sizes{1, 3, 11, 67}}) {
    for (const Sizes& results : {Sizes{1, 1}, Sizes{2, 3}, Sizes{1, 4}}) {
      for (const double value : {-kInf, 2.0, kNan}) {
        for (int64_t every : {1, 7, 97}) {
          for (bool last : {false, true}) {
            const Case c = {sizes, results};
            SCOPED_TRACE(c.describe() + (last ? " last " : " ") + std::to_string(value));
            Buffer src(POLYOPS_FLOAT16, sizes, strides_of(sizes, last));
            src.fill([&](int64_t i) { return i % every == 0 ? value : -kInf; });
            check_forward(c, src, last);
            if (::testing::Test::HasFailure()) return;
          }
        }
      }
    }
  }
}

TEST(AdaptiveMaxPool, GradientMatchesReference) {
  for (const Case& c : cases()) {
    for (bool last : {false, true}) {
      for (int32_t dtype : kPoolDtypes) {
        SCOPED_TRACE(c.describe() + (last ? " last " : " ") + polyops_dtype_name(dtype));
        const Sizes results = c.all_results(), strides = strides_of(results, last);
        Buffer src(POLYOPS_FLOAT32, c.sizes), dst(POLYOPS_FLOAT32, results);
        Buffer grad(dtype, results, strides, c.offset);
        Buffer indices(POLYOPS_INT64, results, strides, c.offset);
        src.fill_normal(3);
        grad.fill_normal(4);
        reference::adaptive_max_pool({0, src.view(), dst.view(), indices.view()});
        check_backward(c, last, grad, indices);
        if (::testing::Test::HasFailure()) return;
      }
    }
  }
}

// Indices that are no place, or that of an element which the window has not, give nothing.
TEST(AdaptiveMaxPool, GradientOfOtherIndices) {
  for (const int64_t channels : {3, 8}) {
    for (const bool last : {false, true}) {
      for (const Sizes& windows :
           {Sizes{4, 3}, Sizes{2, 1}, Sizes{1, 2}}) {  // several elements, or many
        const Case c = {{1, channels, 9, 8}, windows};
        Buffer grad(POLYOPS_FLOAT32, c.all_results(), strides_of(c.all_results(), last));
        Buffer indices(POLYOPS_INT64, c.all_results(), strides_of(c.all_results(), last));
        grad.fill([](int64_t i) { return i % 5 == 4 ? kNan : static_cast<double>(i % 7); });
        indices.fill([](int64_t i) {
          constexpr double kIndices[] = {-1, 0, 5, 71, 72, 4294967296.0 + 5, -4294967296.0 + 5, 20};
          return kIndices[i % 8];
        });
        check_backward(c, last, grad, indices);
        indices.fill([](int64_t) { return 36.0; });  // of all windows that have it
        check_backward(c, last, grad, indices);
      }
    }
  }
}

TEST(AdaptiveMaxPool, DeclinesWhatItCannotDo) {
  const Buffer src(POLYOPS_FLOAT32, {1, 2, 8, 8}), dst(POLYOPS_FLOAT32, {1, 2, 4, 4});
  const Buffer indices(POLYOPS_INT64, {1, 2, 4, 4});
  const polyops_adaptive_max_pool_args good = {sizeof good, src.view(), dst.view(), indices.view()};
  for (const polyops_kernel* kernel : kernels_of("adaptive_max_pool2d")) {
    EXPECT_STREQ(kernel->supports(&good), nullptr);
    polyops_adaptive_max_pool_args args = good;
    args.indices.dtype = POLYOPS_FLOAT32;
    EXPECT_STREQ(kernel->supports(&args), "dtype");
    args = good;
    args.src.dtype = args.dst.dtype = POLYOPS_FLOAT64;
    EXPECT_STREQ(kernel->supports(&args), "dtype");
    args = good;
    args.src.strides[2] = 16;
    EXPECT_STREQ(kernel->supports(&args), "layout");
    args = good;  // contiguous, the results channels last
    args.dst = Buffer(POLYOPS_FLOAT32, {1, 2, 4, 4}, {32, 1, 8, 2}).view();
    EXPECT_STREQ(kernel->supports(&args), "layout");
    args = good;
    args.src.rank = 3;
    EXPECT_STREQ(kernel->supports(&args), "rank");
    args = {sizeof args, Buffer(POLYOPS_FLOAT32, {1, 1, 1, 50000}).view(),
            Buffer(POLYOPS_FLOAT32, {1, 1, 1, 50000}).view(),
            Buffer(POLYOPS_INT64, {1, 1, 1, 50000}).view()};
    EXPECT_STREQ(kernel->supports(&args), "size");
  }
}

}  // namespace
}  // namespace polyops::testing
