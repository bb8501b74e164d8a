// softmax, log_softmax and their backwards: every kernel of every ISA against the reference in
// float64.
//
// Bounds, in units of the dtype's epsilon times the row's largest value (backward: the largest
// |dst| (|grad_dst| + sum |grad_dst dst|), what the result is a difference of): 4 where arithmetic
// is in the dtype itself; 0.51 for bfloat16, the rounding of the result and nothing visible beside.
// log_softmax: the row's largest value, or 1 if that is more; backward: the largest
// |grad_dst| + exp(dst) sum |grad_dst|.
#include "reference/softmax.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "family.h"
#include "harness.h"

namespace polyops::testing {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr int32_t kDtypes[] = {POLYOPS_FLOAT32, POLYOPS_BFLOAT16, POLYOPS_FLOAT16, POLYOPS_FLOAT64};

using Sizes = std::vector<int64_t>;

// Dtypes of what a call reads and of what it writes.
struct Types {
  int32_t in, out;
};

// Lane by lane a GPU's kernels are slow: a case has one of the types of 16 bits, in turn. The last
// two, half_to_float, are for GPUs alone.
std::vector<Types> forward_types(size_t turn) {
  constexpr Types kHalves[] = {{POLYOPS_BFLOAT16, POLYOPS_BFLOAT16},
                               {POLYOPS_FLOAT16, POLYOPS_FLOAT16},
                               {POLYOPS_BFLOAT16, POLYOPS_FLOAT32},
                               {POLYOPS_FLOAT16, POLYOPS_FLOAT32}};
  std::vector<Types> types = {{POLYOPS_FLOAT32, POLYOPS_FLOAT32},
                              {POLYOPS_FLOAT64, POLYOPS_FLOAT64}};
  for (size_t i = 0; i < std::size(kHalves); ++i) {
    if (is_gpu() ? i == turn % std::size(kHalves) : i < 2) types.push_back(kHalves[i]);
  }
  return types;
}
std::vector<Types> backward_types(size_t turn) {
  std::vector<Types> types = forward_types(turn);
  for (Types& t : types) std::swap(t.in, t.out);
  return types;
}
std::vector<int32_t> same_types(size_t turn) {
  std::vector<int32_t> dtypes(std::begin(kDtypes), std::end(kDtypes));
  const int32_t left_out = turn % 2 == 0 ? POLYOPS_FLOAT16 : POLYOPS_BFLOAT16;
  if (is_gpu()) std::erase(dtypes, left_out);
  return dtypes;
}

// Large ones for the sake of several threads tell nothing of a GPU's kernels, which have none.
bool has_threads() { return !is_gpu(); }

struct Case {
  std::string kernel;  // which must be the first of its ISA to take it: "lastdim"
  Sizes sizes;
  int dim;
  Sizes src_strides = {};
  Sizes dst_strides = {};
  int64_t offset = 0;
  bool turned = false;  // forward, GPUs have a kernel of its own for it
};

std::vector<Case> row_cases() {
  std::vector<Case> cases;
  for (int64_t n : {1,  2,   7,   8,   9,   15,  16,  17,  31,  32,   33,   63,   64,
                    65, 127, 128, 129, 240, 255, 256, 257, 300, 1023, 1024, 1025, 4099}) {
    cases.push_back({"lastdim", {3, n}, 1});
    cases.push_back({"lastdim", {3, n}, 1, {n + 3, 1}, {n + 5, 1}, 1});
  }
  cases.push_back({"lastdim", {17}, 0});
  if (is_gpu()) {  // short ones without gaps, as runs
    for (const Sizes& sizes : {Sizes{1600, 7}, Sizes{400, 49}, Sizes{400, 63}}) {
      cases.push_back({"lastdim", sizes, 1, {}, {}, sizes[1] % 2});
    }
  }
  cases.push_back({"lastdim", {has_threads() ? 2 : 1, 50257}, 1, {}, {}, 3});
  cases.push_back({"lastdim", {has_threads() ? 2 : 1, 70001}, 1});
  if (on_device()) {  // a cluster's with more packs a thread, and beyond what one keeps
    for (int64_t n : {131073, 151936, 300001}) cases.push_back({"lastdim", {3, n}, 1});
  }
  if (has_threads()) cases.push_back({"lastdim", {130, 1025}, 1});
  cases.push_back({"lastdim", {3, 4, 33}, 2, {33, 99, 1}, {}});  // rows in another order
  cases.push_back({"lastdim", {5, 33}, 1, {0, 1}, {}});          // one row, expanded
  cases.push_back({"lastdim", {2, 40, 5, 3}, 1, {600, 1, 120, 40}, {600, 1, 120, 40}});  // NHWC
  return cases;
}

std::vector<Case> column_cases() {
  std::vector<Case> cases;
  for (int64_t width : {2, 15, 16, 17, 63, 64, 65, 129}) {
    cases.push_back({"inner", {2, 19, width}, 1});
    cases.push_back({"inner", {19, width}, 0, {width + 1, 1}, {width + 3, 1}, 1});
  }
  cases.push_back({"inner", {1025, 70}, 0});
  cases.push_back({"inner", {1, 4100, 20}, 1});           // bfloat16: too long to be kept
  cases.push_back({"inner", {17, 3077}, 0});              // a thread parks instead of a team
  for (int64_t n : {3, 30, 60, 130, 1030, 2050, 9001}) {  // whole packs, tiles of each shape
    cases.push_back({"inner", {n, 16}, 0});
  }
  cases.push_back({"inner", {on_device() ? 4000 : 1030, 36}, 0});  // clusters, tiles of 64 bytes
  cases.push_back({"inner", {2, 30, 264}, 1});
  cases.push_back({"inner", {2, 4, 1032}, 1});
  cases.push_back({"inner", {1, 900, 40}, 1});  // of a cluster, tiles of 128 bytes
  if (has_threads()) cases.push_back({"inner", {40, 33, 100}, 1});
  cases.push_back({"inner", {3, 7, 2, 3, 5}, 1});
  cases.push_back({"inner", {6, 40}, 0, {0, 1}, {}});        // expanded along dim
  cases.push_back({"inner", {40, 9}, 1, {1, 40}, {1, 40}});  // transposed, both
  cases.push_back({"inner", {3, 4, 33}, 0, {33, 99, 1}, {}});
  return cases;
}

std::vector<Case> strided_cases() {
  std::vector<Case> cases = {
      {"strided", {40, 33}, 1, {1, 40}, {}, 0, true},  // transposed into contiguous
      {"strided", {40, 35}, 1, {1, 41}, {}},           // rows of the source that begin anywhere
      {"strided", {40, 33}, 1, {}, {1, 40}, 1},        // and back
      {"strided", {40, 33}, 0, {1, 40}, {}},
      {"strided", {5, 33}, 1, {66, 2}, {}},  // every second element
      {"strided", {5, 33}, 1, {33, 1}, {99, 3}},
      {"strided", {5, 33}, 1, {1, 0}, {}},  // expanded along dim
      {"strided", {3, 5, 17}, 1, {1, 51, 3}, {}},
      {"strided", {1, 70001}, 1, {140002, 2}, {}},
  };
  if (has_threads()) cases.push_back({"strided", {200, 700}, 1, {1, 200}, {}});
  if (!is_gpu()) return cases;
  for (int64_t n : {2, 9, 16, 17, 130, 700, 1024}) {  // turned over, tiles of each shape
    cases.push_back({"strided", {20, n}, 1, {1, 24}, {}, 0, true});
  }
  cases.push_back({"strided", {20, 1025}, 1, {1, 20}, {}});    // longer
  for (int64_t n : {9, 512, 1000, 1024, 2048, 5000, 16384}) {  // held, by teams of each size
    cases.push_back({"strided", {11, n}, 1, {2 * n, 2}, {}});
  }
  cases.push_back(
      {"strided", {2, 3, 72, 50}, 3, {10800, 3600, 1, 72}, {11000, 3650, 50, 1}, 0, true});
  return cases;
}

std::vector<Case> rank_cases() {
  std::vector<Case> cases;
  const Sizes sizes = {2, 1, 3, 2, 1, 2, 3, 5};
  for (int dim = 0; dim < 8; ++dim) {
    const bool last = dim == 7 || sizes[dim] == 1;
    cases.push_back({last ? "lastdim" : "inner", sizes, dim});
    const bool first = dim == 0 || sizes[dim] == 1;
    const Sizes reversed = permuted_strides(sizes, {7, 6, 5, 4, 3, 2, 1, 0});
    cases.push_back({first ? "lastdim" : "inner", sizes, dim, reversed, reversed});
  }
  return cases;
}

std::vector<Case> all_cases() {
  std::vector<Case> all;
  for (const auto& some : {row_cases(), column_cases(), strided_cases(), rank_cases()}) {
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

std::string describe(const Case& c, Types types) {
  std::ostringstream text;
  text << c.kernel << " " << polyops_dtype_name(types.in);
  if (types.out != types.in) text << " to " << polyops_dtype_name(types.out);
  text << " dim " << c.dim << " of";
  for (int64_t size : c.sizes) text << " " << size;
  return text.str();
}

// The row of each element, numbered by its first element.
std::vector<int64_t> rows_of(const Case& c) {
  int64_t step = 1, count = 1;
  for (size_t d = 0; d < c.sizes.size(); ++d) {
    count *= c.sizes[d];
    if (static_cast<int>(d) > c.dim) step *= c.sizes[d];
  }
  std::vector<int64_t> row(count);
  for (int64_t i = 0; i < count; ++i) row[i] = i - i / step % c.sizes[c.dim] * step;
  return row;
}

// Each element's scale: the largest magnitude of its row that is finite, at least `least`.
std::vector<double> row_scale(const Case& c, const std::vector<double>& values, double least) {
  const std::vector<int64_t> row = rows_of(c);
  std::vector<double> top(values.size(), least), scale(values.size());
  for (size_t i = 0; i < row.size(); ++i) {
    if (std::isfinite(values[i])) top[row[i]] = std::fmax(top[row[i]], std::abs(values[i]));
  }
  for (size_t i = 0; i < row.size(); ++i) scale[i] = top[row[i]];
  return scale;
}

// Returns the values.
std::vector<double> expect_close(const Buffer& got, const std::vector<double>& expected,
                                 const std::vector<double>& scale) {
  const std::vector<double> values = got.values();
  const int32_t dtype = got.view().dtype;
  const double bound = (is_half(dtype) ? 0.51 : 4) * epsilon(dtype);
  EXPECT_TRUE(got.guards_intact());
  for (size_t i = 0; i < expected.size(); ++i) {
    const double best = in_range(dtype, expected[i]);
    if ((std::isnan(best) && std::isnan(values[i])) || best == values[i]) continue;
    const double off = std::abs(values[i] - best);
    if (off <= std::max(bound * scale[i], rounding_of(dtype, 0))) continue;
    ADD_FAILURE() << "element " << i << ": " << values[i] << " for " << best << ", bound "
                  << bound * scale[i];
    break;
  }
  return values;
}

// Equal bit for bit, NaN being equal to NaN.
void expect_same(const std::vector<double>& got, const std::vector<double>& expected) {
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::isnan(got[i]) && std::isnan(expected[i])) continue;
    ASSERT_EQ(got[i], expected[i]) << "element " << i;
  }
}

bool has_kernels(const std::string& isa, int32_t dtype) {
  return dtype != POLYOPS_FLOAT64 || isa == "scalar";
}

std::vector<int> thread_counts() {
  return has_threads() ? std::vector<int>{1, 2, 3} : std::vector<int>{1};
}

// Lane by lane a GPU's kernels are slow: the largest cases are for the kernel that is meant alone.
bool is_worth_it(const polyops_kernel& kernel, const Case& c, int64_t small) {
  int64_t numel = 1;
  for (int64_t size : c.sizes) numel *= size;
  const bool meant = std::string(kernel.name).find("_" + c.kernel + "__") != std::string::npos;
  return meant || !is_gpu() || numel <= small;
}

// Runs `test` on every kernel that supports the call; the first of each ISA must be the one named,
// and every ISA with that dtype must have one.
template <class Test>
void for_each_taker(const std::string& op, const Case& c, int32_t dtype, const void* args,
                    Test test) {
  std::map<std::string, std::string> first;
  std::set<std::string> isas;
  for (const polyops_kernel* kernel : kernels_of(op)) {
    SCOPED_TRACE(kernel->name);
    if (has_kernels(kernel->isa, dtype)) isas.insert(kernel->isa);
    const char* reason = kernel->supports(args);
    if (reason != nullptr) {
      EXPECT_STREQ(reason, has_kernels(kernel->isa, dtype) ? "layout" : "dtype");
      continue;
    }
    first.emplace(kernel->isa, kernel->name);
    if (is_worth_it(*kernel, c, 20000)) test(*kernel);
  }
  ASSERT_EQ(first.size(), isas.size());
  for (const auto& [isa, name] : first) EXPECT_EQ(name, op + "_" + c.kernel + "__" + isa);
}

// |dst| (|grad_dst| + sum |grad_dst dst|): the terms whose difference the gradient is.
std::vector<double> softmax_terms(const Case& c, const Buffer& grad, const Buffer& y) {
  const std::vector<int64_t> row = rows_of(c);
  std::vector<double> dot(row.size(), 0), terms(row.size());
  for (size_t i = 0; i < row.size(); ++i) dot[row[i]] += std::abs(grad.get(i) * y.get(i));
  for (size_t i = 0; i < row.size(); ++i) {
    terms[i] = std::abs(y.get(i)) * (std::abs(grad.get(i)) + dot[row[i]]);
  }
  return terms;
}

// |grad_dst| + exp(dst) sum |grad_dst|.
std::vector<double> log_softmax_terms(const Case& c, const Buffer& grad, const Buffer& y) {
  const std::vector<int64_t> row = rows_of(c);
  std::vector<double> sum(row.size(), 0), terms(row.size());
  for (size_t i = 0; i < row.size(); ++i) sum[row[i]] += std::abs(grad.get(i));
  for (size_t i = 0; i < row.size(); ++i) {
    terms[i] = std::abs(grad.get(i)) + std::exp(y.get(i)) * sum[row[i]];
  }
  return terms;
}

struct Op {
  const char* name;
  void (*forward)(const polyops_softmax_args&);
  void (*backward)(const polyops_softmax_backward_args&);
  std::vector<double> (*backward_terms)(const Case&, const Buffer& grad, const Buffer& y);
  double least_scale;

