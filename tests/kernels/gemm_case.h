// Cases of gemm: sizes, layouts, and what must come out.
#ifndef POLYOPS_TESTS_KERNELS_GEMM_CASE_H_
#define POLYOPS_TESTS_KERNELS_GEMM_CASE_H_

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "harness.h"
#include "polyops/ops/gemm.h"
#include "reference/gemm.h"

namespace polyops::testing {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

// How an operand of sizes (batch, rows, columns) lies in memory.
enum class Layout { kRows, kColumns, kBatchInnermost, kPadded, kSpread, kExpanded };

inline std::vector<int64_t> strides_of(Layout layout, int64_t batch, int64_t rows,
                                       int64_t columns) {
  switch (layout) {
    case Layout::kRows:
      return {rows * columns, columns, 1};
    case Layout::kColumns:
      return {rows * columns, 1, rows};
    case Layout::kBatchInnermost:
      return {1, columns * batch, batch};
    case Layout::kPadded:
      return {rows * (columns + 3) + 5, columns + 3, 1};
    case Layout::kSpread:
      return {rows * columns * 6 + 1, columns * 6, 2};
    case Layout::kExpanded:
      return {0, columns, 1};
  }
  return {};
}

struct Case {
  int64_t batch = 1, m = 1, n = 1, k = 1;
  Layout lhs = Layout::kRows, rhs = Layout::kRows, dst = Layout::kRows;
  // Strides of the addend, empty for none; `in_place` makes it dst itself.
  std::vector<int64_t> addend = {};
  bool in_place = false;
  double alpha = 1, beta = 0;
  std::vector<int> threads = {1};
  int64_t offset = 0;  // of every operand, in elements
  double scale = 1;    // of lhs; rhs gets its inverse
  bool positive = false;
};

inline std::string describe(const Case& c) {
  std::ostringstream text;
  text << c.batch << "x" << c.m << "x" << c.n << "x" << c.k << " layouts "
       << static_cast<int>(c.lhs) << static_cast<int>(c.rhs) << static_cast<int>(c.dst) << " alpha "
       << c.alpha << " beta " << c.beta << " addend";
  for (int64_t s : c.addend) text << " " << s;
  text << (c.in_place ? " in place" : "");
  return text.str();
}

// Those of two vectors (gemm_vectors_test.cc), or all the others (gemm_test.cc).
inline std::vector<const polyops_kernel*> gemm_kernels(bool of_vectors) {
  std::vector<const polyops_kernel*> kernels;
  for (const polyops_kernel* kernel : kernels_of("gemm")) {
    const bool is = std::string(kernel->name).rfind("gemm_vectors", 0) == 0;
    if (is == of_vectors) kernels.push_back(kernel);
  }
  return kernels;
}

// The tensors of one case and what must come out.
class Problem {
 public:
  Problem(const Case& c, int32_t dtype)
      : dtype_(dtype),
        k_(c.k),
        lhs(dtype, {c.batch, c.m, c.k}, strides_of(c.lhs, c.batch, c.m, c.k), c.offset),
        rhs(dtype, {c.batch, c.k, c.n}, strides_of(c.rhs, c.batch, c.k, c.n), c.offset),
        dst(dtype, {c.batch, c.m, c.n}, strides_of(c.dst, c.batch, c.m, c.n), c.offset) {
    lhs.fill_normal(1, c.scale);
    rhs.fill_normal(2, 1 / c.scale);
    if (c.positive) {
      for (Buffer* b : {&lhs, &rhs}) {
        for (int64_t i = 0; i < b->numel(); ++i) b->set(i, std::fabs(b->get(i)));
      }
    }
    args = {};
    args.struct_size = sizeof args;
    args.alpha = c.alpha;
    args.beta = c.beta;
    args.lhs = lhs.view();
    args.rhs = rhs.view();
    args.addend = absent();
    args.dst = dst.view();
    if (c.in_place) {
      initial_ = std::make_unique<Buffer>(dtype, std::vector<int64_t>{c.batch, c.m, c.n});
      initial_->fill_normal(3);
      args.addend = args.dst;
    } else if (!c.addend.empty()) {
      addend_ = std::make_unique<Buffer>(dtype, std::vector<int64_t>{c.batch, c.m, c.n}, c.addend,
                                         c.offset);
      addend_->fill_normal(3);
      args.addend = addend_->view();
    }
  }

  // Call after the last change to an operand.
  void expect() {
    reset();
    Buffer exact(POLYOPS_FLOAT64, {args.dst.sizes[0], args.dst.sizes[1], args.dst.sizes[2]});
    polyops_gemm_args copy = args;
    copy.dst = exact.view();
    reference::gemm(copy);
    expected_ = exact.values();
    scale_ = reference::gemm_scale(copy);
  }

  void reset() {
    dst.fill([&](int64_t i) { return initial_ ? initial_->get(i) : kNaN; });
  }

  // What supports() sees: outputs have no data yet.
  polyops_gemm_args unseen() const {
    polyops_gemm_args args_without = args;
    args_without.dst = dst.without_data();
    if (args.addend.data == args.dst.data) args_without.addend = args_without.dst;
    if (args.addend.rank < 0) args_without.addend = absent();
    return args_without;
  }

  void run(const polyops_kernel& kernel, int threads) {
    const polyops_gemm_args args_without = unseen();
    ASSERT_EQ(kernel.supports(&args_without), nullptr);
    reset();
    ASSERT_EQ(launch(kernel, &args, threads), POLYOPS_OK);
    verify();
  }

  // Rounding errors of a sum of k products wander like a random walk: u (4 + sqrt(k)) of the sum of
  // magnitudes, u half a unit in the last place. (The worst case that could be proved is u (k +
  // 4).) Of 16 bits the sums are float32, rounded once.
  void verify() {
    const bool half = is_half(dtype_);
    const double u = epsilon(half ? POLYOPS_FLOAT32 : dtype_) / 2;
    const double sum = u * (4 + std::sqrt(static_cast<double>(k_)));
    for (int64_t i = 0; i < dst.numel(); ++i) {
      const double got = dst.get(i), want = in_range(dtype_, expected_[i]);
      if (std::isnan(want) ? std::isnan(got) : got == want) continue;
      ASSERT_TRUE(std::isfinite(got) && std::isfinite(want))
          << i << ": " << got << ", not " << want;
      const double allowed = sum * scale_[i] + rounding_of(dtype_, want);
      ASSERT_LE(std::fabs(got - want), allowed) << i << ": " << got << ", not " << want;
    }
    EXPECT_TRUE(dst.guards_intact());
    EXPECT_TRUE(lhs.guards_intact());
    EXPECT_TRUE(rhs.guards_intact());
  }

 private:
  int32_t dtype_;
  int64_t k_;
  std::unique_ptr<Buffer> addend_, initial_;
  std::vector<double> expected_, scale_;

 public:
  Buffer lhs, rhs, dst;
  polyops_gemm_args args;
};

constexpr int32_t kDtypes[] = {POLYOPS_FLOAT32, POLYOPS_BFLOAT16, POLYOPS_FLOAT16, POLYOPS_FLOAT64};

constexpr Layout kInner[] = {Layout::kRows, Layout::kColumns};

}  // namespace polyops::testing

#endif  // POLYOPS_TESTS_KERNELS_GEMM_CASE_H_
