// What the tests of index_add, index_put and scatter_add share: places that indices name, how calls
// are checked, and the bound on a sum's error: of n terms, 4 + sqrt(n) units of float32's epsilon
// times the sum of their magnitudes, and the rounding of the result.
#ifndef POLYOPS_TESTS_KERNELS_INDEX_SUMS_H_
#define POLYOPS_TESTS_KERNELS_INDEX_SUMS_H_

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "harness.h"
#include "reference/elements.h"

namespace polyops::testing {

using Rows = std::function<int64_t(int64_t i, int64_t rows)>;

inline int64_t spread(int64_t i, int64_t rows) { return (i * 7919 + 5) % rows; }
inline int64_t one(int64_t, int64_t rows) { return rows / 2; }
inline int64_t few(int64_t i, int64_t rows) { return (i % 3) * (rows - 1) / 2; }
inline int64_t half_of_one(int64_t i, int64_t rows) {
  return i % 2 == 0 ? rows / 3 : (i * 31 + i / 64) % rows;
}
inline int64_t last(int64_t i, int64_t rows) { return rows - 1 - i % 7 % rows; }
inline int64_t ends(int64_t i, int64_t rows) { return i % 5 == 0 ? 0 : rows - 1; }

// Of each element: its exact value, the sum of the terms' magnitudes, and how many there are, as
// `reference` of calls of these arguments computes them from what scale multiplies.
struct ExactSums {
  Buffer value, magnitude, terms;

  template <class Args, class Reference>
  ExactSums(Args args, Reference reference, double scale)
      : value(POLYOPS_FLOAT64, sizes_of(args.self)),
        magnitude(POLYOPS_FLOAT64, sizes_of(args.self)),
        terms(POLYOPS_FLOAT64, sizes_of(args.self)) {
    const polyops_tensor self_view = args.self, src_view = args.src;
    Buffer self(POLYOPS_FLOAT64, sizes_of(args.self)), src(POLYOPS_FLOAT64, sizes_of(args.src));
    args.self = self.view();
    args.src = src.view();
    const auto compute = [&](const Buffer& to, const auto& of) {
      self.fill([&](int64_t i) { return of(reference::load(self_view, i), 1.0); });
      src.fill([&](int64_t i) { return of(reference::load(src_view, i), scale); });
      args.dst = to.view();
      reference(args);
    };
    compute(value, [](double x, double by) { return x * by; });
    compute(magnitude, [](double x, double by) { return std::abs(x * by); });
    compute(terms, [](double, double) { return 1.0; });
  }

 private:
  static std::vector<int64_t> sizes_of(const polyops_tensor& t) {
    return {t.sizes, t.sizes + t.rank};
  }
};

inline void expect_close(const Buffer& got, const ExactSums& exact) {
  const int32_t dtype = got.view().dtype;
  ASSERT_TRUE(got.guards_intact());
  for (int64_t i = 0; i < got.numel(); ++i) {
    const double best = in_range(dtype, exact.value.get(i)), value = got.get(i);
    if (best == value || (std::isnan(best) && std::isnan(value))) continue;
    const double units = 4 + std::sqrt(exact.terms.get(i));
    const double bound =
        units * epsilon(POLYOPS_FLOAT32) * exact.magnitude.get(i) + rounding_of(dtype, best);
    ASSERT_LE(std::abs(value - best), bound) << "element " << i << ": " << value << " for " << best;
  }
}

// What a kernel computes of index_add's arguments or scatter_add's, into a new tensor at that
// offset and in place, where elements that no index names stay as they are.
template <class Args>
void check_sums(const polyops_kernel& kernel, Args args, const Buffer& self, int64_t offset,
                const ExactSums& exact) {
  const std::vector<int64_t> sizes(args.self.sizes, args.self.sizes + args.self.rank);
  const Buffer result(args.self.dtype, sizes, {}, offset);
  args.dst = result.view();
  ASSERT_EQ(launch(kernel, &args), POLYOPS_OK) << last_error();
  expect_close(result, exact);
  if (::testing::Test::HasFatalFailure()) return;
  Buffer in_place(args.self.dtype, sizes, {}, offset);
  in_place.fill([&](int64_t i) { return self.get(i); });
  args.self = args.dst = in_place.view();
  args.in_place = 1;
  ASSERT_EQ(launch(kernel, &args), POLYOPS_OK) << last_error();
  expect_close(in_place, exact);
  if (::testing::Test::HasFatalFailure()) return;
  for (int64_t i = 0; i < in_place.numel(); ++i) {
    if (exact.terms.get(i) > 1) continue;
    const double value = in_place.get(i), before = self.get(i);
    ASSERT_TRUE(value == before || std::isnan(before))
        << "element " << i << ", which no index names";
  }
}

// Of each dtype, and of bfloat16 with indices of int32; of many terms in float32 alone.
template <class Call, class Case, class Check>
void check_dtypes(const std::vector<Case>& cases, int64_t many, Check check) {
  for (const Case& c : cases) {
    for (int32_t dtype : {POLYOPS_FLOAT32, POLYOPS_BFLOAT16, POLYOPS_FLOAT16}) {
      if (c.count > many && dtype != POLYOPS_FLOAT32) continue;
      SCOPED_TRACE(std::string(polyops_dtype_name(dtype)) + " " + std::to_string(c.count) + " of " +
                   ::testing::PrintToString(c.sizes));
      Call call(c, dtype, dtype == POLYOPS_BFLOAT16 ? POLYOPS_INT32 : POLYOPS_INT64);
      check(c, call);
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

}  // namespace polyops::testing

#endif  // POLYOPS_TESTS_KERNELS_INDEX_SUMS_H_
