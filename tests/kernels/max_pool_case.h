// What the tests of pools of largest elements share: values, places and gradients against the
// reference, and tensors that are hard to compare.
#ifndef POLYOPS_TESTS_KERNELS_MAX_POOL_CASE_H_
#define POLYOPS_TESTS_KERNELS_MAX_POOL_CASE_H_

#include <limits>
#include <string>

#include "pool2d.h"

namespace polyops::testing {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// How what a kernel writes lies.
struct Lying {
  Sizes sizes, strides;
  int64_t offset;
};

// Runs every kernel on args.src as it is.
template <class Args>
void expect_largest(const std::string& op, Args args, void (*reference)(const Args&),
                    const Lying& results) {
  const int32_t dtype = args.src.dtype;
  Buffer exact(dtype, results.sizes), places(POLYOPS_INT64, results.sizes);
  args.dst = exact.view();
  args.indices = places.view();
  reference(args);
  for (const polyops_kernel* kernel : kernels_of(op)) {
    SCOPED_TRACE(kernel->name);
    Buffer dst(dtype, results.sizes, results.strides, results.offset);
    Buffer indices(POLYOPS_INT64, results.sizes, results.strides, results.offset);
    args.dst = dst.without_data();
    args.indices = indices.without_data();
    ASSERT_STREQ(kernel->supports(&args), nullptr);
    args.dst = dst.view();
    args.indices = indices.view();
    ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK);
    expect_exact(dst, exact.values());
    expect_exact(indices, places.values());
  }
}

// args has the window and the indices.
template <class Args>
void expect_gradient(const std::string& op, Args args, void (*reference)(const Args&),
                     const Buffer& grad, const Lying& src) {
  const polyops_tensor view = grad.view();
  Buffer exact(POLYOPS_FLOAT64, src.sizes), scale(POLYOPS_FLOAT64, src.sizes);
  Buffer size(POLYOPS_FLOAT64, Sizes(view.sizes, view.sizes + view.rank));
  size.fill([&](int64_t i) { return std::abs(grad.get(i)); });
  args.grad_dst = size.view();
  args.grad_src = scale.view();
  reference(args);
  args.grad_dst = view;
  args.grad_src = exact.view();
  reference(args);
  for (const polyops_kernel* kernel : kernels_of(op)) {
    SCOPED_TRACE(kernel->name);
    Buffer grad_src(view.dtype, src.sizes, src.strides, src.offset);
    args.grad_src = grad_src.without_data();
    ASSERT_STREQ(kernel->supports(&args), nullptr);
    args.grad_src = grad_src.view();
    ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK);
    expect_close(grad_src, exact.values(), scale.values());
  }
}

// Ties, infinities and NaN: of few values, so that every window has several. What is not of those
// is -inf; of 2 in common, one is always.
inline void fill_special(Buffer* src, int common) {
  constexpr double kValues[] = {0.0, -0.0, 1.0, -kInf, kInf, kNan, -3e38, 1e-40};
  src->fill([&](int64_t i) {
    const int64_t of = i * 2654435761 / 64 % common;
    return of < 8 ? kValues[common == 2 ? 3 - of : of] : -kInf;
  });
}

}  // namespace polyops::testing

#endif  // POLYOPS_TESTS_KERNELS_MAX_POOL_CASE_H_