  std::string backward_name() const { return std::string(name) + "_backward"; }
};

// Forward on src as it is, by every kernel, with 1, 2 and 3 threads, bit-equal.
void check_forward(const Op& op, const Case& c, const Buffer& src, int32_t dst_dtype) {
  const int32_t dtype = src.view().dtype;
  SCOPED_TRACE(describe(c, {dtype, dst_dtype}));
  Buffer exact(POLYOPS_FLOAT64, c.sizes);
  polyops_softmax_args args = {sizeof args, c.dim, src.view(), exact.view()};
  op.forward(args);
  const std::vector<double> expected = exact.values();
  const std::vector<double> scale = row_scale(c, expected, op.least_scale);
  const std::vector<double> before = src.values();
  args.dst = Buffer(dst_dtype, c.sizes, c.dst_strides, c.offset).without_data();
  Case meant = c;
  if (c.turned && is_gpu()) meant.kernel = "turned";
  for_each_taker(op.name, meant, dtype, &args, [&](const polyops_kernel& kernel) {
    std::vector<double> with_one_thread;
    for (int threads : thread_counts()) {
      Buffer dst(dst_dtype, c.sizes, c.dst_strides, c.offset);
      polyops_softmax_args call = args;
      call.dst = dst.view();
      ASSERT_EQ(launch(kernel, &call, threads), POLYOPS_OK);
      const std::vector<double> values = expect_close(dst, expected, scale);
      if (threads == 1) with_one_thread = values;
      expect_same(values, with_one_thread);
    }
  });
  expect_same(src.values(), before);
}

// Every test, of each op that the family has kernels of.
class SoftmaxTest : public ::testing::TestWithParam<Op> {
 protected:
  void SetUp() override {
    const polyops_backend& b = family();
    const bool listed = std::any_of(b.kernels, b.kernels + b.kernel_count, [](const auto& kernel) {
      return std::string(kernel.op) == op().name;
    });
    if (!listed) GTEST_SKIP() << "the family has no kernels of it";
  }
  static const Op& op() { return GetParam(); }
};

TEST_P(SoftmaxTest, MatchesReference) {
  size_t turn = 0;
  for (const Case& c : all_cases()) {
    for (Types types : forward_types(turn++)) {
      Buffer src(types.in, c.sizes, c.src_strides, c.offset);
      src.fill_normal(7, 3.0);
      check_forward(op(), c, src, types.out);
      if (HasFailure()) return;
    }
  }
}

// What a row may hold besides ordinary numbers; x has the ordinary ones.
std::vector<std::vector<double>> special_rows(const std::vector<double>& x) {
  const size_t n = x.size();
  std::vector<std::vector<double>> rows;
  const auto add = [&](auto change) {
    rows.push_back(x);
    change(rows.back());
  };
  add([&](auto& r) { r[0] = kNan; });
  add([&](auto& r) { r[n - 1] = kNan; });
  add([&](auto& r) { r[n / 2] = kInf; });
  add([&](auto& r) { r[n / 3] = -kInf; });
  add([&](auto& r) { std::fill(r.begin(), r.end(), -kInf); });
  add([&](auto& r) { std::fill(r.begin(), r.end(), -kInf), r[n / 2] = kNan; });
  add([&](auto& r) { std::fill(r.begin(), r.end() - 1, -kInf); });
  add([&](auto& r) { std::fill(r.begin() + 1, r.end(), -kInf); });
  add([&](auto& r) { std::fill(r.begin(), r.end(), -3e38); });
  add([&](auto& r) {
    for (double& v : r) v *= 1e37;
  });
  add([&](auto& r) {
    for (double& v : r) v += 1e4;
  });
  add([&](auto& r) {
    for (double& v : r) v = -std::abs(v) - 80;
    r[0] = 0;
  });  // denormal results
  add([&](auto& r) { std::fill(r.begin(), r.end(), 0.0), r[n - 1] = -0.0; });
  return rows;
}

TEST_P(SoftmaxTest, SpecialValues) {
  size_t turn = 0;
  for (int64_t n : {1, 5, 16, 64, 250, 300, 9000, 70001}) {
    Buffer normal(POLYOPS_FLOAT32, {n});
    normal.fill_normal(3, 2.0);
    const auto rows = special_rows(normal.values());
    const int64_t m = rows.size();
    for (const Case& c : {Case{"lastdim", {m, n}, 1}, Case{n == 1 ? "lastdim" : "inner", {n, m}, 0},
                          Case{n == 1 ? "lastdim" : "strided", {m, n}, 1, {2 * n, 2}, {}}}) {
      for (Types types : forward_types(turn++)) {
        if (c.kernel == "inner" && n > 10000) continue;  // no other path, only other rounding
        Buffer src(types.in, c.sizes, c.src_strides);
        src.fill([&](int64_t i) { return c.dim == 1 ? rows[i / n][i % n] : rows[i % m][i / m]; });
        check_forward(op(), c, src, types.out);
        if (HasFailure()) return;
      }
    }
  }
}

TEST_P(SoftmaxTest, InPlace) {
  size_t turn = 0;
  for (const Case& c : all_cases()) {
    const Sizes strides = c.dst_strides;
    for (int32_t dtype : same_types(turn++)) {
      SCOPED_TRACE(describe(c, {dtype, dtype}));
      const auto fresh = [&] {
        Buffer src(dtype, c.sizes, strides, c.offset);
        src.fill_normal(5, 3.0);
        return src;
      };
      const Buffer src = fresh();
      for (const polyops_kernel* kernel : kernels_of(op().name)) {
        SCOPED_TRACE(kernel->name);
        Buffer apart(dtype, c.sizes, strides, c.offset);
        Buffer both = fresh();
        polyops_softmax_args args = {sizeof args, c.dim, src.view(), apart.view()};
        if (kernel->supports(&args) != nullptr || !is_worth_it(*kernel, c, 0)) continue;
        ASSERT_EQ(launch(*kernel, &args, 2), POLYOPS_OK);
        args.src = args.dst = both.view();
        ASSERT_EQ(launch(*kernel, &args, 2), POLYOPS_OK);
        expect_same(both.values(), apart.values());  // sums of such rows leave float16's range
        ASSERT_TRUE(both.guards_intact());
      }
    }
  }
}

void check_backward(const Op& op, const Case& c, Types types) {
  const int32_t dtype = types.in;
  SCOPED_TRACE(describe(c, types));
  Buffer grad(dtype, c.sizes, c.src_strides, c.offset);
  grad.fill_normal(11);
  // What forward would have returned, in a layout of its own.
  Buffer logits(POLYOPS_FLOAT64, c.sizes), y(dtype, c.sizes, c.src_strides, 1);
  logits.fill_normal(13, 2.0);
  op.forward({sizeof(polyops_softmax_args), c.dim, logits.view(), y.view()});
  Buffer exact(POLYOPS_FLOAT64, c.sizes);
  polyops_softmax_backward_args args = {sizeof args, c.dim, grad.view(), y.view(), exact.view()};
  op.backward(args);
  const std::vector<double> expected = exact.values();
  const std::vector<double> scale = row_scale(c, op.backward_terms(c, grad, y), 0);
  args.grad_src = Buffer(types.out, c.sizes, c.dst_strides, c.offset).without_data();
  for_each_taker(op.backward_name(), c, dtype, &args, [&](const polyops_kernel& kernel) {
    std::vector<double> with_one_thread;
    for (int threads : thread_counts()) {
      Buffer out(types.out, c.sizes, c.dst_strides, c.offset);
      polyops_softmax_backward_args call = args;
      call.grad_src = out.view();
      ASSERT_EQ(launch(kernel, &call, threads), POLYOPS_OK);
      const std::vector<double> values = expect_close(out, expected, scale);
      if (threads == 1) with_one_thread = values;
      expect_same(values, with_one_thread);
    }
  });
}

TEST_P(SoftmaxTest, BackwardMatchesReference) {
  size_t turn = 0;
  for (const Case& c : all_cases()) {
    for (Types types : backward_types(turn++)) {
      check_backward(op(), c, types);
      if (HasFailure()) return;
    }
  }
}

TEST_P(SoftmaxTest, BackwardInPlaceOfItsGradient) {
  size_t turn = 0;
  for (const Case& c : all_cases()) {
    for (int32_t dtype : same_types(turn++)) {
      SCOPED_TRACE(describe(c, {dtype, dtype}));
      Buffer y(dtype, c.sizes, c.dst_strides), first(dtype, c.sizes, c.dst_strides, c.offset);
      y.fill_normal(17);
      first.fill_normal(19);
      for (const polyops_kernel* kernel : kernels_of(op().backward_name())) {
        SCOPED_TRACE(kernel->name);
        Buffer apart(dtype, c.sizes, c.dst_strides, c.offset), both = first;
        polyops_softmax_backward_args args = {sizeof args, c.dim, first.view(), y.view(),
                                              apart.view()};
        if (kernel->supports(&args) != nullptr || !is_worth_it(*kernel, c, 0)) continue;
        ASSERT_EQ(launch(*kernel, &args, 2), POLYOPS_OK);
        args.grad_dst = args.grad_src = both.view();
        ASSERT_EQ(launch(*kernel, &args, 2), POLYOPS_OK);
        expect_same(both.values(), apart.values());  // sums of such rows leave float16's range
      }
    }
  }
}

TEST_P(SoftmaxTest, BackwardNanStaysInItsRow) {
  const Case c = {"lastdim", {3, 100}, 1};
  for (int32_t dtype : kDtypes) {
    Buffer grad(dtype, c.sizes), y(dtype, c.sizes);
    grad.fill_normal(1);
    y.fill([](int64_t) { return 0.01; });
    grad.set(150, kNan);
    for (const polyops_kernel* kernel : kernels_of(op().backward_name())) {
      SCOPED_TRACE(kernel->name);
      Buffer out(dtype, c.sizes);
      polyops_softmax_backward_args args = {sizeof args, 1, grad.view(), y.view(), out.view()};
      if (kernel->supports(&args) != nullptr) continue;
      ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK);
      for (int64_t i = 0; i < 300; ++i) ASSERT_EQ(std::isnan(out.get(i)), i / 100 == 1) << i;
    }
  }
}

