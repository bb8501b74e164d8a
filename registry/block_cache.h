// Large blocks of memory that are kept when they are given back, for whoever asks next.
//
// Memory from the system comes without pages: each is made at its first touch, for 0.25 to 2 us per
// 4 KB, more than most kernels take to fill it. A kept block has its pages.
#ifndef POLYOPS_REGISTRY_BLOCK_CACHE_H_
#define POLYOPS_REGISTRY_BLOCK_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

namespace polyops {

struct BlockCacheStats {
  size_t limit = 0;     // bytes
  size_t kept = 0;      // bytes that wait for somebody
  size_t in_use = 0;    // bytes that somebody has
  uint64_t reused = 0;  // requests served from what was kept
  uint64_t fresh = 0;   // requests served by the system
};

// Safe for calls from many threads. Blocks are aligned to 64 bytes; what is in them is arbitrary.
// They are cut from whatever is kept, best fit first, and free neighbours are joined, so that sizes
// that change from step to step find room too. What was given back last is not joined yet: the next
// block of its size is likely to find it in the caches.
class BlockCache {
 public:
  // Smaller blocks are better left to malloc, which keeps them. From 128 KB on it would return each
  // to the system, unless it has seen larger ones.
  static constexpr size_t kLeast = size_t{64} << 10;

  // At least that many bytes; null if the system has no more, even after all that is kept was
  // returned to it.
  void* take(size_t bytes);

  // What take() returned. False, and nothing done, for any other address.
  bool give(void* block);

  // Keeps at most so many bytes from now on; 0 keeps nothing.
  void set_limit(size_t bytes);

  // Returns what is kept to the system.
  void clear();

  BlockCacheStats stats() const;

  // For the handlers of a fork.
  void lock() { mutex_.lock(); }
  void unlock() { mutex_.unlock(); }

 private:
  struct Range {  // of whole pages
    char* start;  // null: none
    size_t bytes;
  };
  static constexpr size_t kRecent = 64;

  Range reuse(size_t bytes);
  Range reuse_recent(size_t bytes);
  Range cut(size_t bytes);
  void add(Range range);
  void remove(std::map<char*, size_t>::iterator range);
  void join_recent(size_t leave);
  std::vector<Range> shrink_to(size_t bytes);

  mutable std::mutex mutex_;
  BlockCacheStats stats_;
  std::vector<Range> recent_;                   // the newest behind
  std::map<char*, size_t> free_;                // the rest of what is kept, bytes by start
  std::set<std::pair<size_t, char*>> by_size_;  // the same
  std::unordered_map<void*, size_t> in_use_;    // bytes by what take() returned
};

// A sixteenth of the memory that this process may use (the machine's, or its control group's if
// that is less), at most 4 GiB.
size_t default_kept_bytes();

}  // namespace polyops

#endif  // POLYOPS_REGISTRY_BLOCK_CACHE_H_
