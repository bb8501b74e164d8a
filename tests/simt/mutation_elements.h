// Calls that reach every barrier of elementwise ops.
#ifndef POLYOPS_TESTS_SIMT_MUTATION_ELEMENTS_H_
#define POLYOPS_TESTS_SIMT_MUTATION_ELEMENTS_H_

#include "mutation_case.h"
#include "polyops/ops/relu.h"

namespace polyops::testing {
namespace {

// A gradient in another order than src: of whole packs, and not.
Calls relu_backward() {
  Calls all = {"relu_backward", {}};
  for (const Sizes& sizes : {Sizes{300, 260}, Sizes{301, 259}}) {
    all.calls.push_back([sizes](const polyops_kernel& kernel) {
      const Buffer grad = random(sizes, 1), src = random(sizes, 2, {1, sizes[0]});
      const Buffer result(POLYOPS_FLOAT32, sizes);
      return run(kernel,
                 polyops_relu_backward_args{sizeof(polyops_relu_backward_args), 0, 0.25,
                                            grad.view(), src.view(), result.view()},
                 {&result});
    });
  }
  return all;
}

}  // namespace
}  // namespace polyops::testing

#endif  // POLYOPS_TESTS_SIMT_MUTATION_ELEMENTS_H_
