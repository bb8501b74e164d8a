// Calls that reach every barrier of upsampling.
#ifndef POLYOPS_TESTS_SIMT_MUTATION_UPSAMPLE_H_
#define POLYOPS_TESTS_SIMT_MUTATION_UPSAMPLE_H_

#include "mutation_case.h"
#include "polyops/ops/upsample.h"

namespace polyops::testing {
namespace {

struct Upsampled {
  Sizes small, large;
  int32_t dtype = POLYOPS_FLOAT32, align_corners = 0;
};
// Several planes to a block and several waves; more rows than a table has; more than wait for
// others; rows of steps of an eighth that begin anywhere.
const std::vector<Upsampled> kUpsampled = {{{4, 5, 9, 40}, {4, 5, 19, 80}},
                                           {{1, 2, 40, 3}, {1, 2, 141, 16}},
                                           {{1, 3, 9, 12}, {1, 3, 61, 75}},
                                           {{1, 2, 9, 12}, {1, 2, 72, 96}},
                                           {{1, 2, 9, 5}, {1, 2, 65, 33}, POLYOPS_BFLOAT16, 1}};

Calls upsample(const char* op) {
  Calls all = {op, {}};
  for (const Upsampled& u : kUpsampled) {
    all.calls.push_back([u](const polyops_kernel& kernel) {
      Buffer src(u.dtype, u.small);
      const Buffer dst(u.dtype, u.large);
      src.fill_normal(1);
      polyops_upsample_args args = {};
      args.struct_size = sizeof args;
      args.align_corners = u.align_corners;
      args.src = src.view();
      args.dst = dst.view();
      return run(kernel, args, {&dst});
    });
  }
  return all;
}

Calls upsample_backward(const char* op) {
  Calls all = {op, {}};
  for (const Upsampled& u : kUpsampled) {
    all.calls.push_back([u](const polyops_kernel& kernel) {
      Buffer grad(u.dtype, u.large);
      const Buffer result(u.dtype, u.small);
      grad.fill_normal(1);
      polyops_upsample_backward_args args = {};
      args.struct_size = sizeof args;
      args.align_corners = u.align_corners;
      args.grad_dst = grad.view();
      args.grad_src = result.view();
      return run(kernel, args, {&result});
    });
  }
  return all;
}

Calls upsample_bilinear2d() { return upsample("upsample_bilinear2d"); }
Calls upsample_bicubic2d() { return upsample("upsample_bicubic2d"); }
Calls upsample_bilinear2d_backward() { return upsample_backward("upsample_bilinear2d_backward"); }
Calls upsample_bicubic2d_backward() { return upsample_backward("upsample_bicubic2d_backward"); }

}  // namespace
}  // namespace polyops::testing

#endif  // POLYOPS_TESTS_SIMT_MUTATION_UPSAMPLE_H_
