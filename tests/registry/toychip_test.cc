// The out-of-tree chip of tests/plugin, loaded like any family and run on real threads.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <random>
#include <thread>

#include "fakes.h"
#include "loader.h"
#include "polyops/ops/softmax.h"

namespace polyops::testing {
namespace {

// Splits [0, n) over ctx->num_threads threads, each range at least grain long but for the last.
void parallel_for(const polyops_context* ctx, int64_t n, int64_t grain, polyops_range_fn fn,
                  void* user) {
  const int64_t step = std::max(grain, (n + ctx->num_threads - 1) / ctx->num_threads);
  std::vector<std::thread> threads;
  int32_t id = 0;
  for (int64_t begin = 0; begin < n; begin += step, ++id) {
    threads.emplace_back(fn, user, begin, std::min(n, begin + step), id);
  }
  for (std::thread& t : threads) t.join();
}

class Toychip : public ::testing::Test {
 protected:
  Toychip() { family_ = &r_.registry.load(POLYOPS_TOYCHIP); }

  // Selects and launches like bindings/; the name of the kernel that ran, or the reason.
  std::string run(const std::string& op, const void* args, int threads) {
    const Choice choice = select(r_.registry.table("cpu", op), args, threads);
    if (choice.candidate == nullptr) return choice.reason;
    const polyops_kernel& kernel = *choice.candidate->kernel;
    const size_t bytes = kernel.scratch_bytes == nullptr ? 0 : kernel.scratch_bytes(args, threads);
    std::vector<float> scratch(bytes / sizeof(float));
    const polyops_context context = {sizeof(polyops_context), 0,           0, threads, nullptr,
                                     scratch.data(),          parallel_for};
    return kernel.launch(args, &context) == POLYOPS_OK ? kernel.name : "failed";
  }

  Recorded r_;
  const Family* family_ = nullptr;
};

std::vector<float> normal(size_t n) {
  std::mt19937 generator(1);
  std::normal_distribution<float> distribution;
  std::vector<float> values(n);
  for (float& v : values) v = distribution(generator);
  return values;
}

TEST_F(Toychip, IsLoadedAsWhatItSays) {
  ASSERT_EQ(family_->state, Family::State::kLoaded) << family_->reason;
  EXPECT_EQ(family_->name, "toychip");
  EXPECT_EQ(family_->device, "cpu");
  EXPECT_STREQ(family_->backend->chip(), "toychip_v1");
  EXPECT_EQ(r_.candidates("softmax"), Names{"softmax__toychip"});
  EXPECT_EQ(r_.candidates("relu"), Names{"relu__toychip"});
  EXPECT_EQ(r_.warnings, Names{});
}

TEST_F(Toychip, RunsBesideTheCpuFamily) {
  const Family& cpu = r_.registry.load(POLYOPS_CPU_LIBRARY);
  ASSERT_EQ(cpu.state, Family::State::kLoaded) << cpu.reason;
  EXPECT_EQ(r_.candidates("softmax")[0], "softmax__toychip");
}

TEST_F(Toychip, IsGatedUntilMeasured) {
  const auto args = relu_args(10);
  EXPECT_EQ(run("relu", &args, 1), "gate: not measured");
  r_.registry.add_gate("toychip_v1", "relu__toychip", 1, "float32", "contiguous", {10}, 1.2f);
  r_.registry.commit_gates();
  EXPECT_NE(select(r_.registry.table("cpu", "relu"), &args, 1).candidate, nullptr);
}

TEST_F(Toychip, ComputesSoftmaxAlongEveryDimension) {
  r_.registry.set_gate(false);
  const std::vector<int64_t> sizes = {7, 33, 40};
  const std::vector<float> src = normal(7 * 33 * 40);
  for (const int threads : {1, 3}) {
    for (int dim = 0; dim < 3; ++dim) {
      std::vector<float> dst(src.size(), -1);
      polyops_softmax_args args = {sizeof args, dim, contiguous(sizes), contiguous(sizes)};
      args.src.data = const_cast<float*>(src.data());
      args.dst.data = dst.data();
      ASSERT_EQ(run("softmax", &args, threads), "softmax__toychip");
      const int64_t len = sizes[dim], inner = args.src.strides[dim];
      for (size_t i = 0; i < src.size(); ++i) {
        const size_t first = i / (len * inner) * (len * inner) + i % inner;
        double sum = 0;
        for (int64_t k = 0; k < len; ++k) sum += std::exp(double{src[first + k * inner]});
        ASSERT_NEAR(dst[i], std::exp(double{src[i]}) / sum, 1e-6) << "dim " << dim << ", at " << i;
      }
    }
  }
}

TEST_F(Toychip, ComputesReluInPlace) {
  r_.registry.force("relu", "relu__toychip");
  std::vector<float> values = normal(10000);
  values[17] = std::nanf("");
  const std::vector<float> before = values;
  polyops_relu_args args = relu_args(10000);
  args.src.data = args.dst.data = values.data();
  ASSERT_EQ(run("relu", &args, 3), "relu__toychip");
  EXPECT_TRUE(std::isnan(values[17]));
  for (size_t i = 0; i < values.size(); ++i) {
    if (i == 17) continue;
    ASSERT_EQ(values[i], std::max(before[i], 0.0f)) << i;
  }
}

TEST_F(Toychip, DeclinesWhatItDoesNotKnow) {
  r_.registry.set_gate(false);
  polyops_relu_args args = relu_args(10, POLYOPS_BFLOAT16);
  EXPECT_EQ(run("relu", &args, 1), "dtype");
  args = relu_args(10);
  args.src.strides[0] = 2;
  EXPECT_EQ(run("relu", &args, 1), "layout");
  EXPECT_EQ(run("gelu", &args, 1), "no kernel");
}

TEST_F(Toychip, LeavesTheTextOfAnErrorToItsThread) {
  const polyops_kernel& kernel = *r_.registry.kernels()[1].kernel;
  const auto args = relu_args(10);
  polyops_context context = {};
  context.struct_size = sizeof context - 8;
  EXPECT_EQ(kernel.launch(&args, &context), POLYOPS_ERROR);
  EXPECT_EQ(last_error(), "toychip: the context is shorter than the one it was built for");
  std::thread([] { EXPECT_EQ(last_error(), ""); }).join();
}

TEST_F(Toychip, ASecondTimeItsKernelsExistAlready) {
  r_.registry.load(POLYOPS_TOYCHIP);
  ASSERT_EQ(r_.warnings.size(), 1u);
  EXPECT_TRUE(
      contains(r_.warnings[0], "kernel softmax__toychip exists already, in family toychip"));
  EXPECT_EQ(r_.candidates("softmax"), Names{"softmax__toychip"});
}

}  // namespace
}  // namespace polyops::testing
