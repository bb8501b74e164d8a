// attention: every kernel of every ISA against the reference in float64.
//
// Bounds, u being half a unit in the last place of the arithmetic. A score is a sum of dim
// products: wrong by at most u (4 + sqrt(dim)) of its sum of magnitudes, the mask's included (see
// gemm_test.cc); so is logsumexp, give or take its own rounding, and twice that, relatively, every
// weight. dst, a sum of kv weighted values, is wrong by u (8 + sqrt(kv)) of the head's largest
// value besides. bfloat16 results are rounded once more, and where bfloat16 is multiplied as it is,
// so is every weight.
#include "reference/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "attention_case.h"
#include "harness.h"

namespace polyops::testing {
namespace {

struct Results {
  std::vector<double> dst, logsumexp;
};

bool is_amx(const polyops_kernel& kernel) {
  return std::string(kernel.name) == "attention_amx__avx512";
}

// A call's tensors, and what must come out.
class Call {
 public:
  Call(const Case& c, int32_t dtype)
      : case_(c),
        dtype_(dtype),
        query(dtype, c.query_sizes(), strides_of(c.query, c.query_sizes()), c.offset),
        key(dtype, c.key_sizes(), strides_of(c.key, c.key_sizes()), c.offset),
        value(dtype, c.key_sizes(), strides_of(c.value, c.key_sizes()), c.offset),
        mask(c.narrow_mask ? dtype : POLYOPS_FLOAT32, {c.batch, c.heads, c.q, c.kv},
             mask_strides(c), c.offset) {
    query.fill_normal(1, c.magnitude);
    key.fill_normal(2, c.magnitude);
    value.fill_normal(3);
    mask.fill_normal(4);
    if (c.mask == Mask::kHoles) punch_holes(c, &mask);
    args = {};
    args.struct_size = sizeof args;
    args.causal = c.mask == Mask::kCausal;
    args.scale = c.scale != 0 ? c.scale : 1 / std::sqrt(static_cast<double>(c.dim));
    args.query = query.view();
    args.key = key.view();
    args.value = value.view();
    args.mask = c.mask == Mask::kNone || c.mask == Mask::kCausal ? absent() : mask.view();
  }

  // Call after the last change to an operand.
  void expect() {
    expected = reference_of(args.value);
    set_bounds();
    // The same weights over the values' magnitudes: what an error in every weight may add up to.
    Buffer magnitudes(POLYOPS_FLOAT64, case_.key_sizes());
    for (int64_t i = 0; i < value.numel(); ++i) magnitudes.set(i, std::abs(value.get(i)));
    rounded_dst_bound = reference_of(magnitudes.view()).dst;
    for (size_t i = 0; i < dst_bound.size(); ++i) {
      rounded_dst_bound[i] = dst_bound[i] + 0.505 * epsilon(dtype_) * rounded_dst_bound[i];
    }
  }

  // True if the kernel takes it.
  bool run(const polyops_kernel& kernel, int threads, Results* got) {
    Buffer dst(dtype_, case_.query_sizes(), strides_of(case_.dst, case_.query_sizes()),
               case_.offset);
    // (batch, q, heads) transposed, as torch's.
    Buffer logsumexp(wide(dtype_), {case_.batch, case_.heads, case_.q},
                     {case_.heads * case_.q, 1, case_.heads});
    args.dst = dst.without_data();
    args.logsumexp = logsumexp.without_data();
    if (const char* reason = kernel.supports(&args)) {
      EXPECT_STREQ(reason, is_amx(kernel) ? reason_of_amx() : "dtype");
      return false;
    }
    args.dst = dst.view();
    args.logsumexp = logsumexp.view();
    EXPECT_EQ(launch(kernel, &args, threads), POLYOPS_OK);
    for (const Buffer* b : {&dst, &logsumexp, &query, &key, &value, &mask}) {
      EXPECT_TRUE(b->guards_intact());
    }
    *got = {dst.values(), logsumexp.values()};
    return true;
  }

  void check(const polyops_kernel& kernel, const Results& got) const {
    const bool rounded = dtype_ == POLYOPS_BFLOAT16 && multiplies_bf16(kernel.isa);
    check_close("dst", got.dst, expected.dst, rounded ? rounded_dst_bound : dst_bound);
    check_close("logsumexp", got.logsumexp, expected.logsumexp, logsumexp_bound);
  }

