#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "gemm_case.h"
#include "harness.h"

namespace polyops::testing {
namespace {

std::vector<const polyops_kernel*> general_kernels() { return gemm_kernels(/*of_vectors=*/false); }

bool is_amx(const polyops_kernel& kernel) { return std::string(kernel.name) == "gemm_amx__avx512"; }

bool takes(const polyops_kernel& kernel, int32_t dtype) {
  const bool tiles = is_amx(kernel);
  if (dtype == POLYOPS_BFLOAT16) return tiles ? has_amx() : multiplies_bf16(kernel.isa);
  if (tiles) return false;
  return dtype != POLYOPS_FLOAT64 || std::string(kernel.isa) == "scalar";
}

// Tiles leave products of one row or column to the others.
bool takes(const polyops_kernel& kernel, int32_t dtype, const Case& c) {
  return takes(kernel, dtype) && !(is_amx(kernel) && (c.m == 1 || c.n == 1));
}

// Every kernel, in every dtype that it has.
void check(const Case& c) {
  for (int32_t dtype : kDtypes) {
    Problem problem(c, dtype);
    problem.expect();
    for (const polyops_kernel* kernel : general_kernels()) {
      if (!takes(*kernel, dtype, c)) continue;
      for (int threads : c.threads) {
        SCOPED_TRACE(std::string(kernel->name) + " " + polyops_dtype_name(dtype) + " " +
                     describe(c) + " threads " + std::to_string(threads));
        problem.run(*kernel, threads);
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

TEST(Gemm, EverySmallShapeAroundTheTiles) {
  int turn = 0;
  for (int64_t m : {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 17, 18, 19, 23, 25, 31}) {
    for (int64_t n : {1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 130}) {
      for (int64_t k : {1, 2, 7, 8, 17, 64}) {
        // Each shape in one of the four layouts; neighbours differ.
        ++turn;
        check({.m = m, .n = n, .k = k, .lhs = kInner[turn % 2], .rhs = kInner[turn / 2 % 2]});
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(Gemm, EveryTranspositionOfEveryOperand) {
  for (Layout lhs : kInner) {
    for (Layout rhs : kInner) {
      for (Layout dst : kInner) {
        for (auto [m, n, k] : {std::array<int64_t, 3>{1, 65, 257},
                               {65, 1, 257},
                               {3, 300, 100},
                               {300, 3, 100},
                               {13, 63, 385},
                               {66, 130, 255},
                               {128, 96, 256}}) {
          check({.m = m, .n = n, .k = k, .lhs = lhs, .rhs = rhs, .dst = dst, .threads = {1, 2, 3}});
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST(Gemm, AroundTheCacheBlocks) {
  for (int64_t k : {383, 384, 385, 767, 769, 1153}) {
    check({.m = 67, .n = 81, .k = k, .rhs = Layout::kColumns, .threads = {1, 3}});
    check({.m = 13, .n = 81, .k = k, .addend = {0, 0, 1}, .beta = 1, .threads = {2}});
    if (HasFatalFailure()) return;
  }
  for (int64_t m : {191, 192, 193, 385}) {
    check({.m = m, .n = 131, .k = 400, .lhs = kInner[m % 2], .threads = {1, 2}});
    if (HasFatalFailure()) return;
  }
}

TEST(Gemm, MoreColumnsThanOneBlockOfPanels) {
  const Case c = {.m = 193, .n = 4200, .k = 384, .addend = {0, 0, 1}, .beta = 1};
  check(c);
  // Twice as many columns take no more scratch: so there was more than one block of them.
  Case twice = c;
  twice.n *= 2;
  Problem once(c, POLYOPS_FLOAT32), wide(twice, POLYOPS_FLOAT32);
  for (const polyops_kernel* kernel : general_kernels()) {
    EXPECT_EQ(kernel->scratch_bytes(&once.args, 1), kernel->scratch_bytes(&wide.args, 1));
  }
}

TEST(Gemm, FewRowsAgainstTransposedWeights) {
  for (int64_t m : {1, 2, 3, 4, 5, 8, 15, 16, 31, 32, 33}) {
    for (int64_t k : {1023, 1024, 1025, 2061}) {
      check({.m = m,
             .n = 16 + m,
             .k = k,
             .rhs = Layout::kColumns,
             .dst = kInner[m % 2],
             .addend = {0, 0, 1},
             .alpha = 0.5,
             .beta = 2,
             .threads = {1, 2}});
      if (HasFatalFailure()) return;
    }
  }
}

// Larger than both other operands: they take the place of lhs, and results are turned.
TEST(Gemm, LargeWeightsBesideFewRows) {
  int turn = 0;
  for (int64_t m : {8, 16, 31, 32, 47, 63, 64, 80, 128}) {
    for (int64_t n : {190, 401}) {
      for (int64_t k : {190, 769, 1153}) {
        const std::vector<std::vector<int64_t>> addends = {
            {}, {0, 0, 1}, {0, n, 1}, {0, 1, m}, {0, 1, 0}, {0, 0, 0}, {0, 2 * n, 2}};
        ++turn;
        check({.m = m,
               .n = n,
               .k = k,
               .rhs = Layout::kColumns,
               .addend = addends[turn % addends.size()],
               .in_place = turn % 11 == 0,
               .alpha = turn % 2 == 0 ? 1.0 : -1.5,
               .beta = 0.5,
               .threads = {1, 2, 3}});
        if (HasFatalFailure()) return;
      }
    }
  }
}

// Every tail of tiles of 16 x 32 and of blocks of 32 x 32, with either operand the one in pairs.
TEST(Gemm, AroundTheTilesOfAMatrixUnit) {
  int turn = 0;
  for (int64_t m : {15, 16, 17, 31, 32, 33, 48, 49, 65}) {
    for (int64_t n : {15, 16, 17, 32, 33, 47, 48, 97}) {
      for (int64_t k : {31, 32, 33, 63, 64, 65, 95}) {
        ++turn;
        check({.m = m,
               .n = n,
               .k = k,
               .lhs = kInner[turn % 2],
               .rhs = kInner[turn / 2 % 2],
               .dst = kInner[turn / 4 % 2],
               .addend = turn % 3 == 0 ? std::vector<int64_t>{0, n, 1} : std::vector<int64_t>{},
               .in_place = turn % 3 == 1,
               .alpha = 0.5,
               .beta = turn % 3 == 2 ? 0.0 : 2.0,
               .threads = {1, 3}});
        if (HasFatalFailure()) return;
      }
    }
  }
}

// So large that neither operand's copy fits the cache: blocks of columns, and of rows one by one.
TEST(Gemm, OperandsBeyondTheCache) {
  for (Layout lhs : kInner) {
    for (Layout rhs : kInner) {
      check({.m = 167, .n = 167, .k = 5003, .lhs = lhs, .rhs = rhs, .threads = {1, 2}});
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Gemm, StridesWithoutAUnit) {
  for (auto [m, n, k] :
       {std::array<int64_t, 3>{1, 70, 9}, {70, 1, 9}, {5, 17, 33}, {20, 66, 100}, {66, 130, 70}}) {
    for (Layout odd : {Layout::kPadded, Layout::kSpread, Layout::kBatchInnermost}) {
      const Layout plain = Layout::kRows;
      check({.batch = 2, .m = m, .n = n, .k = k, .lhs = odd, .rhs = plain, .dst = plain});
      check({.batch = 2, .m = m, .n = n, .k = k, .lhs = plain, .rhs = odd, .dst = plain});
      check({.batch = 2, .m = m, .n = n, .k = k, .lhs = plain, .rhs = plain, .dst = odd});
      check({.batch = 2, .m = m, .n = n, .k = k, .lhs = odd, .rhs = odd, .dst = odd});
      // More than one block of k adds to what stands in a dst that no vector fits.
      check({.m = m, .n = n, .k = 400, .dst = odd, .in_place = true, .beta = 0.5, .threads = {2}});
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Gemm, Batches) {
  for (int64_t batch : {2, 3, 5, 64}) {
    for (auto [m, n, k] : {std::array<int64_t, 3>{1, 1, 1},
                           {1, 20, 64},
                           {8, 8, 8},
                           {17, 3, 5},
                           {33, 65, 31},
                           {64, 64, 32}}) {
      for (Layout lhs : {Layout::kRows, Layout::kColumns, Layout::kExpanded}) {
        for (Layout rhs : {Layout::kRows, Layout::kColumns, Layout::kExpanded}) {
          check({.batch = batch,
                 .m = m,
                 .n = n,
                 .k = k,
                 .lhs = lhs,
                 .rhs = rhs,
                 .addend = {m * n, n, 1},
                 .beta = -0.5,
                 .threads = {1, 2, 3, 16}});
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST(Gemm, EveryBroadcastOfTheAddend) {
  for (auto [m, n, k] : {std::array<int64_t, 3>{1, 33, 40},
                         {33, 1, 40},
                         {7, 21, 400},
                         {40, 66, 30},
                         {66, 130, 400}}) {
    const std::vector<std::vector<int64_t>> all = {{0, 0, 0}, {0, 0, 1},     {0, 1, 0},
                                                   {0, n, 1}, {m * n, n, 1}, {m * n, 1, m},
                                                   {0, 1, m}, {1, 0, 0},     {3 * m * n, 3 * n, 3},
                                                   {0, 0, 2}, {2 * n, 0, 2}};
    for (const auto& addend : all) {
      for (Layout dst : {Layout::kRows, Layout::kColumns, Layout::kSpread}) {
        check({.batch = 2,
               .m = m,
               .n = n,
               .k = k,
               .rhs = Layout::kColumns,
               .dst = dst,
               .addend = addend,
               .alpha = -1.5,
               .beta = 0.3,
               .threads = {1, 2}});
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(Gemm, AddendThatIsDst) {
  for (int64_t k : {5, 100, 385, 1100}) {
    for (Layout dst : {Layout::kRows, Layout::kColumns, Layout::kPadded, Layout::kBatchInnermost}) {
      for (auto [m, n] : {std::array<int64_t, 2>{4, 70}, {70, 4}, {50, 66}}) {
        check({.batch = 2,
               .m = m,
               .n = n,
               .k = k,
               .rhs = kInner[k % 2],
               .dst = dst,
               .in_place = true,
               .alpha = 2,
               .beta = 0.7,
               .threads = {1, 3}});
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(Gemm, UnalignedOperands) {
  for (int64_t offset : {1, 3, 7, 13}) {
    for (auto [m, n, k] : {std::array<int64_t, 3>{3, 70, 50}, {40, 70, 50}}) {
      for (Layout rhs : kInner) {
        check(
            {.m = m, .n = n, .k = k, .rhs = rhs, .addend = {0, n, 1}, .beta = 1, .offset = offset});
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(Gemm, MagnitudesFarApartAndSumsOfOneSign) {
  for (auto [m, n, k] : {std::array<int64_t, 3>{2, 40, 2000}, {40, 70, 700}}) {
    for (Layout rhs : kInner) {
      check({.m = m, .n = n, .k = k, .rhs = rhs, .scale = 1e30});
      check({.m = m, .n = n, .k = k, .rhs = rhs, .scale = 1e-18});
      check({.m = m, .n = n, .k = k, .rhs = rhs, .positive = true});
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Gemm, NaNAndInfinityGoWhereTheyBelong) {
  for (auto [m, n, k] : {std::array<int64_t, 3>{3, 40, 300}, {40, 70, 500}, {17, 3, 20}}) {
    for (Layout rhs : kInner) {
      for (double special : {kNaN, kInf, -kInf}) {
        for (int32_t dtype : kDtypes) {
          Problem problem({.m = m, .n = n, .k = k, .rhs = rhs}, dtype);
          problem.lhs.set(1 * k + k - 1, special);  // row 1
          problem.rhs.set(2, special);              // column 2
          problem.expect();
          for (const polyops_kernel* kernel : general_kernels()) {
            if (!takes(*kernel, dtype)) continue;
            SCOPED_TRACE(kernel->name);
            problem.run(*kernel, 2);
            if (HasFatalFailure()) return;
          }
        }
      }
    }
  }
}

// The one that the kernel is for.
int32_t dtype_of(const polyops_kernel& kernel) {
  return takes(kernel, POLYOPS_FLOAT32) ? POLYOPS_FLOAT32 : POLYOPS_BFLOAT16;
}

TEST(Gemm, OverflowsToInfinity) {
  for (const polyops_kernel* kernel : general_kernels()) {
    if (!takes(*kernel, dtype_of(*kernel))) continue;
    Problem problem({.m = 9, .n = 20, .k = 40}, dtype_of(*kernel));
    problem.lhs.fill([](int64_t) { return 1e30; });
    problem.rhs.fill([](int64_t) { return -1e30; });
    ASSERT_EQ(launch(*kernel, &problem.args), POLYOPS_OK);
    for (double x : problem.dst.values()) ASSERT_EQ(x, -kInf) << kernel->name;
  }
}

TEST(Gemm, RepeatsBitForBit) {
  for (const polyops_kernel* kernel : general_kernels()) {
    const int32_t dtype = dtype_of(*kernel);
    if (!takes(*kernel, dtype)) continue;
    for (Layout rhs : kInner) {
      for (int64_t m : {3, 100}) {
        for (int threads : {1, 2, 3}) {
          Problem problem({.m = m, .n = 300, .k = 900, .rhs = rhs}, dtype);
          ASSERT_EQ(launch(*kernel, &problem.args, threads), POLYOPS_OK);
          const std::vector<double> first = problem.dst.values();
          problem.reset();
          ASSERT_EQ(launch(*kernel, &problem.args, threads), POLYOPS_OK);
          ASSERT_EQ(first, problem.dst.values()) << kernel->name;
        }
      }
    }
  }
}

// gemm_packed takes another path where a thread has few rows; on a matrix unit there is one alone.
TEST(Gemm, TilesGiveTheSameForAnyNumberOfThreads) {
  for (const polyops_kernel* kernel : general_kernels()) {
    if (!is_amx(*kernel) || !has_amx()) continue;
    for (Layout lhs : kInner) {
      for (Layout rhs : kInner) {
        Problem problem({.m = 100, .n = 300, .k = 900, .lhs = lhs, .rhs = rhs}, POLYOPS_BFLOAT16);
        ASSERT_EQ(launch(*kernel, &problem.args, 1), POLYOPS_OK);
        const std::vector<double> alone = problem.dst.values();
        for (int threads : {2, 3, 5}) {
          problem.reset();
          ASSERT_EQ(launch(*kernel, &problem.args, threads), POLYOPS_OK);
          ASSERT_EQ(alone, problem.dst.values()) << kernel->name << " " << threads;
        }
      }
    }
  }
}

TEST(Gemm, DeclinesWhatItDoesNotCompute) {
  for (const polyops_kernel* kernel : general_kernels()) {
    const bool tiles = is_amx(*kernel);
    for (int32_t dtype : kDtypes) {
      Problem problem({.m = 2, .n = 3, .k = 4}, dtype);
      const char* reason = tiles && dtype == POLYOPS_BFLOAT16 ? "no AMX" : "dtype";
      EXPECT_STREQ(kernel->supports(&problem.args), takes(*kernel, dtype) ? nullptr : reason)
          << kernel->name << " " << polyops_dtype_name(dtype);
    }

    const int32_t own = dtype_of(*kernel);
    if (!takes(*kernel, own)) continue;
    Problem whole({.m = 2, .n = 3, .k = 4, .addend = {0, 0, 1}, .beta = 1}, own);
    for (polyops_tensor* t :
         {&whole.args.lhs, &whole.args.rhs, &whole.args.addend, &whole.args.dst}) {
      for (int32_t other : {POLYOPS_FLOAT16, POLYOPS_FLOAT64, POLYOPS_INVALID_DTYPE}) {
        t->dtype = other;
        EXPECT_STREQ(kernel->supports(&whole.args), "dtype") << kernel->name;
        t->dtype = own;
      }
    }
    EXPECT_EQ(kernel->supports(&whole.args), nullptr) << kernel->name;
    if (tiles) {
      Problem row({.m = 1, .n = 3, .k = 4}, own), column({.m = 3, .n = 1, .k = 4}, own);
      EXPECT_STREQ(kernel->supports(&row.args), "one row");
      EXPECT_STREQ(kernel->supports(&column.args), "one row");
    }
    whole.args.alpha = 1e-60;
    EXPECT_STREQ(kernel->supports(&whole.args), "alpha") << kernel->name;
    whole.args.alpha = 1;
    whole.args.beta = 1e-60;
    EXPECT_STREQ(kernel->supports(&whole.args), "beta") << kernel->name;
  }
}

TEST(Gemm, EveryIsaIsThere) {
  std::vector<std::string> names;
  for (const polyops_kernel* kernel : general_kernels()) names.push_back(kernel->name);
  const polyops_backend& f = family();
  for (const char* const* isa = f.isas; *isa != nullptr; ++isa) {
    if (f.runs_isa(*isa) == 0) continue;
    EXPECT_NE(std::find(names.begin(), names.end(), std::string("gemm_packed__") + *isa),
              names.end())
        << *isa;
  }
}

}  // namespace
}  // namespace polyops::testing
