// gemm, gemm_pack and gemm_prepacked of the family "onednn", within the bounds of gemm_case.h.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "gemm_case.h"
#include "harness.h"
#include "packed.h"

namespace polyops::testing {
namespace {

const polyops_kernel& kernel_of(const std::string& op) { return *kernels_of(op).front(); }

// As oneDNN itself says; that it has float32 everywhere, and bfloat16 with AVX-512, is known.
std::vector<int32_t> dtypes() {
  std::vector<int32_t> found;
  for (int32_t dtype : kDtypes) {
    const Problem problem({.m = 2, .n = 3, .k = 4}, dtype);
    if (kernel_of("gemm").supports(&problem.args) == nullptr) found.push_back(dtype);
  }
  return found;
}

polyops_gemm_pack_args pack_args(const Problem& problem) {
  return {sizeof(polyops_gemm_pack_args), 0, problem.args.rhs, nullptr};
}

polyops_gemm_prepacked_args reading(const Packed& packed, const polyops_gemm_args& gemm) {
  return {sizeof(polyops_gemm_prepacked_args), 0, &gemm, &packed.content()};
}

void check(const Case& c) {
  for (int32_t dtype : dtypes()) {
    Problem problem(c, dtype);
    problem.expect();
    for (int threads : c.threads) {
      SCOPED_TRACE(std::string(polyops_dtype_name(dtype)) + " " + describe(c) + " threads " +
                   std::to_string(threads));
      problem.run(kernel_of("gemm"), threads);
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

void check_packed(const Case& c) {
  for (int32_t dtype : dtypes()) {
    SCOPED_TRACE(std::string(polyops_dtype_name(dtype)) + " " + describe(c));
    Problem problem(c, dtype);
    problem.expect();
    const Packed packed(kernel_of("gemm_pack"), pack_args(problem), 2);
    ASSERT_EQ(packed.status(), POLYOPS_OK);
    ASSERT_TRUE(packed.said_what_it_takes());
    ASSERT_TRUE(packed.guards_intact());
    const polyops_kernel& kernel = kernel_of("gemm_prepacked");
    for (int threads : c.threads) {
      const polyops_gemm_args unseen = problem.unseen();
      const polyops_gemm_prepacked_args seen = reading(packed, unseen);
      ASSERT_EQ(kernel.supports(&seen), nullptr);
      problem.reset();
      const polyops_gemm_prepacked_args args = reading(packed, problem.args);
      ASSERT_EQ(launch(kernel, &args, threads), POLYOPS_OK) << "threads " << threads;
      problem.verify();
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

// Each shape in one of the layouts; neighbours differ.
template <class Check>
void for_each_small_shape(const Check& visit) {
  int turn = 0;
  for (int64_t m : {1, 2, 5, 8, 16, 17, 31, 49}) {
    for (int64_t n : {1, 2, 15, 16, 17, 33, 64, 65, 130}) {
      for (int64_t k : {1, 2, 7, 16, 33, 64, 95}) {
        ++turn;
        visit(Case{.m = m,
                   .n = n,
                   .k = k,
                   .lhs = kInner[turn % 2],
                   .rhs = kInner[turn / 2 % 2],
                   .threads = {1 + turn % 3}});
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

TEST(OnednnGemm, HasTheDtypesOfTheMachine) {
  const std::vector<int32_t> found = dtypes();
  EXPECT_EQ(found.front(), POLYOPS_FLOAT32);
  EXPECT_EQ(std::count(found.begin(), found.end(), POLYOPS_FLOAT64), 0);
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bw") != 0) {
    EXPECT_EQ(std::count(found.begin(), found.end(), POLYOPS_BFLOAT16), 1);
  }
#endif
}

TEST(OnednnGemm, SmallShapes) { for_each_small_shape(check); }
TEST(OnednnGemm, SmallShapesPacked) { for_each_small_shape(check_packed); }

TEST(OnednnGemm, EveryTranspositionOfEveryOperand) {
  for (Layout lhs : {Layout::kRows, Layout::kColumns, Layout::kPadded}) {
    for (Layout rhs : {Layout::kRows, Layout::kColumns, Layout::kPadded}) {
      for (Layout dst : {Layout::kRows, Layout::kColumns, Layout::kPadded}) {
        for (auto [m, n, k] : {std::array<int64_t, 3>{1, 65, 257},
                               {65, 1, 257},
                               {3, 300, 100},
                               {300, 3, 100},
                               {66, 130, 255},
                               {128, 96, 256}}) {
          check({.m = m, .n = n, .k = k, .lhs = lhs, .rhs = rhs, .dst = dst, .threads = {1, 2, 3}});
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

// So large that every thread gets a part, of rows, of columns or of both.
TEST(OnednnGemm, CutAmongThreads) {
  for (auto [m, n, k] : {std::array<int64_t, 3>{7, 1000, 384},
                         {1000, 7, 384},
                         {193, 321, 129},
                         {8, 3072, 768},
                         {257, 90, 1153}}) {
    for (Layout rhs : kInner) {
      const std::vector<int> threads = {1, 2, 3, 4, 7};
      check({.m = m, .n = n, .k = k, .rhs = rhs, .threads = threads});
      check_packed({.m = m, .n = n, .k = k, .rhs = rhs, .threads = threads});
      if (HasFatalFailure()) return;
    }
  }
}

TEST(OnednnGemm, Batches) {
  for (int64_t batch : {2, 3, 16}) {
    for (auto [m, n, k] : {std::array<int64_t, 3>{1, 20, 64}, {17, 3, 5}, {64, 80, 96}}) {
      for (Layout lhs : {Layout::kRows, Layout::kColumns, Layout::kExpanded}) {
        for (Layout rhs : {Layout::kRows, Layout::kColumns, Layout::kExpanded}) {
          check({.batch = batch,
                 .m = m,
                 .n = n,
                 .k = k,
                 .lhs = lhs,
                 .rhs = rhs,
                 .addend = {m * n, n, 1},
                 .beta = 1,
                 .threads = {1, 2, 3, 16}});
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST(OnednnGemm, EveryBroadcastOfTheAddend) {
  for (auto [m, n, k] :
       {std::array<int64_t, 3>{1, 33, 40}, {33, 1, 40}, {7, 21, 400}, {66, 130, 400}}) {
    const std::vector<std::vector<int64_t>> all = {{0, 0, 0}, {0, 0, 1},     {0, 1, 0},
                                                   {0, n, 1}, {m * n, n, 1}, {m * n, 1, m},
                                                   {0, 1, m}, {1, 0, 0},     {3 * m * n, 3 * n, 3},
                                                   {0, 0, 2}, {2 * n, 0, 2}, {n, 0, 1}};
    for (const auto& addend : all) {
      for (Layout dst : {Layout::kRows, Layout::kColumns}) {
        check({.batch = 2,
               .m = m,
               .n = n,
               .k = k,
               .rhs = Layout::kColumns,
               .dst = dst,
               .addend = addend,
               .beta = 1,
               .threads = {1, 2}});
        if (HasFatalFailure()) return;
      }
      check_packed({.m = m,
                    .n = n,
                    .k = k,
                    .rhs = Layout::kColumns,
                    .addend = {0, addend[1], addend[2]},
                    .beta = 1,
                    .threads = {1, 2}});
      if (HasFatalFailure()) return;
    }
  }
}

TEST(OnednnGemm, AddendThatIsDst) {
  for (Layout dst : {Layout::kRows, Layout::kColumns, Layout::kPadded}) {
    for (auto [m, n, k] : {std::array<int64_t, 3>{4, 70, 385}, {70, 4, 100}, {50, 66, 1100}}) {
      check({.batch = 2,
             .m = m,
             .n = n,
             .k = k,
             .rhs = kInner[k % 2],
             .dst = dst,
             .in_place = true,
             .beta = 1,
             .threads = {1, 3}});
      if (HasFatalFailure()) return;
    }
  }
  check_packed({.m = 50, .n = 66, .k = 700, .in_place = true, .beta = 1, .threads = {1, 3}});
}

TEST(OnednnGemm, UnalignedOperands) {
  for (int64_t offset : {1, 3, 7, 13}) {
    for (Layout rhs : kInner) {
      const Case c = {
          .m = 40, .n = 70, .k = 50, .rhs = rhs, .addend = {0, 0, 1}, .beta = 1, .offset = offset};
      check(c);
      check_packed(c);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(OnednnGemm, MagnitudesFarApartAndSumsOfOneSign) {
  for (auto [m, n, k] : {std::array<int64_t, 3>{2, 40, 2000}, {40, 70, 700}}) {
    for (Layout rhs : kInner) {
      check({.m = m, .n = n, .k = k, .rhs = rhs, .scale = 1e30});
      check({.m = m, .n = n, .k = k, .rhs = rhs, .scale = 1e-18});
      check({.m = m, .n = n, .k = k, .rhs = rhs, .positive = true});
      if (HasFatalFailure()) return;
    }
  }
}

TEST(OnednnGemm, NaNAndInfinityGoWhereTheyBelong) {
  for (int32_t dtype : dtypes()) {
    for (Layout rhs : kInner) {
      for (double special : {kNaN, kInf, -kInf}) {
        Problem problem({.m = 18, .n = 37, .k = 301, .rhs = rhs}, dtype);
        problem.lhs.set(1 * 301 + 300, special);  // row 1
        problem.rhs.set(2, special);              // column 2
        problem.expect();
        problem.run(kernel_of("gemm"), 2);
        const Packed packed(kernel_of("gemm_pack"), pack_args(problem));
        const polyops_gemm_prepacked_args args = reading(packed, problem.args);
        problem.reset();
        ASSERT_EQ(launch(kernel_of("gemm_prepacked"), &args, 2), POLYOPS_OK);
        problem.verify();
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(OnednnGemm, RepeatsBitForBit) {
  for (int32_t dtype : dtypes()) {
    for (int64_t m : {3, 100}) {
      for (int threads : {1, 2, 3}) {
        Problem problem({.m = m, .n = 300, .k = 900, .rhs = Layout::kColumns}, dtype);
        ASSERT_EQ(launch(kernel_of("gemm"), &problem.args, threads), POLYOPS_OK);
        const std::vector<double> first = problem.dst.values();
        problem.reset();
        ASSERT_EQ(launch(kernel_of("gemm"), &problem.args, threads), POLYOPS_OK);
        ASSERT_EQ(first, problem.dst.values());
      }
    }
  }
}

TEST(OnednnGemm, PackingDoesNotDependOnTheThreads) {
  for (int32_t dtype : dtypes()) {
    const Problem problem({.m = 1, .n = 300, .k = 65, .rhs = Layout::kColumns}, dtype);
    const polyops_kernel& packer = kernel_of("gemm_pack");
    const Packed alone(packer, pack_args(problem), 1), shared(packer, pack_args(problem), 3);
    ASSERT_EQ(alone.bytes(), shared.bytes());
  }
}

// Far more shapes than a thread keeps primitives of, each of them twice.
TEST(OnednnGemm, ForgetsWhatDoesNotFit) {
  for (int round = 0; round < 2; ++round) {
    for (int64_t n = 1; n <= 300; ++n) {
      Problem problem({.m = 2, .n = n, .k = 3}, POLYOPS_FLOAT32);
      problem.expect();
      problem.run(kernel_of("gemm"), 1);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(OnednnGemm, DeclinesWhatItDoesNotCompute) {
  const polyops_kernel& kernel = kernel_of("gemm");
  for (int32_t own : dtypes()) {
    Problem problem({.m = 4, .n = 3, .k = 4, .addend = {0, 0, 1}, .beta = 1}, own);
    polyops_gemm_args& args = problem.args;
    ASSERT_EQ(kernel.supports(&args), nullptr);
    for (polyops_tensor* t : {&args.lhs, &args.rhs, &args.addend, &args.dst}) {
      for (int32_t other : {POLYOPS_FLOAT16, POLYOPS_FLOAT64, POLYOPS_INVALID_DTYPE}) {
        t->dtype = other;
        EXPECT_STREQ(kernel.supports(&args), "dtype");
        t->dtype = own;
      }
    }
    args.alpha = 0.5;
    EXPECT_STREQ(kernel.supports(&args), "alpha");
    args.alpha = 1;
    args.beta = 0.5;
    EXPECT_STREQ(kernel.supports(&args), "beta");
    for (Layout odd : {Layout::kSpread, Layout::kBatchInnermost}) {
      const Case shape = {.batch = 2, .m = 4, .n = 3, .k = 5};
      for (Layout Case::* operand : {&Case::lhs, &Case::rhs, &Case::dst}) {
        Case c = shape;
        c.*operand = odd;
        const Problem spread(c, own);
        EXPECT_STREQ(kernel.supports(&spread.args), "layout") << describe(c);
      }
    }
    // One row for all: what does not advance is not taken for dense.
    Problem rows({.m = 4, .n = 3, .k = 5}, own);
    rows.args.lhs.strides[1] = 0;
    EXPECT_STREQ(kernel.supports(&rows.args), "layout");
  }
}

TEST(OnednnGemm, ReadsOnlyWhatItPacked) {
  const polyops_kernel& kernel = kernel_of("gemm_prepacked");
  for (int32_t dtype : dtypes()) {
    Problem problem({.m = 2, .n = 3, .k = 4}, dtype);
    const Packed packed(kernel_of("gemm_pack"), pack_args(problem));
    polyops_gemm_prepacked_args args = reading(packed, problem.args);
    EXPECT_EQ(kernel.supports(&args), nullptr);
    const std::string word = packed.content().format;
    const polyops_pack other = {packed.content().data, packed.content().bytes, word.c_str()};
    args.pack = &other;
    EXPECT_STREQ(kernel.supports(&args), "packed for another kernel");
    args.pack = &packed.content();
    const Problem two({.batch = 2, .m = 2, .n = 3, .k = 4}, dtype),
        turned({.m = 2, .n = 3, .k = 4, .dst = Layout::kColumns}, dtype);
    args.gemm = &two.args;
    EXPECT_STREQ(kernel.supports(&args), "batch");
    args.gemm = &turned.args;
    EXPECT_STREQ(kernel.supports(&args), "layout");
  }
}

TEST(OnednnGemm, PackersSayWhatTheyDoNotPack) {
  const polyops_kernel& packer = kernel_of("gemm_pack");
  for (int32_t dtype : {POLYOPS_FLOAT64, POLYOPS_FLOAT16, POLYOPS_INVALID_DTYPE}) {
    polyops_gemm_pack_args args = {sizeof args, 0, {}, nullptr};
    args.rhs.dtype = dtype;
    EXPECT_STREQ(packer.supports(&args), "dtype");
  }
  const Problem spread({.m = 1, .n = 3, .k = 4, .rhs = Layout::kSpread}, POLYOPS_FLOAT32);
  const polyops_gemm_pack_args args = pack_args(spread);
  EXPECT_STREQ(packer.supports(&args), "layout");
}

TEST(OnednnGemm, NamesNoInstructionSet) {
  EXPECT_EQ(family().isas, nullptr);
  EXPECT_STREQ(family().name, "onednn");
  EXPECT_STREQ(family().device, "cpu");
  for (size_t i = 0; i < family().kernel_count; ++i) {
    EXPECT_STREQ(family().kernels[i].isa, "") << family().kernels[i].name;
  }
}

}  // namespace
}  // namespace polyops::testing