  static void check_close(const char* what, const std::vector<double>& got,
                          const std::vector<double>& want, const std::vector<double>& bound) {
    for (size_t i = 0; i < want.size(); ++i) {
      if (std::isnan(want[i]) ? std::isnan(got[i]) : std::abs(got[i] - want[i]) <= bound[i]) {
        continue;
      }
      ADD_FAILURE() << what << " " << i << ": " << got[i] << " for " << want[i] << ", bound "
                    << bound[i];
      return;
    }
  }

 private:
  const char* reason_of_amx() const {
    if (dtype_ != POLYOPS_BFLOAT16) return "dtype";
    if (case_.q <= 8) return "few queries";
    return has_amx() ? nullptr : "no AMX";
  }

  Results reference_of(const polyops_tensor& values) const {
    Buffer dst(POLYOPS_FLOAT64, case_.query_sizes());
    Buffer logsumexp(POLYOPS_FLOAT64, {case_.batch, case_.heads, case_.q});
    polyops_attention_args copy = args;
    copy.value = values;
    copy.dst = dst.view();
    copy.logsumexp = logsumexp.view();
    reference::attention(copy);
    return {dst.values(), logsumexp.values()};
  }

  // Of query `row` and key `j` (counted over everything): scale * sum |q k| + |mask|.
  double magnitude(int64_t row, int64_t j) const {
    const int64_t head = row / case_.q % case_.heads, batch = row / case_.q / case_.heads;
    const int64_t shared = batch * case_.kv_heads + head * case_.kv_heads / case_.heads;
    double sum = 0;
    for (int64_t d = 0; d < case_.dim; ++d) {
      sum += std::abs(query.get(row * case_.dim + d) *
                      key.get((shared * case_.kv + j) * case_.dim + d));
    }
    const double added = args.mask.rank < 0 ? 0 : std::abs(mask.get(row * case_.kv + j));
    return std::abs(args.scale) * sum + (std::isfinite(added) ? added : 0);
  }

  void set_bounds() {
    const double u = epsilon(wide(dtype_)) / 2;
    double values = 0;
    for (double v : value.values()) values = std::max(values, std::abs(v));
    const int64_t rows = case_.batch * case_.heads * case_.q;
    for (int64_t row = 0; row < rows; ++row) {
      double largest = 0;
      for (int64_t j = 0; j < case_.kv; ++j) largest = std::max(largest, magnitude(row, j));
      const double score = u * (4 + std::sqrt(static_cast<double>(case_.dim))) * largest;
      logsumexp_bound.push_back(score + u * (8 + 2 * std::abs(expected.logsumexp[row])));
      const double sum = u * (8 + std::sqrt(static_cast<double>(case_.kv)));
      for (int64_t d = 0; d < case_.dim; ++d) {
        const double exact = std::abs(expected.dst[row * case_.dim + d]);
        dst_bound.push_back((sum + 2 * score) * values + rounding_of(dtype_, exact));
      }
    }
  }

  Case case_;
  int32_t dtype_;

