// Cases of attention, forward and backward: sizes, masks, layouts.
#ifndef POLYOPS_TESTS_KERNELS_ATTENTION_CASE_H_
#define POLYOPS_TESTS_KERNELS_ATTENTION_CASE_H_

#include <cmath>
#include <cstdint>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "harness.h"

namespace polyops::testing {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

using Sizes = std::vector<int64_t>;

enum class Layout {
  kDense,     // (batch, heads, length, dim)
  kByToken,   // (batch, length, heads, dim) transposed, as models make it
  kFused,     // that, cut from (batch, length, 3, heads, dim)
  kPadded,    // rows with gaps
  kOneBatch,  // expanded over the batch
};

inline Sizes strides_of(Layout layout, const Sizes& s) {
  const int64_t heads = s[1], length = s[2], dim = s[3];
  switch (layout) {
    case Layout::kDense:
      return {heads * length * dim, length * dim, dim, 1};
    case Layout::kByToken:
      return {length * heads * dim, dim, heads * dim, 1};
    case Layout::kFused:
      return {3 * length * heads * dim, dim, 3 * heads * dim, 1};
    case Layout::kPadded:
      return {heads * length * (dim + 5), length * (dim + 5), dim + 5, 1};
    case Layout::kOneBatch:
      return {0, length * dim, dim, 1};
  }
  return {};
}

enum class Mask {
  kNone,
  kCausal,
  kFull,        // (batch, heads, q, kv)
  kQueryByKey,  // (q, kv)
  kKeys,        // (batch, 1, 1, kv): padding
  kQueries,     // (q, 1)
  kSpread,      // every other element
  kHoles,       // (q, kv), a third of it -inf, one row all of it
};

struct Case {
  int64_t batch = 1, heads = 1, kv_heads = 1, q = 1, kv = 1, dim = 1;
  Mask mask = Mask::kNone;
  Layout query = Layout::kDense, key = Layout::kDense, value = Layout::kDense, dst = Layout::kDense;
  bool narrow_mask = false;  // the mask in query's dtype, not in float32
  double magnitude = 1;      // of query and key
  double scale = 0;          // 0: 1 / sqrt(dim)
  int64_t offset = 0;

  Sizes query_sizes() const { return {batch, heads, q, dim}; }
  Sizes key_sizes() const { return {batch, kv_heads, kv, dim}; }
};

inline std::string describe(const Case& c, int32_t dtype) {
  std::ostringstream text;
  text << polyops_dtype_name(dtype) << " " << c.batch << "x" << c.heads << "(" << c.kv_heads
       << ") q " << c.q << " kv " << c.kv << " dim " << c.dim << " mask "
       << static_cast<int>(c.mask) << (c.narrow_mask ? " narrow" : "") << " layouts "
       << static_cast<int>(c.query) << static_cast<int>(c.key) << static_cast<int>(c.value)
       << static_cast<int>(c.dst);
  return text.str();
}

inline Sizes mask_strides(const Case& c) {
  switch (c.mask) {
    case Mask::kFull:
      return {c.heads * c.q * c.kv, c.q * c.kv, c.kv, 1};
    case Mask::kKeys:
      return {c.kv, 0, 0, 1};
    case Mask::kQueries:
      return {0, 0, 1, 0};
    case Mask::kSpread:
      return {2 * c.q * c.kv, 0, 2 * c.kv, 2};
    default:
      return {0, 0, c.kv, 1};
  }
}

// -inf in a third of the row, and in all of the middle query's.
inline void punch_holes(const Case& c, Buffer* mask) {
  for (int64_t i = 0; i < mask->numel(); ++i) {
    const int64_t row = i / c.kv % c.q;
    if (i % c.kv % 3 == row % 3 || row == c.q / 2) mask->set(i, -kInf);
  }
}

inline int32_t wide(int32_t dtype) {
  return dtype == POLYOPS_FLOAT64 ? POLYOPS_FLOAT64 : POLYOPS_FLOAT32;
}

}  // namespace polyops::testing

#endif  // POLYOPS_TESTS_KERNELS_ATTENTION_CASE_H_
