// Calls on many threads while the registry is reconfigured under them. Meant for ThreadSanitizer,
// and of use without: what a call gets must make sense at any moment.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <thread>

#include "fakes.h"
#include "stats.h"

namespace polyops::testing {
namespace {

std::atomic<int> probes{0};
int counting_probe(char*, size_t) {
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  return ++probes;
}

// Starts the threads together and joins them.
void run_together(int count, const std::function<void(int)>& body) {
  std::atomic<int> ready{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < count; ++t) {
    threads.emplace_back([&, t] {
      ++ready;
      while (ready < count) std::this_thread::yield();
      body(t);
    });
  }
  for (std::thread& t : threads) t.join();
}

TEST(Threads, ADeviceIsProbedOnceAndReadyForAll) {
  probes = 0;
  FakeBackend gpu({fake_kernel("relu", "on_gpu")}, "gpu", "gpu");
  gpu.table.probe = counting_probe;
  Recorded r;
  r.registry.add(&gpu.table);
  OpTable& table = r.registry.table("gpu", "relu");
  std::atomic<int> served{0};
  run_together(8, [&](int) {
    r.registry.ensure_probed("gpu");
    served += !table.candidates().empty();
  });
  EXPECT_EQ(probes, 1);
  EXPECT_EQ(served, 8);
}

TEST(Threads, DevicesAppearWhileOthersAreCalled) {
  static const std::vector<std::string> devices = [] {
    std::vector<std::string> names;
    for (int i = 0; i < 50; ++i) names.push_back("device" + std::to_string(i));
    return names;
  }();
  FakeBackend gpu({fake_kernel("relu", "on_gpu")}, "gpu", "gpu");
  Recorded r;
  r.registry.add(&gpu.table);
  run_together(3, [&](int t) {
    for (const std::string& device : devices) {
      if (t == 0) {
        r.registry.table(device, "relu");
      } else {
        for (int i = 0; i < 20; ++i) r.registry.ensure_probed(i % 2 == 0 ? "gpu" : device);
      }
    }
  });
  EXPECT_EQ(r.candidates("relu", "gpu"), Names{"on_gpu"});
}

// Warnings reach Python, which may wait for a lock that another thread holds while it asks the
// registry; so no lock of the registry may be held meanwhile.
TEST(Threads, AWarningMayWaitForAThreadThatUsesTheRegistry) {
  FakeBackend bad({fake_kernel("relu", "bad")}, "gpu", "bad");
  bad.table.probe = [](char*, size_t) { return 0; };
  std::vector<std::thread> threads;
  int answered = 0;
  Registry* registry = nullptr;
  Registry own([&](const std::string&) {
    auto done = std::make_shared<std::promise<void>>();
    threads.emplace_back([&, done] {
      registry->families();
      done->set_value();
    });
    answered += done->get_future().wait_for(std::chrono::seconds(2)) == std::future_status::ready;
  });
  registry = &own;
  own.load("/nowhere/libpolyops_gone.so");
  own.add(nullptr);
  own.add(&bad.table);
  own.ensure_probed("gpu");
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(answered, 3);
}

class Stress : public ::testing::Test {
 protected:
  static constexpr int kCallers = 3, kCalls = 20000, kRounds = 150;

  Stress() {
    reset_stats();
    r_.registry.add(&backend_.table);
    r_.registry.add(&gpu_.table);
    table_ = &r_.registry.table("cpu", "relu");
  }

  // One call as a wrapped overload makes it, with a launch that declines now and then.
  void call(int i) {
    if (!enabled_.load(std::memory_order_relaxed)) {
      count_declined(relu_, "disabled");
      return;
    }
    r_.registry.ensure_probed("gpu");
    const auto args = relu_args(1 + i % 5000);
    Choice choice = select(*table_, &args, 1 + i % 4);
    if (choice.candidate != nullptr && i % 16 == 0) {
      choice = select(*table_, &args, 1, choice.candidate);
    }
    if (choice.candidate == nullptr) {
      count_declined(relu_, choice.reason);
    } else {
      count_hit(relu_, choice.candidate->kernel->name);
    }
  }

  void reconfigure(int round) {
    r_.registry.force("relu", round % 3 == 0 ? "relu__b" : "");
    r_.registry.set_gate(round % 2 == 0);
    enabled_.store(round % 5 != 0, std::memory_order_relaxed);
    r_.registry.add_gate("fake_chip", "relu__a", 1, "float32", "contiguous", {1 + round * 30},
                         round % 4 == 0 ? 2.0f : 0.5f);
    r_.registry.commit_gates();
    if (round == kRounds / 2) r_.registry.add(&late_.table);
  }

  void ask() {
    r_.registry.families();
    r_.registry.kernels();
    for (int i = 0; i < 100; ++i) r_.registry.gate();
    r_.registry.gate_state(r_.registry.families()[0]);
    read_stats();
  }

  FakeBackend backend_{{fake_kernel("relu", "relu__a"),
                        fake_kernel("relu", "relu__never", never_dtype),
                        fake_kernel("relu", "relu__b")}};
  FakeBackend gpu_{{fake_kernel("relu", "relu__gpu")}, "gpu", "gpu"};
  FakeBackend late_{{fake_kernel("relu", "relu__late")}, "cpu", "late"};
  Recorded r_;
  OpTable* table_ = nullptr;
  std::atomic<bool> enabled_{true};
  const int relu_ = public_op_index("relu");
};

TEST_F(Stress, CallsWhileTablesGatesAndFlagsChange) {
  run_together(kCallers + 2, [&](int t) {
    if (t == kCallers) {
      for (int round = 0; round < kRounds; ++round) reconfigure(round);
    } else if (t == kCallers + 1) {
      for (int round = 0; round < kRounds; ++round) ask();
    } else {
      for (int i = 0; i < kCalls; ++i) call(i);
    }
  });
  const OpStats stats = read_stats().at("relu");
  uint64_t total = stats.hits;
  for (const auto& [reason, count] : stats.declined) total += count;
  EXPECT_EQ(total, uint64_t{kCallers} * kCalls);
  for (const auto& [kernel, count] : stats.kernels) {
    EXPECT_TRUE(kernel == "relu__a" || kernel == "relu__b" || kernel == "relu__late") << kernel;
  }
  EXPECT_EQ(r_.candidates("relu"), (Names{"relu__a", "relu__never", "relu__b", "relu__late"}));
  EXPECT_EQ(r_.warnings, Names{});
}

}  // namespace
}  // namespace polyops::testing