 public:
  Buffer query, key, value, mask;
  polyops_attention_args args;
  Results expected;
  std::vector<double> dst_bound, rounded_dst_bound, logsumexp_bound;
};

constexpr int32_t kDtypes[] = {POLYOPS_FLOAT32, POLYOPS_BFLOAT16, POLYOPS_FLOAT16, POLYOPS_FLOAT64};

// By every kernel, which must give the same bits with any number of threads.
void check(const Case& c) {
  for (int32_t dtype : kDtypes) {
    Call call(c, dtype);
    call.expect();
    int taken = 0;
    for (const polyops_kernel* kernel : kernels_of("attention")) {
      SCOPED_TRACE(std::string(kernel->name) + " " + describe(c, dtype));
      Results one, more;
      if (!call.run(*kernel, 1, &one)) continue;
      ++taken;
      call.check(*kernel, one);
      for (int threads : {2, 3}) {
        ASSERT_TRUE(call.run(*kernel, threads, &more));
        ASSERT_EQ(more.dst, one.dst) << threads << " threads";
        ASSERT_EQ(more.logsumexp, one.logsumexp) << threads << " threads";
      }
      if (::testing::Test::HasFailure()) return;
    }
    ASSERT_GE(taken, 1);
  }
}

#define CHECK_CASE(...)       \
  do {                        \
    check(__VA_ARGS__);       \
    if (HasFailure()) return; \
  } while (false)

TEST(Attention, EverySmallShapeAroundTheTiles) {
  int turn = 0;
  constexpr Mask kMasks[] = {Mask::kNone, Mask::kCausal, Mask::kFull};
  for (int64_t q : {1, 2, 5, 6, 7, 8, 9, 12, 13, 17, 25, 33, 50}) {
    for (int64_t kv : {1, 2, 3, 8, 15, 16, 17, 33, 63, 64, 65, 130}) {
      for (int64_t dim : {1, 3, 8, 16, 17, 64, 65}) {
        CHECK_CASE({.heads = 2, .q = q, .kv = kv, .dim = dim, .mask = kMasks[turn++ % 3]});
      }
    }
  }
}

TEST(Attention, SeveralBlocksOfKeysAndBandsOfQueries) {
  for (Mask mask : {Mask::kNone, Mask::kCausal, Mask::kFull}) {
    CHECK_CASE({.q = 3, .kv = 1000, .dim = 24, .mask = mask});
    CHECK_CASE({.q = 200, .kv = 520, .dim = 16, .mask = mask});
    CHECK_CASE({.q = 520, .kv = 200, .dim = 16, .mask = mask});
    CHECK_CASE({.q = 1601, .kv = 300, .dim = 4, .mask = mask});
    CHECK_CASE({.heads = 2, .q = 270, .kv = 300, .dim = 17, .mask = mask});
    CHECK_CASE({.q = 70, .kv = 290, .dim = 130, .mask = mask});
  }
}

TEST(Attention, EveryMask) {
  for (Mask mask : {Mask::kNone, Mask::kCausal, Mask::kFull, Mask::kQueryByKey, Mask::kKeys,
                    Mask::kQueries, Mask::kSpread, Mask::kHoles}) {
    for (int64_t q : {1, 7, 50}) {
      for (int64_t kv : {1, 19, 300}) {
        for (bool narrow : {false, true}) {
          CHECK_CASE({.batch = 2,
                      .heads = 2,
                      .kv_heads = 2,
                      .q = q,
                      .kv = kv,
                      .dim = 20,
                      .mask = mask,
                      .narrow_mask = narrow,
                      .offset = 1});
        }
      }
    }
  }
}

TEST(Attention, EveryLayout) {
  constexpr Layout kLayouts[] = {Layout::kDense, Layout::kByToken, Layout::kFused, Layout::kPadded,
                                 Layout::kOneBatch};
  for (Layout one : kLayouts) {
    for (Layout other : kLayouts) {
      const Layout dst = one == Layout::kOneBatch ? Layout::kPadded : one;
      for (int64_t q : {5, 40}) {
        CHECK_CASE({.batch = 2,
                    .heads = 3,
                    .kv_heads = 3,
                    .q = q,
                    .kv = 70,
                    .dim = 32,
                    .mask = Mask::kCausal,
                    .query = one,
                    .key = other,
                    .value = one,
                    .dst = dst,
                    .offset = 1});
        CHECK_CASE({.batch = 2,
                    .heads = 3,
                    .kv_heads = 3,
                    .q = q,
                    .kv = 70,
                    .dim = 33,
                    .query = one,
                    .key = one,
                    .value = other,
                    .dst = dst,
                    .offset = 3});
      }
    }
  }
}

TEST(Attention, HeadsShareKeys) {
  for (int64_t kv_heads : {1, 2, 6}) {
    for (Mask mask : {Mask::kNone, Mask::kCausal, Mask::kFull}) {
      for (int64_t q : {1, 20}) {
        CHECK_CASE({.batch = 2,
                    .heads = 6,
                    .kv_heads = kv_heads,
                    .q = q,
                    .kv = 40,
                    .dim = 16,
                    .mask = mask,
                    .key = Layout::kByToken});
      }
    }
  }
}

// Scores of hundreds: one weight is 1, most are 0, and largest scores change from block to block.
TEST(Attention, LargeScores) {
  for (double magnitude : {1e-3, 8.0, 100.0, 1e4}) {
    for (Mask mask : {Mask::kNone, Mask::kCausal}) {
      CHECK_CASE({.q = 24, .kv = 600, .dim = 40, .mask = mask, .magnitude = magnitude});
    }
  }
  for (double scale : {-0.5, 3.0, 1e-30}) {
    CHECK_CASE({.q = 30, .kv = 300, .dim = 20, .scale = scale});
  }
}

// What is not finite spoils its own queries and no others.
TEST(Attention, NanAndInfinity) {
  for (int64_t q : {4, 30}) {
    for (double bad : {kNaN, kInf}) {
      for (int32_t dtype : kDtypes) {
        for (const polyops_kernel* kernel : kernels_of("attention")) {
          SCOPED_TRACE(kernel->name);
          const Case c = {.q = q, .kv = 300, .dim = 20, .mask = Mask::kFull};
          Call call(c, dtype);
          call.mask.set(2 * c.kv + 290, bad);  // query 2
          Results got;
          if (!call.run(*kernel, 1, &got)) continue;
          for (int64_t i = 0; i < q; ++i) {
            ASSERT_EQ(std::isnan(got.logsumexp[i]), i == 2) << i;
            for (int64_t d = 0; d < c.dim; ++d) {
              ASSERT_EQ(std::isnan(got.dst[i * c.dim + d]), i == 2) << i << " " << d;
            }
          }
        }
      }
    }
  }
}

TEST(Attention, QueriesThatSeeNothingGetZero) {
  for (int64_t q : {4, 30}) {
    for (int32_t dtype : kDtypes) {
      for (const polyops_kernel* kernel : kernels_of("attention")) {
        SCOPED_TRACE(kernel->name);
        const Case c = {.q = q, .kv = 600, .dim = 20, .mask = Mask::kFull};
        Call call(c, dtype);
        for (int64_t j = 0; j < c.kv; ++j) {
          call.mask.set(c.kv + j, -kInf);                   // query 1: nothing
          if (j < 550) call.mask.set(3 * c.kv + j, -kInf);  // query 3: the end alone
        }
        call.expect();
        Results got;
        if (!call.run(*kernel, 2, &got)) continue;
        call.check(*kernel, got);
        ASSERT_EQ(got.logsumexp[1], 0);
        for (int64_t d = 0; d < c.dim; ++d) ASSERT_EQ(got.dst[c.dim + d], 0);
      }
    }
  }
}

TEST(Attention, DeclinesWhatItCannotRead) {
  const Case c = {.q = 12, .kv = 5, .dim = 6, .mask = Mask::kFull};
  for (const polyops_kernel* kernel : kernels_of("attention")) {
    const int32_t own = is_amx(*kernel) ? POLYOPS_BFLOAT16 : POLYOPS_FLOAT32;
    const int32_t other = is_amx(*kernel) ? POLYOPS_FLOAT32 : POLYOPS_BFLOAT16;
    Call call(c, own);
    call.args.dst = call.query.without_data();
    call.args.logsumexp = Buffer(POLYOPS_FLOAT32, {1, 1, c.q}).without_data();
    if (is_amx(*kernel) && !has_amx()) {
      EXPECT_STREQ(kernel->supports(&call.args), "no AMX");
      continue;
    }
    ASSERT_EQ(kernel->supports(&call.args), nullptr);
    const auto reason = [&](auto change) {
      polyops_attention_args changed = call.args;
      change(changed);
      const char* why = kernel->supports(&changed);
      return std::string(why == nullptr ? "" : why);
    };
    EXPECT_EQ(reason([&](auto& a) { a.key.dtype = other; }), "dtype");
    EXPECT_EQ(reason([](auto& a) { a.mask.dtype = POLYOPS_INVALID_DTYPE; }), "dtype");
    EXPECT_EQ(reason([](auto& a) { a.logsumexp.dtype = POLYOPS_FLOAT64; }), "dtype");
    EXPECT_EQ(reason([](auto& a) { a.query.strides[3] = 2; }), "layout");
    EXPECT_EQ(reason([](auto& a) { a.value.strides[3] = 2; }), "layout");
    EXPECT_EQ(reason([](auto& a) { a.dst.strides[3] = 2; }), "layout");
  }
}

}  // namespace
}  // namespace polyops::testing
