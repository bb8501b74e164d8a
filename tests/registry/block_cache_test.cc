// Memory that is kept: who gets which block, what goes back to the system, and calls on many
// threads.
#include "block_cache.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

namespace polyops::testing {
namespace {

constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kPlenty = 64 * kMiB;

struct Cache : BlockCache {
  explicit Cache(size_t limit) { set_limit(limit); }
  ~Cache() { clear(); }
};

TEST(BlockCache, GivesTheSameBlockAgain) {
  for (size_t bytes : {BlockCache::kLeast, kMiB - 1, kMiB, 3 * kMiB + 5}) {
    Cache cache(kPlenty);
    void* first = cache.take(bytes);
    ASSERT_NE(first, nullptr);
    EXPECT_GE(cache.stats().in_use, bytes);
    EXPECT_EQ(cache.stats().kept, 0);
    ASSERT_TRUE(cache.give(first));
    EXPECT_EQ(cache.stats().in_use, 0);
    EXPECT_GE(cache.stats().kept, bytes);
    EXPECT_EQ(cache.take(bytes), first);
    EXPECT_EQ(cache.stats().fresh, 1);
    EXPECT_EQ(cache.stats().reused, 1);
    cache.give(first);
  }
}

TEST(BlockCache, TheBlockGivenBackLastComesFirst) {
  Cache cache(kPlenty);
  void *a = cache.take(kMiB), *b = cache.take(kMiB);
  cache.give(b);
  cache.give(a);
  EXPECT_EQ(cache.take(kMiB), a);
  EXPECT_EQ(cache.take(kMiB), b);
  cache.give(a);
  cache.give(b);
}

TEST(BlockCache, SmallerBlocksAreCutFromALargeOneAndJoinedAgain) {
  Cache cache(kPlenty);
  void* whole = cache.take(16 * kMiB);
  cache.give(whole);
  for (int round = 0; round < 3; ++round) {  // in every order
    std::vector<void*> parts;
    for (int i = 0; i < 5; ++i) parts.push_back(cache.take(3 * kMiB));
    EXPECT_EQ(parts[0], whole);
    EXPECT_EQ(cache.stats().fresh, 1);
    std::rotate(parts.begin(), parts.begin() + round, parts.end());
    for (void* part : parts) cache.give(part);
    EXPECT_EQ(cache.take(16 * kMiB), whole);
    EXPECT_EQ(cache.stats().fresh, 1);
    cache.give(whole);
  }
}

TEST(BlockCache, TakesTheSmallestThatIsLargeEnough) {
  Cache cache(kPlenty);
  void *large = cache.take(8 * kMiB), *between = cache.take(kMiB), *small = cache.take(2 * kMiB);
  cache.give(large);
  cache.give(small);
  void* fit = cache.take(2 * kMiB - 5000);
  EXPECT_EQ(fit, small);
  for (void* each : {fit, between}) cache.give(each);
}

// Sizes that never come back: what is kept serves them all the same.
TEST(BlockCache, ChangingSizesNeedNothingNewAfterAWhile) {
  Cache cache(kPlenty);
  std::mt19937 random(0);
  uint64_t fresh = 0;
  for (int step = 0; step < 300; ++step) {
    if (step == 200) fresh = cache.stats().fresh;
    std::vector<void*> blocks;
    for (int i = 0; i < 8; ++i) blocks.push_back(cache.take(kMiB + random() % (2 * kMiB)));
    for (void* block : blocks) cache.give(block);
  }
  EXPECT_LE(cache.stats().fresh - fresh, 10);
  EXPECT_LE(cache.stats().kept, 48 * kMiB);
}

// Every byte that was asked for is there, and nobody else's: sizes around the pages, the steps of
// sizes and the place where the memory starts to come from elsewhere.
TEST(BlockCache, BlocksHoldWhatWasAskedForAndDoNotOverlap) {
  Cache cache(kPlenty);
  std::vector<std::pair<unsigned char*, size_t>> blocks;
  for (size_t base : {BlockCache::kLeast, 100 * size_t{1024}, kMiB / 8 * 7, kMiB, 2 * kMiB}) {
    for (int64_t off : {-4097, -65, -64, -63, -1, 0, 1, 63, 64, 65, 4095, 4096}) {
      const size_t bytes = base + off;
      for (int round = 0; round < 2; ++round) {  // a fresh one, then one that was kept
        auto* data = static_cast<unsigned char*>(cache.take(bytes));
        ASSERT_NE(data, nullptr);
        ASSERT_EQ(reinterpret_cast<uintptr_t>(data) % 64, 0);
        std::memset(data, static_cast<int>(blocks.size() % 251), bytes);
        if (round == 0) {
          cache.give(data);
        } else {
          blocks.emplace_back(data, bytes);
        }
      }
    }
  }
  for (size_t i = 0; i < blocks.size(); ++i) {
    const auto [data, bytes] = blocks[i];
    ASSERT_TRUE(std::all_of(data, data + bytes, [i](unsigned char x) { return x == i % 251; }))
        << i;
    ASSERT_TRUE(cache.give(data));
  }
}

TEST(BlockCache, KeepsNoMoreThanItsLimitAndTheNewestOfIt) {
  Cache cache(10 * kMiB);
  void *a = cache.take(4 * kMiB), *b = cache.take(4 * kMiB), *c = cache.take(4 * kMiB);
  for (void* each : {a, b, c}) cache.give(each);
  EXPECT_LE(cache.stats().kept, 10 * kMiB);
  EXPECT_GE(cache.stats().kept, 9 * kMiB);
  EXPECT_EQ(cache.take(4 * kMiB), c);
  cache.give(c);

  void* huge = cache.take(11 * kMiB);  // is not kept, and nothing makes way for it
  const size_t before = cache.stats().kept;
  cache.give(huge);
  EXPECT_EQ(cache.stats().kept, before);
}

TEST(BlockCache, ALowerLimitAndClearGiveBackAtOnce) {
  Cache cache(kPlenty);
  void *a = cache.take(4 * kMiB), *b = cache.take(2 * kMiB), *c = cache.take(kMiB);
  for (void* each : {a, b, c}) cache.give(each);
  cache.set_limit(5 * kMiB);
  EXPECT_LE(cache.stats().kept, 5 * kMiB);
  EXPECT_GE(cache.stats().kept, 3 * kMiB);
  cache.clear();
  EXPECT_EQ(cache.stats().kept, 0);
  cache.set_limit(0);
  void* d = cache.take(kMiB);
  cache.give(d);
  EXPECT_EQ(cache.stats().kept, 0);
}

TEST(BlockCache, KnowsWhatIsNotItsOwn) {
  Cache cache(kPlenty);
  int other;
  EXPECT_FALSE(cache.give(&other));
  void* block = cache.take(kMiB);
  EXPECT_FALSE(cache.give(static_cast<char*>(block) + 64));
  EXPECT_TRUE(cache.give(block));
  EXPECT_FALSE(cache.give(block));
}

TEST(BlockCache, SaysWhenTheSystemHasNoMore) {
  Cache cache(kPlenty);
  cache.give(cache.take(kMiB));
  EXPECT_EQ(cache.take(SIZE_MAX / 4), nullptr);
  EXPECT_EQ(cache.stats().kept, 0);  // all was tried
  EXPECT_EQ(cache.take(SIZE_MAX), nullptr);
  EXPECT_EQ(cache.stats().in_use, 0);
}

TEST(BlockCache, ManyThreadsGetBlocksOfTheirOwn) {
  Cache cache(8 * kMiB);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int i = 0; i < 2000; ++i) {
        const size_t bytes = BlockCache::kLeast + random() % (2 * kMiB);
        auto* data = static_cast<unsigned char*>(cache.take(bytes));
        data[0] = data[bytes - 1] = static_cast<unsigned char>(t);
        if (i % 97 == 0) cache.set_limit((4 + i % 8) * kMiB);
        if (data[0] != t || data[bytes - 1] != t || !cache.give(data)) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(cache.stats().in_use, 0);
  EXPECT_EQ(cache.stats().fresh + cache.stats().reused, 8000);
}

TEST(BlockCache, TheDefaultIsAPartOfTheMachinesMemory) {
  EXPECT_GT(default_kept_bytes(), kMiB);
  EXPECT_LE(default_kept_bytes(), size_t{4} << 30);
  EXPECT_LE(default_kept_bytes(),
            static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE) / 16);
}

}  // namespace
}  // namespace polyops::testing
