// Counters over threads, resets, the trace and the log.
#include "stats.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "fakes.h"

namespace polyops::testing {
namespace {

class Stats : public ::testing::Test {
 protected:
  void SetUp() override { reset_stats(); }
  static OpStats of(const char* op) { return read_stats().at(op); }

  const int mm_ = public_op_index("mm");
  const int relu_ = public_op_index("relu");
};

TEST_F(Stats, ListEveryOp) {
  const auto stats = read_stats();
  EXPECT_EQ(stats.size(), public_ops().size());
  for (const PublicOp& op : public_ops()) {
    EXPECT_EQ(stats.at(op.name).hits, 0u) << op.name;
    EXPECT_TRUE(stats.at(op.name).kernels.empty() && stats.at(op.name).declined.empty());
  }
}

TEST_F(Stats, CountHitsAndReasonsPerOp) {
  count_hit(mm_, "gemm_a");
  count_hit(mm_, "gemm_b");
  count_hit(mm_, "gemm_a");
  count_declined(mm_, "dtype");
  count_declined(relu_, "dtype");
  count_declined(relu_, "dtype");
  EXPECT_EQ(of("mm").hits, 3u);
  EXPECT_EQ(of("mm").kernels, (std::map<std::string, uint64_t>{{"gemm_a", 2}, {"gemm_b", 1}}));
  EXPECT_EQ(of("mm").declined, (std::map<std::string, uint64_t>{{"dtype", 1}}));
  EXPECT_EQ(of("relu").hits, 0u);
  EXPECT_EQ(of("relu").declined, (std::map<std::string, uint64_t>{{"dtype", 2}}));
  EXPECT_EQ(of("softmax").hits, 0u);
}

TEST_F(Stats, EqualNamesAtDifferentPlacesAreOne) {
  const std::string one = "same", two = "same";
  static const std::string kept[] = {one, two};  // counters keep pointers
  for (const std::string& name : kept) count_declined(mm_, name.c_str());
  EXPECT_EQ(of("mm").declined, (std::map<std::string, uint64_t>{{"same", 2}}));
}

TEST_F(Stats, TakeAnyNumberOfNames) {
  static const auto* names = [] {
    auto* all = new std::vector<std::string>;
    for (int i = 0; i < 50; ++i) all->push_back("name" + std::to_string(i));
    return all;
  }();
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 50; ++i) {
      for (int k = 0; k <= i % 3; ++k) count_hit(mm_, (*names)[i].c_str());
    }
  }
  const OpStats stats = of("mm");
  ASSERT_EQ(stats.kernels.size(), 50u);
  uint64_t total = 0;
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(stats.kernels.at((*names)[i]), 3u * (i % 3 + 1));
    total += 3u * (i % 3 + 1);
  }
  EXPECT_EQ(stats.hits, total);
}

TEST_F(Stats, SumLiveAndEndedThreads) {
  count_hit(mm_, "k");
  std::thread ended([&] {
    for (int i = 0; i < 10; ++i) count_hit(mm_, "k");
    count_declined(mm_, "why");
  });
  ended.join();
  std::atomic<bool> counted{false}, finish{false};
  std::thread live([&] {
    for (int i = 0; i < 100; ++i) count_hit(mm_, "k");
    counted = true;
    while (!finish) std::this_thread::yield();
  });
  while (!counted) std::this_thread::yield();
  EXPECT_EQ(of("mm").hits, 111u);
  EXPECT_EQ(of("mm").declined.at("why"), 1u);
  finish = true;
  live.join();
  EXPECT_EQ(of("mm").hits, 111u);
}

TEST_F(Stats, ResetForgetsLiveAndEndedThreads) {
  std::thread([&] { count_hit(mm_, "k"); }).join();
  count_hit(mm_, "k");
  count_declined(mm_, "why");
  reset_stats();
  EXPECT_EQ(of("mm").hits, 0u);
  EXPECT_TRUE(of("mm").kernels.empty());
  EXPECT_TRUE(of("mm").declined.empty());
  count_hit(mm_, "k");
  EXPECT_EQ(of("mm").kernels.at("k"), 1u);
}

// Destroyed after the counters of its thread, if it is made before them.
struct CountsWhenDestroyed {
  ~CountsWhenDestroyed() { count_hit(public_op_index("mm"), "late"); }
};

TEST_F(Stats, CallsWhileAThreadEndsAreCounted) {
  std::thread([&] {
    thread_local CountsWhenDestroyed late;
    [[maybe_unused]] const CountsWhenDestroyed* make_it_now = &late;
    count_hit(mm_, "early");
  }).join();
  EXPECT_EQ(of("mm").kernels, (std::map<std::string, uint64_t>{{"early", 1}, {"late", 1}}));
  reset_stats();
  EXPECT_EQ(of("mm").hits, 0u);
}

TEST_F(Stats, ReadersSeeCountsGrowWhileThreadsCountAndEnd) {
  constexpr int kThreads = 4, kCalls = 3000;
  static const char* const kNames[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"};
  std::atomic<int> running{kThreads};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kCalls; ++i) {
        count_hit(mm_, kNames[i % 10]);
        count_declined(relu_, kNames[i % 10]);
      }
      --running;
    });
  }
  uint64_t last = 0;
  while (running > 0) {
    const uint64_t now = of("mm").hits;
    EXPECT_GE(now, last);
    last = now;
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(of("mm").hits, uint64_t{kThreads} * kCalls);
  EXPECT_EQ(of("mm").kernels.at("j"), uint64_t{kThreads} * kCalls / 10);
  EXPECT_EQ(of("relu").declined.at("a"), uint64_t{kThreads} * kCalls / 10);
}

Event hit(const char* overload, const char* kernel) { return {overload, kernel, nullptr, {}, 2}; }

TEST(Trace, RecordsBetweenStartAndStop) {
  EXPECT_FALSE(observed());
  start_trace();
  EXPECT_TRUE(observed());
  observe(hit("aten::mm", "gemm_a"));
  std::thread([] { observe({"aten::relu", nullptr, "dtype", {}, 0}); }).join();
  const std::vector<Event> events = stop_trace();
  EXPECT_FALSE(observed());
  ASSERT_EQ(events.size(), 2u);
  EXPECT_STREQ(events[0].overload, "aten::mm");
  EXPECT_STREQ(events[0].kernel, "gemm_a");
  EXPECT_EQ(events[0].reason, nullptr);
  EXPECT_EQ(events[0].threads, 2);
  EXPECT_EQ(events[1].kernel, nullptr);
  EXPECT_STREQ(events[1].reason, "dtype");
}

TEST(Trace, ForgetsWhatCameBefore) {
  start_trace();
  observe(hit("aten::mm", "one"));
  start_trace();
  observe(hit("aten::mm", "two"));
  EXPECT_EQ(stop_trace().size(), 1u);
  observe(hit("aten::mm", "three"));
  EXPECT_TRUE(stop_trace().empty());
}

TEST(Log, WritesOneLinePerCall) {
  ::testing::internal::CaptureStderr();
  observe(hit("aten::mm", "before"));
  set_log(true);
  EXPECT_TRUE(observed());
  observe(hit("aten::mm", "gemm_a"));
  observe({"aten::relu", nullptr, "gate: not faster", {}, 0});
  set_log(false);
  EXPECT_FALSE(observed());
  observe(hit("aten::mm", "after"));
  EXPECT_EQ(::testing::internal::GetCapturedStderr(),
            "polyops: aten::mm -> gemm_a\n"
            "polyops: aten::relu -> stock: gate: not faster\n");
}

}  // namespace
}  // namespace polyops::testing
