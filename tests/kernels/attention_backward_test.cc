// attention_backward: every kernel of every ISA against the reference in float64.
//
// Bounds, u being half a unit in the last place of the arithmetic. A score is wrong by at most
// u (4 + sqrt(dim)) of its sum of magnitudes (see attention_test.cc), logsumexp, which the call is
// given, by its rounding: a weight p is wrong, relatively, by both and by u 8. The products of
// grad_dst with a value and with dst are sums of dim terms; dst, given, too, is rounded. What comes
// of that is added up, with the magnitudes of the factors, over keys or queries; the sums
// themselves add u (8 + sqrt(n)) of their magnitudes. bfloat16 results are rounded once more.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "attention_case.h"
#include "harness.h"
#include "reference/attention.h"

namespace polyops::testing {
namespace {

using Doubles = std::vector<double>;

struct Gradients {
  Doubles query, key, value;
};

class Call {
 public:
  Call(const Case& c, int32_t dtype)
      : case_(c),
        dtype_(dtype),
        query(dtype, c.query_sizes(), strides_of(c.query, c.query_sizes()), c.offset),
        key(dtype, c.key_sizes(), strides_of(c.key, c.key_sizes()), c.offset),
        value(dtype, c.key_sizes(), strides_of(c.value, c.key_sizes()), c.offset),
        mask(c.narrow_mask ? dtype : POLYOPS_FLOAT32, {c.batch, c.heads, c.q, c.kv},
             mask_strides(c), c.offset),
        grad_dst(dtype, c.query_sizes(), strides_of(c.dst, c.query_sizes()), c.offset),
        dst(dtype, c.query_sizes(), strides_of(c.dst, c.query_sizes()), c.offset),
        // (batch, q, heads) transposed, as torch's.
        logsumexp(wide(dtype), {c.batch, c.heads, c.q}, {c.heads * c.q, 1, c.heads}) {
    query.fill_normal(1, c.magnitude);
    key.fill_normal(2, c.magnitude);
    value.fill_normal(3);
    mask.fill_normal(4);
    grad_dst.fill_normal(5);
    if (c.mask == Mask::kHoles) punch_holes(c, &mask);
    args = {};
    args.struct_size = sizeof args;
    args.causal = c.mask == Mask::kCausal;
    args.scale = c.scale != 0 ? c.scale : 1 / std::sqrt(static_cast<double>(c.dim));
    args.query = query.view();
    args.key = key.view();
    args.value = value.view();
    args.mask = c.mask == Mask::kNone || c.mask == Mask::kCausal ? absent() : mask.view();
    args.grad_dst = grad_dst.view();
    run_forward();
    args.dst = dst.view();
    args.logsumexp = logsumexp.view();
    set_expected();
    set_bounds();
  }

  // True if the kernel takes it.
  bool run(const polyops_kernel& kernel, int threads, Gradients* got) {
    // Gradients lie by token, as torch makes them, unless the case has rows with gaps.
    const Layout layout = case_.dst == Layout::kPadded ? Layout::kPadded : Layout::kByToken;
    const auto buffer = [&](const Sizes& sizes) {
      return Buffer(dtype_, sizes, strides_of(layout, sizes), case_.offset);
    };
    Buffer grad_query = buffer(case_.query_sizes()), grad_key = buffer(case_.key_sizes());
    Buffer grad_value = buffer(case_.key_sizes());
    args.grad_query = grad_query.without_data();
    args.grad_key = grad_key.without_data();
    args.grad_value = grad_value.without_data();
    if (const char* reason = kernel.supports(&args)) {
      EXPECT_STREQ(reason, "dtype");
      return false;
    }
    args.grad_query = grad_query.view();
    args.grad_key = grad_key.view();
    args.grad_value = grad_value.view();
    EXPECT_EQ(launch(kernel, &args, threads), POLYOPS_OK);
    for (const Buffer* b : {&query, &key, &value, &mask, &grad_dst, &dst, &logsumexp, &grad_query,
                            &grad_key, &grad_value}) {
      EXPECT_TRUE(b->guards_intact());
    }
    *got = {grad_query.values(), grad_key.values(), grad_value.values()};
    return true;
  }

