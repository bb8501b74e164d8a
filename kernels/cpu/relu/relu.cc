// relu and its gradient: nothing but memory, 8 (float32) and 4 (16 bits) bytes per element, 12 and
// 6 backward. What has 16 bits stays in its lanes: the test is one on the bits, so nothing is
// converted.
#include "polyops/ops/relu.h"

#include "elementwise.h"
#include "table.h"

namespace polyops::cpu {
namespace {

// A bfloat16's bits as an integer: below -127 are -0 and the negative numbers down to -inf, above
// are the NaNs that have the sign set, then 0 and whatever is positive.
inline bool is_signed_number(bf16 x) { return static_cast<int16_t>(x.bits) < -127; }
inline bool is_signed_number(f16 x) { return static_cast<int16_t>(x.bits) < -1023; }

struct Relu {
  using Args = polyops_relu_args;
  static constexpr int kInputs = 1;
  static void tensors(const Args& args, const polyops_tensor** t) {
    t[0] = &args.src;
    t[1] = &args.dst;
  }
  // max returns its second operand when that is NaN or when both are zeros.
  template <class E>
  static void run(const Args&, const E* const* in, E* out, int64_t n) {
    using V = typename VectorOf<E>::Type;
    if constexpr (sizeof(E) < sizeof(typename V::Scalar)) {
      run_on_bits(in[0], out, n);
    } else {
      map1(in, out, n, [](V x) { return max(V::zero(), x); });
    }
  }
  template <class E>
  static void run_on_bits(const E* x, E* out, int64_t n) {
#pragma GCC ivdep  // out is x or apart from it
    for (int64_t i = 0; i < n; ++i) {
      const bool negative = is_signed_number(x[i]) & (x[i].bits != 0x8000u);
      out[i].bits = negative ? uint16_t{0} : x[i].bits;
    }
  }
};

struct ReluBackward {
  using Args = polyops_relu_backward_args;
  static constexpr int kInputs = 2;
  static void tensors(const Args& args, const polyops_tensor** t) {
    t[0] = &args.grad_dst;
    t[1] = &args.src;
    t[2] = &args.grad_src;
  }
  template <class E>
  static void run(const Args& args, const E* const* in, E* out, int64_t n) {
    using V = typename VectorOf<E>::Type;
    if constexpr (sizeof(E) < sizeof(typename V::Scalar)) {
      if (args.threshold == 0.0) return run_on_bits(in[0], in[1], out, n);
    }
    const V threshold = V::set1(static_cast<typename V::Scalar>(args.threshold));
    map2(in, out, n,
         [threshold](V grad, V x) { return select(le(x, threshold), V::zero(), grad); });
  }
  template <class E>
  static void run_on_bits(const E* grad, const E* x, E* out, int64_t n) {
#pragma GCC ivdep  // out is grad, x, or apart from them
    for (int64_t i = 0; i < n; ++i) {
      const bool blocked = is_signed_number(x[i]) | (x[i].bits == 0);
      const uint16_t passed = grad[i].bits;  // read in any case, or the loop is not vectorized
      out[i].bits = blocked ? uint16_t{0} : passed;
    }
  }
};

using Forward = Elementwise<Relu>;
using Backward = Elementwise<ReluBackward>;

}  // namespace
}  // namespace polyops::cpu

POLYOPS_CPU_KERNELS(relu,
                    POLYOPS_KERNEL("relu", "relu_contiguous", Forward::supports_contiguous, nullptr,
                                   Forward::launch_contiguous),
                    POLYOPS_KERNEL("relu", "relu_strided", Forward::supports_any, nullptr,
                                   Forward::launch_any),
                    POLYOPS_KERNEL("relu_backward", "relu_backward_contiguous",
                                   Backward::supports_contiguous, nullptr,
                                   Backward::launch_contiguous),
                    POLYOPS_KERNEL("relu_backward", "relu_backward_strided", Backward::supports_any,
                                   nullptr, Backward::launch_any))
