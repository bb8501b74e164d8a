// Calls that reach every barrier of depthwise convolutions.
#ifndef POLYOPS_TESTS_SIMT_MUTATION_IMAGES_H_
#define POLYOPS_TESTS_SIMT_MUTATION_IMAGES_H_

#include "mutation_case.h"
#include "polyops/ops/convolution.h"

namespace polyops::testing {
namespace {

// Several planes to a block, and of one whose strips are more than a wave; channels that a cluster
// of blocks adds up; both orders, and of channels next to each other sums that are added up in one
// pass and in two, rows in shared memory that are parts and that follow each other there. Of 16
// bits, matrices of several images.
struct Planes {
  Sizes sizes;
  Sizes strides = {};
  int64_t taps = 3;
  int32_t dtype = POLYOPS_FLOAT32;

  Buffer random(const Sizes& of, uint32_t seed, const Sizes& apart = {}) const {
    Buffer buffer(dtype, of, apart);
    buffer.fill_normal(seed);
    return buffer;
  }
  // Of filters.
  Sizes filters() const {
    if (sizes.size() == 3) return {sizes[1], 1, taps};
    return {sizes[1], 1, taps, taps};
  }
};
// By 7x7 taps of 32 bits, waves that go on at the top of other planes.
const std::vector<Planes> kPlanes = {{{8, 6, 7, 7}},
                                     {{5, 3, 25, 28}, {}, 7},
                                     {{5, 6, 14, 14}, {}, 5, POLYOPS_BFLOAT16},
                                     {{40, 2, 14, 14}, {}, 7, POLYOPS_BFLOAT16},
                                     {{2, 3, 700}, {}, 31, POLYOPS_BFLOAT16},
                                     {{5, 2, 35, 40}},
                                     {{5, 20, 14, 14}},
                                     {{4, 8, 6, 9}, {432, 1, 72, 8}},
                                     {{2, 152, 9, 12}, {16416, 1, 1824, 152}},
                                     {{3, 72, 4, 30}, {8640, 1, 2160, 72}, 3, POLYOPS_BFLOAT16},
                                     {{1, 8, 6, 9}, {432, 1, 72, 8}, 5},
                                     {{4, 24, 9, 12}, {2592, 1, 288, 24}},
                                     {{5, 26, 32, 40}}};

polyops_convolution_window window_of(int64_t taps) {
  return {{1, 1, 1}, {taps / 2, taps / 2, 0}, {1, 1, 1}};
}

Calls convolution() {
  Calls all = {"convolution", {}};
  for (const Planes& i : kPlanes) {
    all.calls.push_back([i](const polyops_kernel& kernel) {
      const auto groups = static_cast<int32_t>(i.sizes[1]);
      const Buffer src = i.random(i.sizes, 1, i.strides);
      const Buffer weight = i.random(i.filters(), 2);
      const Buffer dst(i.dtype, i.sizes, i.strides);
      const polyops_convolution_args args = {sizeof args,   groups,   window_of(i.taps), src.view(),
                                             weight.view(), absent(), dst.view()};
      return run(kernel, args, {&dst});
    });
  }
  return all;
}

Calls convolution_backward() {
  Calls all = {"convolution_backward", {}};
  for (const Planes& i : kPlanes) {
    all.calls.push_back([i](const polyops_kernel& kernel) {
      const auto groups = static_cast<int32_t>(i.sizes[1]);
      const Buffer grad = i.random(i.sizes, 1, i.strides), src = i.random(i.sizes, 2, i.strides);
      const Buffer weight = i.random(i.filters(), 3);
      const Buffer grad_src(i.dtype, i.sizes, i.strides);
      const Buffer grad_weight(i.dtype, i.filters());
      const Buffer grad_bias(i.dtype, {groups});
      const polyops_convolution_backward_args args = {
          sizeof args,   groups,          window_of(i.taps),  grad.view(),     src.view(),
          weight.view(), grad_src.view(), grad_weight.view(), grad_bias.view()};
      return run(kernel, args, {&grad_src, &grad_weight, &grad_bias});
    });
  }
  return all;
}

}  // namespace
}  // namespace polyops::testing

#endif  // POLYOPS_TESTS_SIMT_MUTATION_IMAGES_H_