  void check(const Gradients& got) const {
    check_close("grad_query", got.query, expected.query, bounds.query);
    check_close("grad_key", got.key, expected.key, bounds.key);
    check_close("grad_value", got.value, expected.value, bounds.value);
  }

 private:
  void run_forward() {
    Buffer exact_dst(POLYOPS_FLOAT64, case_.query_sizes());
    Buffer exact_logsumexp(POLYOPS_FLOAT64, {case_.batch, case_.heads, case_.q});
    polyops_attention_args forward = {};
    forward.causal = args.causal;
    forward.scale = args.scale;
    forward.query = args.query;
    forward.key = args.key;
    forward.value = args.value;
    forward.mask = args.mask;
    forward.dst = exact_dst.view();
    forward.logsumexp = exact_logsumexp.view();
    reference::attention(forward);
    for (int64_t i = 0; i < dst.numel(); ++i) dst.set(i, exact_dst.get(i));
    for (int64_t i = 0; i < logsumexp.numel(); ++i) logsumexp.set(i, exact_logsumexp.get(i));
  }

  void set_expected() {
    Buffer grad_query(POLYOPS_FLOAT64, case_.query_sizes());
    Buffer grad_key(POLYOPS_FLOAT64, case_.key_sizes());
    Buffer grad_value(POLYOPS_FLOAT64, case_.key_sizes());
    polyops_attention_backward_args exact = args;
    exact.grad_query = grad_query.view();
    exact.grad_key = grad_key.view();
    exact.grad_value = grad_value.view();
    reference::attention_backward(exact);
    expected = {grad_query.values(), grad_key.values(), grad_value.values()};
  }

  // The sum of a row's products with another's, and of their magnitudes.
  struct Dot {
    double sum = 0, size = 0;
    Dot(const Doubles& a, int64_t i, const Doubles& b, int64_t j, int64_t dim) {
      for (int64_t d = 0; d < dim; ++d) {
        const double product = a[i * dim + d] * b[j * dim + d];
        sum += product;
        size += std::abs(product);
      }
    }
  };

  void set_bounds() {
    const int64_t dim = case_.dim;
    const Doubles q = query.values(), k = key.values(), v = value.values(), m = mask.values();
    const Doubles grad = grad_dst.values(), out = dst.values(), lse = logsumexp.values();
    const double u = epsilon(wide(dtype_)) / 2, sum_of_dim = u * (4 + std::sqrt(double(dim)));
    const double rounding = is_half(dtype_) ? 0.505 * epsilon(dtype_) : u;
    const double over_keys = u * (8 + std::sqrt(double(case_.kv)));
    const double over_queries = u * (8 + std::sqrt(double(case_.q * case_.heads)));
    bounds = {Doubles(q.size()), Doubles(k.size()), Doubles(k.size())};
    const int64_t queries = case_.batch * case_.heads * case_.q;
    for (int64_t i = 0; i < queries; ++i) {
      const int64_t head = i / case_.q % case_.heads, batch = i / case_.q / case_.heads;
      const int64_t shared = batch * case_.kv_heads + head * case_.kv_heads / case_.heads;
      const Dot delta(grad, i, out, i, dim);
      const int64_t seen = args.causal != 0 ? std::min(case_.kv, i % case_.q + 1) : case_.kv;
      for (int64_t j = 0; j < seen; ++j) {
        const int64_t row = shared * case_.kv + j;
        const double added = args.mask.rank < 0 ? 0 : m[i * case_.kv + j];
        if (added == -kInf) continue;
        const Dot score(q, i, k, row, dim), product(grad, i, v, row, dim);
        const double scale = std::abs(args.scale);
        const double off =
            sum_of_dim * (scale * score.size + std::abs(added)) + u * (8 + 2 * std::abs(lse[i]));
        const double p = std::exp(args.scale * score.sum + added - lse[i]);
        const double of_products = sum_of_dim * (product.size + delta.size) + rounding * delta.size;
        const double g = scale * p * std::abs(product.sum - delta.sum);
        const double g_off = g * off + scale * p * of_products;
        for (int64_t d = 0; d < dim; ++d) {
          bounds.query[i * dim + d] += (g_off + over_keys * g) * std::abs(k[row * dim + d]);
          bounds.key[row * dim + d] += (g_off + over_queries * g) * std::abs(q[i * dim + d]);
          bounds.value[row * dim + d] += p * (off + over_queries) * std::abs(grad[i * dim + d]);
        }
      }
    }
    // What exp flushes, and the result's own rounding.
    const auto finish = [&](Doubles* bound, const Doubles& exact) {
      for (size_t i = 0; i < exact.size(); ++i) {
        (*bound)[i] += 1e-37 + std::max(u * std::abs(exact[i]), rounding_of(dtype_, exact[i]));
      }
    };
    finish(&bounds.query, expected.query);
    finish(&bounds.key, expected.key);
    finish(&bounds.value, expected.value);
  }

