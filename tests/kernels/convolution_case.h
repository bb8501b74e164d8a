// One case of convolution, forward or backward: sizes, window, layouts, and how far results may be
// off. convolution_cases.h has lists of them.
#ifndef POLYOPS_TESTS_KERNELS_CONVOLUTION_CASE_H_
#define POLYOPS_TESTS_KERNELS_CONVOLUTION_CASE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

#include "harness.h"
#include "polyops/ops/convolution.h"

namespace polyops::testing {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr int32_t kDtypes[] = {POLYOPS_FLOAT32, POLYOPS_BFLOAT16, POLYOPS_FLOAT16, POLYOPS_FLOAT64};

using Sizes = std::vector<int64_t>;
using Doubles = std::vector<double>;

// How a tensor of sizes (batch, channels, spatial...) lies in memory; a weight's filters and
// channels stand for the first two.
enum class Layout {
  kDense,
  kLast,        // channels innermost: channels_last, and its kin of 1 and 3 dimensions
  kPadded,      // rows cut from a wider tensor
  kLastPadded,  // channels cut from those of a wider tensor of that layout
  kStrided,     // every other element
  kSingles,     // dense, but for absurd strides where the size is 1
  kOneValue,    // expanded, as sum().backward() sends it; for inputs only
};

constexpr Layout kLayouts[] = {Layout::kDense,      Layout::kLast,    Layout::kPadded,
                               Layout::kLastPadded, Layout::kStrided, Layout::kSingles};

inline Sizes strides_of(Layout layout, Sizes sizes) {
  std::vector<int> order(sizes.size());
  std::iota(order.begin(), order.end(), 0);
  if (layout == Layout::kLast || layout == Layout::kLastPadded) {
    std::rotate(order.begin() + 1, order.begin() + 2, order.end());
  }
  if (layout == Layout::kPadded) sizes.back() += 3;
  if (layout == Layout::kLastPadded) sizes[1] += 5;
  Sizes strides = permuted_strides(sizes, order);
  for (size_t d = 0; d < sizes.size(); ++d) {
    if (layout == Layout::kStrided) strides[d] *= 2;
    if (layout == Layout::kSingles && sizes[d] == 1) strides[d] = 77;
    if (layout == Layout::kOneValue) strides[d] = 0;
  }
  return strides;
}

struct Case {
  int64_t batch = 1, groups = 1, channels = 1, filters = 1;  // of each group
  Sizes in = {}, taps = {};
  Sizes stride = {1}, padding = {0}, dilation = {1};  // the last one holds for further dimensions
  Layout src = Layout::kDense, weight = Layout::kDense, dst = Layout::kDense;
  Layout grad_src = Layout::kDense, grad_weight = Layout::kDense;
  bool bias = false;
  int64_t offset = 0;  // of every tensor, in elements

  static int64_t at(const Sizes& s, size_t d) { return s[std::min(d, s.size() - 1)]; }

  // The size of the result; not positive if there is none.
  int64_t out(size_t d) const {
    const int64_t reach = in[d] + 2 * at(padding, d) - at(dilation, d) * (taps[d] - 1) - 1;
    return reach < 0 ? 0 : reach / at(stride, d) + 1;
  }
  int64_t pixels() const { return volume(dst_sizes()) / (batch * groups * filters); }
  static int64_t volume(const Sizes& s) {
    return std::accumulate(s.begin(), s.end(), int64_t{1}, std::multiplies<>());
  }

  Sizes src_sizes() const { return sizes(batch, groups * channels, in); }
  Sizes weight_sizes() const { return sizes(groups * filters, channels, taps); }
  Sizes dst_sizes() const {
    Sizes outs;
    for (size_t d = 0; d < in.size(); ++d) outs.push_back(out(d));
    return sizes(batch, groups * filters, outs);
  }

  polyops_convolution_window window() const {
    polyops_convolution_window w = {{1, 1, 1}, {0, 0, 0}, {1, 1, 1}};
    for (size_t d = 0; d < in.size(); ++d) {
      w.stride[d] = at(stride, d);
      w.padding[d] = at(padding, d);
      w.dilation[d] = at(dilation, d);
    }
    return w;
  }

 private:
  static Sizes sizes(int64_t first, int64_t second, const Sizes& spatial) {
    Sizes all = {first, second};
    all.insert(all.end(), spatial.begin(), spatial.end());
    return all;
  }
};

inline std::string describe(const Case& c, int32_t dtype) {
  std::ostringstream text;
  const auto list = [&](const char* name, const Sizes& s) {
    text << " " << name << " ";
    for (size_t d = 0; d < s.size(); ++d) text << (d == 0 ? "" : ",") << s[d];
  };
  text << polyops_dtype_name(dtype) << " batch " << c.batch << " groups " << c.groups
       << " channels " << c.channels << " filters " << c.filters;
  list("in", c.in);
  list("taps", c.taps);
  list("stride", c.stride);
  list("padding", c.padding);
  list("dilation", c.dilation);
  text << " layouts ";
  for (Layout l : {c.src, c.weight, c.dst, c.grad_src, c.grad_weight}) text << static_cast<int>(l);
  text << (c.bias ? " bias" : "") << " offset " << c.offset;
  return text.str();
}

// Rounding errors of a sum of k products wander like a random walk: u (8 + sqrt(k)) of the sum of
// magnitudes, u half a unit in the last place; the 8 is for sums taken in parts, and for the bias.
// Of 16 bits the sums are float32, rounded once.
inline void check_close(const char* what, int32_t dtype, int64_t k, const Doubles& got,
                        const Doubles& want, const Doubles& scale) {
  const double u = epsilon(is_half(dtype) ? POLYOPS_FLOAT32 : dtype) / 2;
  const double sum = u * (8 + std::sqrt(static_cast<double>(k)));
  ASSERT_EQ(got.size(), want.size()) << what;
  for (size_t i = 0; i < want.size(); ++i) {
    const double best = in_range(dtype, want[i]);
    if (std::isnan(best) ? std::isnan(got[i]) : got[i] == best) continue;
    const double bound = sum * scale[i] + rounding_of(dtype, best);
    // An infinity that is wanted is not approached, and where none is wanted the bound is finite.
    if (std::isfinite(best) && std::abs(got[i] - best) <= bound) continue;
    FAIL() << what << " " << i << ": " << got[i] << " for " << best << ", bound " << bound;
  }
}

// NaN included, and the sign of zero.
inline bool same_bits(const Doubles& a, const Doubles& b) {
  if (a.size() != b.size()) return false;
  return a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

// A few words: reasons are counted by their text.
inline void check_reason(const char* reason) {
  EXPECT_GT(std::strlen(reason), 0u);
  EXPECT_LE(std::strlen(reason), 32u) << reason;
}

}  // namespace polyops::testing

#endif  // POLYOPS_TESTS_KERNELS_CONVOLUTION_CASE_H_
