// gemm_vectors: a row and a column of every length, in every dtype, on any number of threads.
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "gemm_case.h"
#include "harness.h"

namespace polyops::testing {
namespace {

std::vector<const polyops_kernel*> vector_kernels() { return gemm_kernels(/*of_vectors=*/true); }

// Rows of lhs and columns of rhs have unit stride along k.
Case vectors(int64_t k) {
  return {.m = 1, .n = 1, .k = k, .lhs = Layout::kRows, .rhs = Layout::kColumns};
}

bool has(const polyops_kernel& kernel, int32_t dtype) {
  if (dtype == POLYOPS_BFLOAT16) return multiplies_bf16(kernel.isa);
  return dtype != POLYOPS_FLOAT64 || std::string(kernel.isa) == "scalar";
}

void check(const Case& c) {
  for (int32_t dtype : kDtypes) {
    Problem problem(c, dtype);
    problem.expect();
    for (const polyops_kernel* kernel : vector_kernels()) {
      if (!has(*kernel, dtype)) continue;
      SCOPED_TRACE(std::string(kernel->name) + " " + polyops_dtype_name(dtype) + " " + describe(c));
      problem.run(*kernel, 1);
      if (::testing::Test::HasFatalFailure()) return;
      const std::vector<double> alone = problem.dst.values();
      for (int threads : {2, 3, 16}) {
        problem.run(*kernel, threads);
        if (::testing::Test::HasFatalFailure()) return;
        ASSERT_EQ(problem.dst.values(), alone) << threads << " threads";
      }
    }
  }
}

TEST(GemmVectors, ThereIsOneOfEachIsa) { EXPECT_FALSE(vector_kernels().empty()); }

TEST(GemmVectors, EveryLength) {
  for (int64_t k = 1; k <= 300; ++k) check(vectors(k));
}

TEST(GemmVectors, AroundTheBlocksOfEveryIsa) {
  for (int64_t block : {128, 512, 4096, 8192, 16384}) {
    for (int64_t blocks : {1, 2, 3, 7}) {
      for (int64_t more : {-1, 0, 1, 33}) check(vectors(block * blocks + more));
    }
  }
}

TEST(GemmVectors, ManyBlocks) { check(vectors(1'000'003)); }

// Where rounding errors of long chains add up instead of cancelling.
TEST(GemmVectors, LongSumsOfOneSign) {
  Case c = vectors(300'000);
  c.positive = true;
  check(c);
}

TEST(GemmVectors, UnalignedFromTheFirstElementOn) {
  for (int64_t offset : {1, 3, 7}) {
    Case c = vectors(1000);
    c.offset = offset;
    check(c);
  }
}

TEST(GemmVectors, AlphaBetaAndAddend) {
  for (double alpha : {1.0, -0.3}) {
    for (double beta : {1.0, 2.5}) {
      Case c = vectors(777);
      c.alpha = alpha;
      c.beta = beta;
      c.addend = {0, 0, 0};
      check(c);
      c.addend = {};
      c.in_place = true;
      check(c);
    }
  }
}

TEST(GemmVectors, NanAndInfinity) {
  for (double special : {kNaN, kInf, -kInf}) {
    for (int64_t at : {0, 63, 499, 998, 999}) {
      for (int32_t dtype : kDtypes) {
        Problem problem(vectors(1000), dtype);
        problem.lhs.set(at, special);
        problem.expect();
        for (const polyops_kernel* kernel : vector_kernels()) {
          if (!has(*kernel, dtype)) continue;
          SCOPED_TRACE(kernel->name);
          problem.run(*kernel, 2);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST(GemmVectors, LeavesTheRestToOthers) {
  for (const polyops_kernel* kernel : vector_kernels()) {
    for (auto [m, n, batch] : {std::array<int64_t, 3>{2, 1, 1}, {1, 2, 1}, {1, 1, 2}}) {
      Case c = vectors(9);
      c.m = m;
      c.n = n;
      c.batch = batch;
      const Problem problem(c, POLYOPS_FLOAT32);
      const polyops_gemm_args args = problem.unseen();
      EXPECT_STREQ(kernel->supports(&args), "more than one result") << kernel->name;
    }
    for (int32_t dtype : kDtypes) {
      const Problem problem(vectors(9), dtype);
      const polyops_gemm_args args = problem.unseen();
      EXPECT_STREQ(kernel->supports(&args), has(*kernel, dtype) ? nullptr : "dtype");
    }
    Problem strided(vectors(9), POLYOPS_FLOAT32);
    strided.args.rhs.strides[1] = 2;
    EXPECT_STREQ(kernel->supports(&strided.args), "layout") << kernel->name;
    strided.args.rhs.strides[1] = 1;
    strided.args.lhs.strides[2] = 2;
    EXPECT_STREQ(kernel->supports(&strided.args), "layout") << kernel->name;
  }
}

}  // namespace
}  // namespace polyops::testing