  static void check_close(const char* what, const Doubles& got, const Doubles& want,
                          const Doubles& bound) {
    for (size_t i = 0; i < want.size(); ++i) {
      if (std::abs(got[i] - want[i]) <= bound[i]) continue;
      ADD_FAILURE() << what << " " << i << ": " << got[i] << " for " << want[i] << ", bound "
                    << bound[i];
      return;
    }
  }

  Case case_;
  int32_t dtype_;

 public:
  Buffer query, key, value, mask, grad_dst, dst, logsumexp;
  polyops_attention_backward_args args;
  Gradients expected, bounds;
};

constexpr int32_t kDtypes[] = {POLYOPS_FLOAT32, POLYOPS_BFLOAT16, POLYOPS_FLOAT16, POLYOPS_FLOAT64};

// By every kernel, which must give the same bits with any number of threads.
void check(const Case& c) {
  for (int32_t dtype : kDtypes) {
    Call call(c, dtype);
    int taken = 0;
    for (const polyops_kernel* kernel : kernels_of("attention_backward")) {
      SCOPED_TRACE(std::string(kernel->name) + " " + describe(c, dtype));
      Gradients one, more;
      if (!call.run(*kernel, 1, &one)) continue;
      ++taken;
      call.check(one);
      for (int threads : {2, 3}) {
        ASSERT_TRUE(call.run(*kernel, threads, &more));
        ASSERT_EQ(more.query, one.query) << threads << " threads";
        ASSERT_EQ(more.key, one.key) << threads << " threads";
        ASSERT_EQ(more.value, one.value) << threads << " threads";
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

TEST(AttentionBackward, EverySmallShapeAroundTheTiles) {
  int turn = 0;
  constexpr Mask kMasks[] = {Mask::kNone, Mask::kCausal, Mask::kFull};
  for (int64_t q : {1, 2, 6, 8, 9, 13, 25}) {
    for (int64_t kv : {1, 3, 16, 17, 65, 130}) {
      for (int64_t dim : {1, 8, 17, 64, 65}) {
        CHECK_CASE(
            {.heads = 2, .kv_heads = 2, .q = q, .kv = kv, .dim = dim, .mask = kMasks[turn++ % 3]});
      }
    }
  }
}

TEST(AttentionBackward, SeveralBlocks) {
  for (Mask mask : {Mask::kNone, Mask::kCausal, Mask::kFull}) {
    CHECK_CASE({.q = 3, .kv = 600, .dim = 24, .mask = mask});
    CHECK_CASE({.q = 200, .kv = 520, .dim = 16, .mask = mask});
    CHECK_CASE({.q = 520, .kv = 200, .dim = 16, .mask = mask});
    CHECK_CASE({.q = 70, .kv = 290, .dim = 130, .mask = mask});
  }
}

TEST(AttentionBackward, EveryMask) {
  for (Mask mask : {Mask::kNone, Mask::kCausal, Mask::kFull, Mask::kQueryByKey, Mask::kKeys,
                    Mask::kQueries, Mask::kSpread, Mask::kHoles}) {
    for (int64_t q : {1, 7, 50}) {
      for (bool narrow : {false, true}) {
        CHECK_CASE({.batch = 2,
                    .heads = 2,
                    .kv_heads = 2,
                    .q = q,
                    .kv = 70,
                    .dim = 20,
                    .mask = mask,
                    .narrow_mask = narrow,
                    .offset = 1});
      }
    }
  }
}

TEST(AttentionBackward, EveryLayout) {
  constexpr Layout kLayouts[] = {Layout::kDense, Layout::kByToken, Layout::kFused, Layout::kPadded,
                                 Layout::kOneBatch};
  for (Layout one : kLayouts) {
    for (Layout other : kLayouts) {
      for (int64_t q : {5, 40}) {
        CHECK_CASE({.batch = 2,
                    .heads = 3,
                    .kv_heads = 3,
                    .q = q,
                    .kv = 70,
                    .dim = 32,
                    .query = one,
                    .key = other,
                    .value = one,
                    .dst = one == Layout::kOneBatch ? Layout::kPadded : one,
                    .offset = 1});
      }
    }
  }
}

TEST(AttentionBackward, HeadsShareKeys) {
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

// Scores of hundreds: one weight is 1, most are 0.
TEST(AttentionBackward, LargeScores) {
  for (double magnitude : {1e-3, 8.0, 30.0}) {
    for (Mask mask : {Mask::kNone, Mask::kCausal}) {
      CHECK_CASE({.q = 24, .kv = 300, .dim = 40, .mask = mask, .magnitude = magnitude});
    }
  }
  for (double scale : {-0.5, 3.0, 1e-30}) {
    CHECK_CASE({.q = 30, .kv = 300, .dim = 20, .scale = scale});
  }
}

// A query that sees nothing has no gradient and adds to none.
TEST(AttentionBackward, QueriesThatSeeNothing) {
  const Case c = {.q = 30, .kv = 20, .dim = 8, .mask = Mask::kHoles};
  for (int32_t dtype : kDtypes) {
    Call call(c, dtype);
    for (const polyops_kernel* kernel : kernels_of("attention_backward")) {
      SCOPED_TRACE(kernel->name);
      Gradients got;
      if (!call.run(*kernel, 2, &got)) continue;
      call.check(got);
      for (int64_t d = 0; d < c.dim; ++d) ASSERT_EQ(got.query[c.q / 2 * c.dim + d], 0);
    }
  }
}

TEST(AttentionBackward, DeclinesWhatItCannotRead) {
  const Case c = {.q = 4, .kv = 5, .dim = 6, .mask = Mask::kFull};
  for (const polyops_kernel* kernel : kernels_of("attention_backward")) {
    Call call(c, POLYOPS_FLOAT32);
    call.args.grad_query = call.query.without_data();
    call.args.grad_key = call.args.grad_value = call.key.without_data();
    ASSERT_EQ(kernel->supports(&call.args), nullptr);
    const auto reason = [&](auto change) {
      polyops_attention_backward_args changed = call.args;
      change(changed);
      const char* why = kernel->supports(&changed);
      return std::string(why == nullptr ? "" : why);
    };
    EXPECT_EQ(reason([](auto& a) { a.key.dtype = POLYOPS_BFLOAT16; }), "dtype");
    EXPECT_EQ(reason([](auto& a) { a.grad_dst.dtype = POLYOPS_BFLOAT16; }), "dtype");
    EXPECT_EQ(reason([](auto& a) { a.mask.dtype = POLYOPS_INVALID_DTYPE; }), "dtype");
    EXPECT_EQ(reason([](auto& a) { a.logsumexp.dtype = POLYOPS_FLOAT64; }), "dtype");
    EXPECT_EQ(reason([](auto& a) { a.query.strides[3] = 2; }), "layout");
    EXPECT_EQ(reason([](auto& a) { a.grad_dst.strides[3] = 0; }), "layout");
    EXPECT_EQ(reason([](auto& a) { a.grad_value.strides[3] = 2; }), "layout");
  }
}

}  // namespace
}  // namespace polyops::testing
