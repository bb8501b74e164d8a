// Calls that reach every barrier of upsampling.
#ifndef POLYOPS_TESTS_SIMT_MUTATION_UPSAMPLE_H_
#define POLYOPS_TESTS_SIMT_MUTATION_UPSAMPLE_H_

#include "mutation_case.h"
#include "polyops/ops/upsample.h"

namespace polyops::testing {
namespace {

// Several planes to a block and several waves; more rows than a table has; more than wait for
// others.
const std::vector<std::pair<Sizes, Sizes>> kUpsampled = {{{4, 5, 9, 40}, {4, 5, 19, 80}},
                                                         {{1, 2, 40, 3}, {1, 2, 141, 16}},
                                                         {{1, 3, 9, 12}, {1, 3, 61, 75}},
                                                         {{1, 2, 9, 12}, {1, 2, 72, 96}}};

Calls upsample(const char* op) {
  Calls all = {op, {}};
  for (const auto& [small, large] : kUpsampled) {
    all.calls.push_back([small, large](const polyops_kernel& kernel) {
      const Buffer src = random(small, 1), dst(POLYOPS_FLOAT32, large);
      polyops_upsample_args args = {};
      args.struct_size = sizeof args;
      args.src = src.view();
      args.dst = dst.view();
      return run(kernel, args, {&dst});
    });
  }
  return all;
}

Calls upsample_backward(const char* op) {
  Calls all = {op, {}};
  for (const auto& [small, large] : kUpsampled) {
    all.calls.push_back([small, large](const polyops_kernel& kernel) {
      const Buffer grad = random(large, 1), result(POLYOPS_FLOAT32, small);
      polyops_upsample_backward_args args = {};
      args.struct_size = sizeof args;
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
