// gemm_pack and gemm_prepacked: every packer with every kernel that reads what it wrote.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "gemm_case.h"
#include "harness.h"
#include "packed.h"

namespace polyops::testing {
namespace {

polyops_gemm_pack_args pack_args(const Problem& problem) {
  return {sizeof(polyops_gemm_pack_args), 0, problem.args.rhs, nullptr};
}

polyops_gemm_prepacked_args reading(const Packed& packed, const polyops_gemm_args& gemm) {
  return {sizeof(polyops_gemm_prepacked_args), 0, &gemm, &packed.content()};
}

bool is_amx(const polyops_kernel& kernel) {
  return std::string(kernel.name).find("_tiles__") != std::string::npos;
}

bool packs(const polyops_kernel& packer, int32_t dtype) {
  if (dtype == POLYOPS_BFLOAT16) return is_amx(packer) ? has_amx() : multiplies_bf16(packer.isa);
  if (is_amx(packer)) return false;
  const bool scalar = std::string(packer.isa) == "scalar";
  return dtype == POLYOPS_FLOAT32 || dtype == POLYOPS_FLOAT16 ||
         (dtype == POLYOPS_FLOAT64 && scalar);
}

// Calls run(packer, kernel, dtype) for every pair that works together.
template <class Run>
void for_each_pair(const Run& run) {
  int pairs = 0;
  for (const polyops_kernel* packer : kernels_of("gemm_pack")) {
    for (int32_t dtype : kDtypes) {
      if (!packs(*packer, dtype)) continue;
      for (const polyops_kernel* kernel : kernels_of("gemm_prepacked")) {
        if (is_amx(*kernel) != is_amx(*packer) || std::strcmp(kernel->isa, packer->isa) != 0) {
          continue;
        }
        ++pairs;
        SCOPED_TRACE(std::string(kernel->name) + " " + polyops_dtype_name(dtype));
        run(*packer, *kernel, dtype);
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
  }
  ASSERT_GE(pairs, 2);  // float32 and float64 of the scalar kernels
}

void check(const Case& c) {
  for_each_pair([&](const polyops_kernel& packer, const polyops_kernel& kernel, int32_t dtype) {
    SCOPED_TRACE(describe(c));
    Problem problem(c, dtype);
    problem.expect();
    for (int threads : c.threads) {
      const Packed packed(packer, pack_args(problem), threads);
      ASSERT_EQ(packed.status(), POLYOPS_OK);
      ASSERT_TRUE(packed.said_what_it_takes());
      ASSERT_TRUE(packed.guards_intact());
      const polyops_gemm_args unseen = problem.unseen();
      const polyops_gemm_prepacked_args seen = reading(packed, unseen);
      ASSERT_EQ(kernel.supports(&seen), nullptr);
      problem.reset();
      const polyops_gemm_prepacked_args args = reading(packed, problem.args);
      ASSERT_EQ(launch(kernel, &args, threads), POLYOPS_OK);
      problem.verify();
      if (::testing::Test::HasFatalFailure()) return;
    }
  });
}

TEST(GemmPrepacked, EverySmallShapeAroundTheTiles) {
  int turn = 0;
  for (int64_t m : {2, 3, 5, 6, 7, 12, 13, 16, 17, 31, 32, 33, 49}) {
    for (int64_t n : {1, 7, 15, 16, 17, 31, 33, 63, 64, 65, 129, 200}) {
      for (int64_t k : {1, 2, 7, 31, 32, 33, 65}) {
        ++turn;
        check({.m = m,
               .n = n,
               .k = k,
               .lhs = kInner[turn % 2],
               .rhs = kInner[turn / 2 % 2],
               .threads = {1 + turn % 3}});
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(GemmPrepacked, AroundTheCacheBlocks) {
  for (int64_t k : {767, 768, 769, 1537}) {
    for (int64_t m : {4, 13, 67}) {
      check({.m = m, .n = 150, .k = k, .rhs = Layout::kColumns, .threads = {1, 2, 3}});
      if (HasFatalFailure()) return;
    }
  }
  for (int64_t m : {191, 193, 385}) {
    check({.m = m, .n = 131, .k = 900, .lhs = kInner[m % 2], .threads = {1, 2}});
    if (HasFatalFailure()) return;
  }
  // A panel of it alone is more than the matrix unit's share of the cache.
  check({.m = 40, .n = 70, .k = 13001, .rhs = Layout::kColumns, .threads = {2}});
}

TEST(GemmPrepacked, EveryLayoutOfTheWeight) {
  for (Layout rhs : {Layout::kRows, Layout::kColumns, Layout::kPadded, Layout::kSpread}) {
    for (int64_t offset : {0, 3}) {
      check({.m = 9, .n = 83, .k = 101, .rhs = rhs, .threads = {1, 2}, .offset = offset});
      if (HasFatalFailure()) return;
    }
  }
}

TEST(GemmPrepacked, EveryOtherOperand) {
  const int64_t m = 21, n = 70, k = 800;
  for (Layout dst : {Layout::kRows, Layout::kColumns, Layout::kPadded, Layout::kSpread}) {
    for (Layout lhs : {Layout::kRows, Layout::kColumns, Layout::kPadded, Layout::kSpread}) {
      check({.m = m, .n = n, .k = k, .lhs = lhs, .dst = dst, .threads = {2}});
      check({.m = m, .n = n, .k = k, .lhs = lhs, .dst = dst, .in_place = true, .beta = 0.7});
      for (const std::vector<int64_t>& addend :
           {std::vector<int64_t>{0, 0, 1}, {0, 1, 0}, {0, n, 1}, {0, 1, m}, {0, 0, 0}}) {
        check({.m = m,
               .n = n,
               .k = k,
               .lhs = lhs,
               .dst = dst,
               .addend = addend,
               .alpha = -1.5,
               .beta = 0.3,
               .threads = {3}});
        if (HasFatalFailure()) return;
      }
    }
  }
}

// Whatever it reads beyond the weight, in room that it has filled up, changes nothing.
TEST(GemmPrepacked, NaNAndInfinityGoWhereTheyBelong) {
  for_each_pair([&](const polyops_kernel& packer, const polyops_kernel& kernel, int32_t dtype) {
    for (double special : {kNaN, kInf, -kInf}) {
      Problem problem({.m = 18, .n = 37, .k = 301, .rhs = Layout::kColumns}, dtype);
      problem.lhs.set(1 * 301 + 300, special);  // row 1
      problem.rhs.set(2, special);              // column 2
      problem.expect();
      const Packed packed(packer, pack_args(problem));
      const polyops_gemm_prepacked_args args = reading(packed, problem.args);
      ASSERT_EQ(launch(kernel, &args, 2), POLYOPS_OK);
      problem.verify();
    }
  });
}

TEST(GemmPrepacked, PackingDoesNotDependOnTheThreads) {
  for_each_pair([&](const polyops_kernel& packer, const polyops_kernel&, int32_t dtype) {
    const Problem problem({.m = 1, .n = 300, .k = 65, .rhs = Layout::kColumns}, dtype);
    const Packed alone(packer, pack_args(problem), 1), shared(packer, pack_args(problem), 3);
    ASSERT_EQ(alone.bytes(), shared.bytes());
  });
}

TEST(GemmPrepacked, RepeatsBitForBit) {
  for_each_pair([&](const polyops_kernel& packer, const polyops_kernel& kernel, int32_t dtype) {
    for (int64_t m : {3, 100}) {
      for (int threads : {1, 2, 3}) {
        Problem problem({.m = m, .n = 300, .k = 900, .rhs = Layout::kColumns}, dtype);
        const Packed packed(packer, pack_args(problem));
        const polyops_gemm_prepacked_args args = reading(packed, problem.args);
        ASSERT_EQ(launch(kernel, &args, threads), POLYOPS_OK);
        const std::vector<double> first = problem.dst.values();
        problem.reset();
        ASSERT_EQ(launch(kernel, &args, threads), POLYOPS_OK);
        ASSERT_EQ(first, problem.dst.values());
      }
    }
  });
}

TEST(GemmPrepacked, DeclinesWhatItDoesNotCompute) {
  for_each_pair([&](const polyops_kernel& packer, const polyops_kernel& kernel, int32_t dtype) {
    const Case c = {.m = 2, .n = 3, .k = 4, .addend = {0, 0, 1}, .beta = 1};
    Problem problem(c, dtype);
    const Packed packed(packer, pack_args(problem));
    polyops_gemm_prepacked_args args = reading(packed, problem.args);
    EXPECT_EQ(kernel.supports(&args), nullptr);
    // The same word from elsewhere: only the family's own means what it has written.
    const std::string word = packed.content().format;
    const polyops_pack other = {packed.content().data, packed.content().bytes, word.c_str()};
    args.pack = &other;
    EXPECT_STREQ(kernel.supports(&args), "packed for another kernel");
    args.pack = &packed.content();
    problem.args.alpha = 1e-60;
    EXPECT_STREQ(kernel.supports(&args), "alpha");
    problem.args.alpha = 1;
    problem.args.lhs.dtype = POLYOPS_INVALID_DTYPE;
    EXPECT_STREQ(kernel.supports(&args), "dtype");

    const Problem row({.m = 1, .n = 3, .k = 4}, dtype),
        two({.batch = 2, .m = 2, .n = 3, .k = 4}, dtype);
    args.gemm = &row.args;
    EXPECT_STREQ(kernel.supports(&args), "one row");
    args.gemm = &two.args;
    EXPECT_STREQ(kernel.supports(&args), "batch");
  });
}

TEST(GemmPrepacked, PackersSayWhatTheyDoNotPack) {
  for (const polyops_kernel* packer : kernels_of("gemm_pack")) {
    for (int32_t dtype : {POLYOPS_FLOAT32, POLYOPS_BFLOAT16, POLYOPS_FLOAT64, POLYOPS_FLOAT16,
                          POLYOPS_INVALID_DTYPE}) {
      polyops_gemm_pack_args args = {};
      args.struct_size = sizeof args;
      args.rhs.dtype = dtype;
      const bool unfit = is_amx(*packer) && dtype == POLYOPS_BFLOAT16;
      EXPECT_STREQ(packer->supports(&args), packs(*packer, dtype) ? nullptr
                                            : unfit               ? "no AMX"
                                                                  : "dtype")
          << packer->name << " " << polyops_dtype_name(dtype);
    }
  }
}

}  // namespace
}  // namespace polyops::testing
