// Proves that the harness would notice: with each barrier of each op left out in turn, one of the
// ways of running lanes must give another result or an error.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "mutation_case.h"
#include "mutation_norms.h"
#include "polyops/ops/layer_norm.h"
#include "polyops/ops/softmax.h"

namespace polyops::testing {
namespace {

template <class Function>
Function* symbol(const char* name) {
  void* library = dlopen(POLYOPS_FAMILY_LIBRARY, RTLD_NOW | RTLD_LOCAL);
  return reinterpret_cast<Function*>(dlsym(library, name));
}

std::set<std::string> barriers() {
  static auto* const name_of = symbol<const char*(int)>("polyops_simt_barrier");
  std::set<std::string> names;
  for (int i = 0; name_of(i) != nullptr; ++i) names.insert(name_of(i));
  return names;
}

void skip(const std::string& barrier) {
  static auto* const skip_barrier = symbol<void(const char*)>("polyops_simt_skip_barrier");
  skip_barrier(barrier.c_str());
}

// Rows of every length class, columns, and rows with gaps.
struct Shape {
  Sizes sizes;
  int dim;
  Sizes strides = {};
};
const std::vector<Shape> kShapes = {{{5, 33}, 1},     {{3, 300}, 1},        {{3, 1025}, 1},
                                    {{2, 5000}, 1},   {{2, 20001}, 1},      {{2, 50000}, 1},
                                    {{1, 140001}, 1}, {{2, 700, 40}, 1},    {{1, 5000, 9}, 1},
                                    {{30, 70}, 0},    {{3, 500}, 1, {1, 3}}};

Calls softmax_of(const char* op) {
  Calls all = {op, {}};
  for (const Shape& s : kShapes) {
    all.calls.push_back([s](const polyops_kernel& kernel) {
      const Buffer src = random(s.sizes, 1, s.strides), dst(POLYOPS_FLOAT32, s.sizes);
      return run(kernel,
                 polyops_softmax_args{sizeof(polyops_softmax_args), s.dim, src.view(), dst.view()},
                 {&dst});
    });
  }
  return all;
}

Calls softmax_backward_of(const char* op) {
  Calls all = {op, {}};
  for (const Shape& s : kShapes) {
    all.calls.push_back([s](const polyops_kernel& kernel) {
      const Buffer grad = random(s.sizes, 1, s.strides), dst = random(s.sizes, 2);
      const Buffer result(POLYOPS_FLOAT32, s.sizes);
      return run(kernel,
                 polyops_softmax_backward_args{sizeof(polyops_softmax_backward_args), s.dim,
                                               grad.view(), dst.view(), result.view()},
                 {&result});
    });
  }
  return all;
}

Calls softmax() { return softmax_of("softmax"); }
Calls softmax_backward() { return softmax_backward_of("softmax_backward"); }
Calls log_softmax() { return softmax_of("log_softmax"); }
Calls log_softmax_backward() { return softmax_backward_of("log_softmax_backward"); }

const std::vector<Sizes> kRows = {{40, 33}, {9, 300}, {9, 1025}, {7, 5000}, {3, 20001}, {2, 70001}};

Calls layer_norm() {
  Calls all = {"layer_norm", {}};
  for (const Sizes& sizes : kRows) {
    all.calls.push_back([sizes](const polyops_kernel& kernel) {
      const Buffer src = random(sizes, 1), weight = random({sizes[1]}, 2),
                   bias = random({sizes[1]}, 3);
      const Buffer dst(POLYOPS_FLOAT32, sizes), mean(POLYOPS_FLOAT32, {sizes[0], 1});
      const Buffer rstd(POLYOPS_FLOAT32, {sizes[0], 1});
      const polyops_layer_norm_args args = {sizeof args,   1,           1e-5,       src.view(),
                                            weight.view(), bias.view(), dst.view(), mean.view(),
                                            rstd.view()};
      return run(kernel, args, {&dst, &mean, &rstd});
    });
  }
  return all;
}

Calls layer_norm_backward() {
  Calls all = {"layer_norm_backward", {}};
  for (const Sizes& sizes : kRows) {
    all.calls.push_back([sizes](const polyops_kernel& kernel) {
      const Buffer grad = random(sizes, 1), src = random(sizes, 2), weight = random({sizes[1]}, 3);
      const Buffer mean = random({sizes[0], 1}, 4), rstd = random({sizes[0], 1}, 5);
      const Buffer grad_src(POLYOPS_FLOAT32, sizes);
      const Buffer grad_weight(POLYOPS_FLOAT32, {sizes[1]}), grad_bias(POLYOPS_FLOAT32, {sizes[1]});
      const polyops_layer_norm_backward_args args = {sizeof args,        1,
                                                     grad.view(),        src.view(),
                                                     mean.view(),        rstd.view(),
                                                     weight.view(),      grad_src.view(),
                                                     grad_weight.view(), grad_bias.view()};
      return run(kernel, args, {&grad_src, &grad_weight, &grad_bias});
    });
  }
  return all;
}

std::vector<Result> results(const Calls& all) {
  std::vector<Result> found;
  for (const polyops_kernel* kernel : kernels_of(all.op)) {
    for (const Call& call : all.calls) found.push_back(call(*kernel));
  }
  return found;
}

// Whether any call differs, the first that does ending it.
bool notices(const Calls& all, const std::vector<Result>& right) {
  size_t index = 0;
  for (const polyops_kernel* kernel : kernels_of(all.op)) {
    for (const Call& call : all.calls) {
      if (!(call(*kernel) == right[index++])) return true;
    }
  }
  return false;
}

class Mutation : public ::testing::TestWithParam<Calls (*)()> {};

TEST_P(Mutation, NoBarrierCanBeLeftOut) {
  const Calls all = GetParam()();
  symbol<void()>("polyops_simt_forget_barriers")();
  const std::vector<Result> right = results(all);
  for (const Result& result : right) ASSERT_NE(result.status, POLYOPS_ERROR) << last_error();
  const std::set<std::string> own = barriers();
  ASSERT_FALSE(own.empty());
  for (const std::string& barrier : own) {
    skip(barrier);
    EXPECT_TRUE(notices(all, right)) << all.op << " does not need the barrier at " << barrier;
  }
  skip("");
}

INSTANTIATE_TEST_SUITE_P(Ops, Mutation,
                         ::testing::Values(softmax, softmax_backward, log_softmax,
                                           log_softmax_backward, layer_norm, layer_norm_backward,
                                           group_norm, group_norm_backward, batch_norm,
                                           batch_norm_backward),
                         [](const auto& info) { return std::string(info.param().op); });

}  // namespace
}  // namespace polyops::testing
