#include "block_cache.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace polyops {
namespace {

const size_t kPage = static_cast<size_t>(sysconf(_SC_PAGESIZE));
constexpr size_t kLine = 64;  // a block begins here in its first page, as a large one from malloc

char* map(size_t bytes) {
  void* start = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return start == MAP_FAILED ? nullptr : static_cast<char*>(start);
}

template <class Ranges>
void unmap(const Ranges& ranges) {
  for (const auto& range : ranges) munmap(range.start, range.bytes);
}

}  // namespace

void* BlockCache::take(size_t bytes) {
  if (bytes > SIZE_MAX / 2) return nullptr;
  bytes = (bytes + kLine + kPage - 1) / kPage * kPage;
  Range range;
  {
    std::lock_guard lock(mutex_);
    range = reuse(bytes);
    if (range.start != nullptr) {
      ++stats_.reused;
      stats_.kept -= range.bytes;
      stats_.in_use += range.bytes;
      in_use_.emplace(range.start + kLine, range.bytes);
      return range.start + kLine;
    }
  }
  range = {map(bytes), bytes};  // without the lock: it may take a while
  if (range.start == nullptr) {
    clear();
    range.start = map(bytes);
    if (range.start == nullptr) return nullptr;
  }
  std::lock_guard lock(mutex_);
  ++stats_.fresh;
  stats_.in_use += bytes;
  in_use_.emplace(range.start + kLine, bytes);
  return range.start + kLine;
}

bool BlockCache::give(void* address) {
  std::vector<Range> out;
  {
    std::lock_guard lock(mutex_);
    const auto found = in_use_.find(address);
    if (found == in_use_.end()) return false;
    const Range range{static_cast<char*>(address) - kLine, found->second};
    in_use_.erase(found);
    stats_.in_use -= range.bytes;
    if (range.bytes > stats_.limit) {
      out = {range};
    } else {
      out = shrink_to(stats_.limit - range.bytes);
      recent_.push_back(range);
      stats_.kept += range.bytes;
      if (recent_.size() > kRecent) join_recent(kRecent / 2);
    }
  }
  unmap(out);
  return true;
}

BlockCache::Range BlockCache::reuse(size_t bytes) {
  Range range = reuse_recent(bytes);
  if (range.start == nullptr) range = cut(bytes);
  if (range.start == nullptr && !recent_.empty()) {
    join_recent(0);
    range = cut(bytes);
  }
  return range;
}

// The newest of just that size.
BlockCache::Range BlockCache::reuse_recent(size_t bytes) {
  for (size_t i = recent_.size(); i-- > 0;) {
    if (recent_[i].bytes != bytes) continue;
    const Range range = recent_[i];
    recent_.erase(recent_.begin() + static_cast<std::ptrdiff_t>(i));
    return range;
  }
  return {nullptr, 0};
}

// From the smallest free range that is large enough.
BlockCache::Range BlockCache::cut(size_t bytes) {
  const auto found = by_size_.lower_bound({bytes, nullptr});
  if (found == by_size_.end()) return {nullptr, 0};
  const auto [have, start] = *found;
  remove(free_.find(start));
  if (have > bytes) add({start + bytes, have - bytes});
  return {start, bytes};
}

// Joins it with its neighbours.
void BlockCache::add(Range range) {
  const auto behind = free_.lower_bound(range.start);
  if (behind != free_.begin()) {
    const auto before = std::prev(behind);
    if (before->first + before->second == range.start) {
      range = {before->first, before->second + range.bytes};
      remove(before);
    }
  }
  if (behind != free_.end() && range.start + range.bytes == behind->first) {
    range.bytes += behind->second;
    remove(behind);
  }
  free_.emplace(range.start, range.bytes);
  by_size_.emplace(range.bytes, range.start);
}

void BlockCache::remove(std::map<char*, size_t>::iterator range) {
  by_size_.erase({range->second, range->first});
  free_.erase(range);
}

void BlockCache::join_recent(size_t leave) {
  const auto end = recent_.end() - static_cast<std::ptrdiff_t>(leave);
  std::for_each(recent_.begin(), end, [this](const Range& range) { add(range); });
  recent_.erase(recent_.begin(), end);
}

// What has to go so that no more than that is kept: the ends of the largest free ranges.
std::vector<BlockCache::Range> BlockCache::shrink_to(size_t bytes) {
  std::vector<Range> out;
  if (stats_.kept <= bytes) return out;
  size_t over = (stats_.kept - bytes + kPage - 1) / kPage * kPage;
  while (over > 0) {
    if (by_size_.empty()) join_recent(0);
    const auto [have, start] = *by_size_.rbegin();
    const size_t go = std::min(have, over);
    remove(free_.find(start));
    if (have > go) add({start, have - go});
    out.push_back({start + have - go, go});
    stats_.kept -= go;
    over -= go;
  }
  return out;
}

void BlockCache::set_limit(size_t bytes) {
  std::vector<Range> out;
  {
    std::lock_guard lock(mutex_);
    stats_.limit = bytes;
    out = shrink_to(bytes);
  }
  unmap(out);
}

void BlockCache::clear() {
  std::vector<Range> out;
  {
    std::lock_guard lock(mutex_);
    out = shrink_to(0);
  }
  unmap(out);
}

BlockCacheStats BlockCache::stats() const {
  std::lock_guard lock(mutex_);
  return stats_;
}

size_t default_kept_bytes() {
  size_t most = static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * kPage;
  for (const char* path :
       {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    size_t bytes;  // "max" is not read
    if (std::ifstream(path) >> bytes) most = std::min(most, bytes);
  }
  return std::min(most / 16, size_t{4} << 30);
}

}  // namespace polyops