// half_to_float is not among them on a GPU.
TEST_P(SoftmaxTest, DeclinesMixedDtypes) {
  const int32_t widened = is_gpu() ? POLYOPS_FLOAT64 : POLYOPS_BFLOAT16;
  const std::vector<Types> all = {{POLYOPS_FLOAT32, POLYOPS_BFLOAT16},
                                  {POLYOPS_FLOAT16, POLYOPS_BFLOAT16},
                                  {POLYOPS_BFLOAT16, POLYOPS_FLOAT64},
                                  {widened, POLYOPS_FLOAT32}};
  for (const Types& types : all) {
    const polyops_tensor src = Buffer(types.in, {4, 4}).without_data();
    const polyops_tensor dst = Buffer(types.out, {4, 4}).without_data();
    const polyops_softmax_args forward = {sizeof forward, 1, src, dst};
    for (const polyops_kernel* kernel : kernels_of(op().name)) {
      EXPECT_STREQ(kernel->supports(&forward), "dtype") << kernel->name;
    }
    const polyops_softmax_backward_args backward = {sizeof backward, 1, dst, dst, src};
    const polyops_softmax_backward_args mixed = {sizeof mixed, 1, dst, src, dst};
    for (const polyops_kernel* kernel : kernels_of(op().backward_name())) {
      EXPECT_STREQ(kernel->supports(&backward), "dtype") << kernel->name;
      EXPECT_STREQ(kernel->supports(&mixed), "dtype") << kernel->name;
    }
  }
}

constexpr Op kOps[] = {
    {"softmax", reference::softmax, reference::softmax_backward, softmax_terms, 0},
    {"log_softmax", reference::log_softmax, reference::log_softmax_backward, log_softmax_terms, 1},
};

INSTANTIATE_TEST_SUITE_P(Ops, SoftmaxTest, ::testing::ValuesIn(kOps),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace polyops::testing
