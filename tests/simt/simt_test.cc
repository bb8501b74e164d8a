// The harness itself: lanes get what a GPU would give them, and what a GPU leaves undefined is
// found.
#include "simt.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "together.h"

namespace simt {
namespace {

const std::vector<Order> kOrders = {{32, false}, {32, true}, {64, false}, {64, true}};

void pass_barrier(const std::source_location& where = std::source_location::current()) {
  barrier(where);
}

// What run() throws, or "".
std::string failure(const Order& order, int threads, const std::function<void()>& lane,
                    size_t dynamic_bytes = 0, int64_t blocks = 1) {
  try {
    run(order, blocks, threads, dynamic_bytes, lane);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

// The same of a cluster of two blocks.
std::string failure_of_cluster(const Order& order, const std::function<void()>& lane) {
  try {
    run(order, 2, 64, 0, lane, 2);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(Simt, RunsEveryLaneOfEveryBlockOnce) {
  for (const Order& order : kOrders) {
    std::multiset<std::pair<int64_t, int>> seen;
    run(order, 3, 128, 0, [&] {
      EXPECT_EQ(grid_blocks(), 3);
      EXPECT_EQ(block_threads(), 128);
      EXPECT_EQ(wave_size(), order.wave);
      seen.insert({block_id(), thread_id()});
    });
    EXPECT_EQ(seen.size(), 3u * 128);
    for (const auto& lane : seen) EXPECT_EQ(seen.count(lane), 1u);
  }
}

TEST(Simt, LanesRunInTheOrderAskedFor) {
  for (const Order& order : kOrders) {
    std::vector<int> ran;
    run(order, 1, 64, 0, [&] { ran.push_back(thread_id()); });
    EXPECT_EQ(ran.front(), order.reversed ? 63 : 0);
    EXPECT_EQ(ran.back(), order.reversed ? 0 : 63);
  }
}

void pass_cluster_barrier(const std::source_location& where = std::source_location::current()) {
  cluster_barrier(where);
}

float* slot_of_block() {
  static const char tag = 0;
  return static_cast<float*>(shared(&tag, sizeof(float)));
}

void send(int rank, float x) { *static_cast<float*>(in_block(rank, slot_of_block())) = x; }

TEST(Simt, BlocksOfAClusterReachEachOther) {
  for (const Order& order : kOrders) {
    std::map<int64_t, float> got;
    run(
        order, 8, 64, 0,
        [&] {
          slot_of_block();
          pass_cluster_barrier();
          EXPECT_EQ(cluster_blocks(), 4);
          EXPECT_EQ(cluster_rank(), block_id() % 4);
          if (thread_id() == 0) send((cluster_rank() + 1) % 4, static_cast<float>(block_id()));
          pass_cluster_barrier();
          got[block_id()] = *slot_of_block();
        },
        4);
    const std::map<int64_t, float> expected = {{0, 3}, {1, 0}, {2, 1}, {3, 2},
                                               {4, 7}, {5, 4}, {6, 5}, {7, 6}};
    EXPECT_EQ(got, expected);
  }
}

TEST(Simt, WhatAClusterLeavesUndefinedIsFound) {
  for (const Order& order : kOrders) {
    EXPECT_EQ(failure_of_cluster(order, [] { send(1 - cluster_rank(), 1.0f); }),
              "shared memory of a block that has not begun");
    EXPECT_EQ(failure_of_cluster(order, [] { send(2, 1.0f); }), "a block beyond the cluster");
    EXPECT_EQ(failure_of_cluster(order,
                                 [] {
                                   if (cluster_rank() == 0) pass_cluster_barrier();
                                 }),
              "a barrier that only a part of its cluster reaches");
    EXPECT_EQ(failure_of_cluster(order,
                                 [] {
                                   if (thread_id() != 5) pass_cluster_barrier();
                                 }),
              "a barrier that only a part of its cluster reaches");
  }
  EXPECT_THROW(run({32, false}, 3, 64, 0, [] {}, 2), Error);
  EXPECT_THROW(run({32, false}, kMostWhole + 1, 64, 0, [] {}, kMostWhole + 1), Error);
}

TEST(Simt, ShufflesStayWithinTheWave) {
  for (const Order& order : kOrders) {
    for (int mask = 0; mask < order.wave; mask = 2 * mask + 1) {
      run(order, 1, 128, 0, [&] {
        for (int round = 0; round < 3; ++round) {
          EXPECT_EQ(shuffle_xor(static_cast<uint64_t>(thread_id() + round), mask),
                    static_cast<uint64_t>((thread_id() ^ mask) + round));
        }
      });
    }
  }
}

TEST(Simt, LanesKnowWhoHasTheirValue) {
  for (const Order& order : kOrders) {
    run(order, 1, 128, 0, [&] {
      const int lane = thread_id() % order.wave;
      uint64_t third = 0;
      for (int i = lane % 3; i < order.wave; i += 3) third |= uint64_t{1} << i;
      EXPECT_EQ(same_lanes(lane % 3), third);
      EXPECT_EQ(same_lanes(lane), uint64_t{1} << lane);
    });
  }
}

void add_lanes(void* const* lanes) {
  int sum = 0;
  for (int i = 0; i < kTogether; ++i) sum += *static_cast<int*>(lanes[i]);
  for (int i = 0; i < kTogether; ++i) *static_cast<int*>(lanes[i]) = sum;
}
void clear_lanes(void* const* lanes) {
  for (int i = 0; i < kTogether; ++i) *static_cast<int*>(lanes[i]) = 0;
}

TEST(Simt, LanesDoSomethingTogether) {
  for (const Order& order : kOrders) {
    run(order, 1, 128, 0, [&] {
      const int first = thread_id() / kTogether * kTogether;
      int mine = thread_id();
      if (first > 0) together(&mine, add_lanes);  // the first of them not
      EXPECT_EQ(mine, first == 0 ? thread_id() : kTogether * first + kTogether * 31 / 2);
      together(&mine, clear_lanes);
      EXPECT_EQ(mine, 0);
    });
    const auto otherwise = [] {
      int mine = 0;
      together(&mine, thread_id() < 7 ? add_lanes : clear_lanes);
    };
    EXPECT_EQ(failure(order, 128, otherwise), "lanes do different things together");
    const auto some = [] {
      int mine = 0;
      if (thread_id() != 5) together(&mine, add_lanes);
    };
    EXPECT_EQ(failure(order, 128, some), "what lanes do together, only a part of them reaches");
  }
}

void pass_wave_barrier(const std::source_location& where = std::source_location::current()) {
  wave_barrier(where);
}

TEST(Simt, SharedMemoryPassesAWaveBarrier) {
  for (const Order& order : kOrders) {
    run(order, 1, 128, 0, [] {
      static const char tag = 0;
      auto* const lanes = static_cast<int*>(shared(&tag, 128 * sizeof(int)));
      lanes[thread_id()] = thread_id();
      pass_wave_barrier();
      EXPECT_EQ(lanes[thread_id() ^ 1], thread_id() ^ 1);
    });
  }
}

TEST(Simt, SharedMemoryPassesABarrier) {
  for (const Order& order : kOrders) {
    run(order, 2, 256, 0, [&] {
      static const char tag = 0;
      auto* x = static_cast<int*>(shared(&tag, 256 * sizeof(int)));
      x[thread_id()] = thread_id() + static_cast<int>(block_id());
      pass_barrier();
      EXPECT_EQ(x[255 - thread_id()], 255 - thread_id() + block_id());
    });
  }
}

TEST(Simt, SharedMemoryBeginsAsNan) {
  int nans = 0;
  run({32, false}, 2, 32, 64, [&] {
    static const char tag = 0;
    nans += std::isnan(static_cast<float*>(shared(&tag, 32 * sizeof(float)))[thread_id()]);
    nans += std::isnan(static_cast<double*>(dynamic_shared())[thread_id() % 8]);
    pass_barrier();
    static_cast<float*>(shared(&tag, 32 * sizeof(float)))[thread_id()] = 1;
  });
  EXPECT_EQ(nans, 2 * 2 * 32);
}

TEST(Simt, CopiesArriveWhereTheyAreWaitedFor) {
  alignas(16) static const float from[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  for (const Order& order : kOrders) {
    run(order, 2, 64, 0, [] {
      static const char tag = 0;
      float* const mine =
          static_cast<float*>(shared(&tag, 64 * 8 * sizeof(float))) + thread_id() * 8;
      copy_later(mine, from, 16);
      close_copies();
      copy_later(mine + 4, from + 4, 8);
      wait_copies(1);
      EXPECT_TRUE(std::isnan(mine[0]));
      wait_copies(0);
      EXPECT_EQ(mine[3], 4);
      close_copies();
      close_copies();
      wait_copies(2);
      EXPECT_TRUE(std::isnan(mine[4]));
      wait_copies(1);
      EXPECT_EQ(mine[5], 6);
      EXPECT_EQ(mine[6], 0);
    });
    EXPECT_EQ(failure(order, 64,
                      [] {
                        alignas(16) float place[4];
                        copy_later(place, from, 16);
                      }),
              "an asynchronous copy to no shared memory");
  }
}

TEST(Simt, AMissingBarrierShowsInOneOfTheOrders) {
  std::set<bool> wrong;
  for (const Order& order : kOrders) {
    bool found = false;
    run(order, 1, 64, 0, [&] {
      static const char tag = 0;
      auto* x = static_cast<float*>(shared(&tag, 64 * sizeof(float)));
      x[thread_id()] = 1;
      found |= thread_id() == 40 && std::isnan(x[10]);
    });
    wrong.insert(found);
  }
  EXPECT_EQ(wrong, (std::set<bool>{false, true}));
}

TEST(Simt, ABarrierOfPartOfTheBlockIsAnError) {
  for (const Order& order : kOrders) {
    const auto some = [] {
      if (thread_id() < 64) pass_barrier();
    };
    EXPECT_EQ(failure(order, 128, some), "a barrier that only a part of its block reaches");
    const auto within_a_wave = [] {
      if (thread_id() % 2 == 0) pass_barrier();
    };
    EXPECT_EQ(failure(order, 64, within_a_wave), "a barrier that only a part of its block reaches");
  }
}

TEST(Simt, AShuffleOfPartOfTheWaveIsAnError) {
  for (const Order& order : kOrders) {
    const auto some = [] {
      if (thread_id() != 5) shuffle_xor(0, 1);
    };
    EXPECT_EQ(failure(order, 128, some), "a shuffle that only a part of its wave reaches");
    const auto some_at_a_barrier = [] {
      if (thread_id() == 5) pass_barrier();
      shuffle_xor(0, 1);
    };
    EXPECT_EQ(failure(order, 128, some_at_a_barrier),
              "a shuffle that only a part of its wave reaches");
    const auto otherwise = [] { shuffle_xor(0, thread_id() < 7 ? 1 : 2); };
    EXPECT_EQ(failure(order, 64, otherwise), "lanes of a wave ask for other lanes' values");
    const auto beyond = [] { shuffle_xor(0, 64); };
    EXPECT_EQ(failure(order, 64, beyond), "a shuffle beyond the wave");
  }
}

// Under AddressSanitizer the write itself is reported.
#if !defined(__SANITIZE_ADDRESS__)
TEST(Simt, AWriteBeyondSharedMemoryIsAnError) {
  for (const int64_t place : {-1, 16, 19}) {
    const auto lane = [&] {
      static const char tag = 0, next = 0;
      auto* x = static_cast<float*>(shared(&tag, 16 * sizeof(float)));
      shared(&next, 4);
      if (thread_id() == 3) x[place] = 1;
    };
    EXPECT_EQ(failure({32, false}, 32, lane), "a write beyond a shared array") << place;
  }
}
#endif

// Where an access that a device makes to global memory alone must not go.
TEST(Simt, KnowsSharedMemory) {
  static const char tag = 0;
  int mine = 0;
  for (const Order& order : kOrders) {
    const auto lane = [&] {
      const auto* x = static_cast<const int*>(shared(&tag, 256 * sizeof(int)));
      const bool known = is_shared(x) && is_shared(x + 255) && is_shared(dynamic_shared());
      if (!known || is_shared(&mine)) throw Error("taken for another memory");
    };
    EXPECT_EQ(failure(order, 64, lane, 64), "");
  }
}

TEST(Simt, ALaneThatDoesNotAwaitWhatIsEarlierIsAnError) {
  for (const Order& order : kOrders) {
    for (const auto& then : {let_later_begin, end_kernel}) {
      const auto failure_of = [&](int awaiting) {
        return failure(order, 64, [=] {
          if (thread_id() < awaiting) await_earlier();
          then();
        });
      };
      EXPECT_EQ(failure_of(64), "");
      EXPECT_EQ(failure_of(63), "a lane that has not awaited what is earlier");
      EXPECT_EQ(failure_of(0), "a lane that has not awaited what is earlier");
    }
  }
}

TEST(Simt, WrongLaunchesAreErrors) {
  const auto nothing = [] {};
  EXPECT_EQ(failure({32, false}, 33, nothing), "blocks of 33 threads");
  EXPECT_EQ(failure({64, false}, 32, nothing), "blocks of 32 threads");
  EXPECT_EQ(failure({32, false}, 2048, nothing), "blocks of 2048 threads");
  EXPECT_EQ(failure({32, false}, 0, nothing), "blocks of 0 threads");
  EXPECT_EQ(failure({32, false}, 32, nothing, 0, 0), "a launch of no blocks");
  EXPECT_EQ(failure({32, false}, 32, nothing, kMostShared + 1), "too much dynamic shared memory");
  const auto greedy = [] {
    static const char tag = 0;
    shared(&tag, kMostStaticShared + 4);
  };
  EXPECT_NE(failure({32, false}, 32, greedy), "");
  const auto both = [] {
    static const char tag = 0;
    shared(&tag, 4);
    dynamic_shared();
  };
  EXPECT_EQ(failure({32, false}, 32, both, kMostShared - 16), "");
  EXPECT_EQ(failure({32, false}, 32, both, kMostShared), "shared memory is used up");
  set_order({32, false}, 64 << 10);
  EXPECT_EQ(failure({32, false}, 32, both, (64 << 10) - 16), "");
  EXPECT_EQ(failure({32, false}, 32, both, 64 << 10), "shared memory is used up");
  EXPECT_EQ(failure({32, false}, 32, nothing, (64 << 10) + 1), "too much dynamic shared memory");
  set_order({32, false});
  const auto nested = [] { run({32, false}, 1, 32, 0, [] {}); };
  EXPECT_EQ(failure({32, false}, 32, nested), "a launch within a kernel");
}

TEST(Simt, GoesOnAfterAnError) {
  EXPECT_NE(failure({32, false}, 32, [] { throw Error("no"); }), "");
  int lanes = 0;
  EXPECT_EQ(failure({64, true}, 128, [&] { ++lanes; }), "");
  EXPECT_EQ(lanes, 128);
}

TEST(Simt, ABarrierCanBeSkippedByItsName) {
  const auto lane = [] {
    if (thread_id() < 64) pass_barrier();
  };
  EXPECT_NE(failure({32, false}, 128, lane), "");
  std::string name;
  for (const std::string& known : barriers()) {
    skip_barrier(known);
    if (failure({32, false}, 128, lane).empty()) name = known;
  }
  EXPECT_EQ(name.substr(0, name.find(':')), "simt_test.cc");
  skip_barrier("");
  EXPECT_NE(failure({32, false}, 128, lane), "");
}

}  // namespace
}  // namespace simt
