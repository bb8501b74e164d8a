// Proves that the harness would notice: with each barrier of each op left out in turn, one of the
// ways of running lanes must give another result or an error.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>
#include <string>
#include <vector>

#include "kernels/harness.h"
#include "mutation_case.h"
#include "mutation_channels.h"
#include "mutation_elements.h"
#include "mutation_images.h"
#include "mutation_index.h"
#include "mutation_pools.h"
#include "mutation_rows.h"
#include "mutation_upsample.h"

namespace polyops::testing {
namespace {

template <class Function>
Function* symbol(const char* name) {
  void* library = dlopen(family_library(), RTLD_NOW | RTLD_LOCAL);
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

std::vector<Result> results(const Calls& all) {
  std::vector<Result> found;
  for (const polyops_kernel* kernel : kernels_of(all.op)) {
    for (const Call& call : all.calls) found.push_back(call(*kernel));
  }
  return found;
}

// Whether any call differs, the first that does ending it. Where shared memory begins as NaN, or as
// another number: a kernel may compute again what is NaN.
bool notices(const Calls& all, const std::vector<Result>& right) {
  for (int byte : {0xff, 0x3c}) {
    symbol<void(int)>("polyops_simt_fill_shared")(byte);
    size_t index = 0;
    for (const polyops_kernel* kernel : kernels_of(all.op)) {
      for (const Call& call : all.calls) {
        if (!(call(*kernel) == right[index++])) return true;
      }
    }
  }
  return false;
}

// The same in a process of its own, where a crash, or that it takes minutes, is noticed too: a
// kernel that has its addresses from shared memory then goes anywhere.
bool notices_apart(const Calls& all, const std::vector<Result>& right) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(120);
    _exit(notices(all, right) ? 1 : 0);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
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
    EXPECT_TRUE(notices_apart(all, right)) << all.op << " does not need the barrier at " << barrier;
  }
  skip("");
}

INSTANTIATE_TEST_SUITE_P(
    Ops, Mutation,
    ::testing::Values(softmax, softmax_backward, log_softmax, log_softmax_backward, layer_norm,
                      layer_norm_backward, rms_norm, rms_norm_backward, nll_loss, nll_loss_backward,
                      cross_entropy, cross_entropy_backward, copy, sum, argmax, var, cumsum,
                      embedding_backward, gather, index_add, convolution, convolution_backward,
                      group_norm, group_norm_backward, batch_norm, batch_norm_backward, avg_pool2d,
                      avg_pool2d_backward, avg_pool3d, max_pool2d, max_pool2d_backward, max_pool3d,
                      max_pool3d_backward, adaptive_max_pool2d, adaptive_max_pool2d_backward,
                      upsample_bilinear2d, upsample_bilinear2d_backward, upsample_bicubic2d,
                      upsample_bicubic2d_backward, scatter_add, relu_backward),
    [](const auto& info) { return std::string(info.param().op); });

}  // namespace
}  // namespace polyops::testing
