#include "block_cache.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <fstream>

namespace polyops {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kLine = 64;
// From here on straight from the system: malloc may not find the place of an aligned block again once
// it was freed (glibc before 2.38), and grow by another at every turn.
constexpr size_t kMapped = size_t{1} << 20;

// To an eighth of the power of two below: requests that differ by little share their blocks.
size_t to_grain(size_t bytes) {
  const size_t grain = std::max(kPage, std::bit_floor(bytes) / 8);
  return (bytes + grain - 1) / grain * grain;
}

size_t rounded(size_t bytes) {
  const size_t plain = to_grain(bytes);
  return plain < kMapped ? plain : to_grain(bytes + kLine);
}

}  // namespace

// A line into its first page, as a large block from malloc. (Huge pages were no faster once kept.)
void* BlockCache::fresh(size_t bytes) {
  if (bytes < kMapped) return std::aligned_alloc(kLine, bytes);
  void* start = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return start == MAP_FAILED ? nullptr : static_cast<char*>(start) + kLine;
}

void BlockCache::destroy(const std::vector<Block>& blocks) {
  for (const Block& block : blocks) {
    if (block.bytes < kMapped) {
      std::free(block.data);
    } else {
      munmap(static_cast<char*>(block.data) - kLine, block.bytes);
    }
  }
}

void* BlockCache::take(size_t bytes) {
  if (bytes > SIZE_MAX / 2) return nullptr;
  bytes = rounded(bytes);
  Block block;
  {
    std::lock_guard lock(mutex_);
    block = reuse(bytes);
    if (block.data != nullptr) {
      ++stats_.reused;
      stats_.in_use += block.bytes;
      in_use_.emplace(block.data, block.bytes);
      return block.data;
    }
  }
  block = {fresh(bytes), bytes};
  if (block.data == nullptr) {
    clear();
    block.data = fresh(bytes);
    if (block.data == nullptr) return nullptr;
  }
  std::lock_guard lock(mutex_);
  ++stats_.fresh;
  stats_.in_use += bytes;
  in_use_.emplace(block.data, bytes);
  return block.data;
}

// The smallest kept one that wastes no more than an eighth of itself.
BlockCache::Block BlockCache::reuse(size_t bytes) {
  const auto found = by_size_.lower_bound(bytes);
  if (found == by_size_.end() || found->first - bytes > found->first / 8) return {nullptr, 0};
  const Kept::iterator newest = found->second.back();
  found->second.pop_back();
  if (found->second.empty()) by_size_.erase(found);
  const Block block = *newest;
  kept_.erase(newest);
  stats_.kept -= block.bytes;
  return block;
}

// Takes the oldest out until the rest is no more than that.
std::vector<BlockCache::Block> BlockCache::shrink_to(size_t bytes) {
  std::vector<Block> out;
  while (stats_.kept > bytes) {
    const Block oldest = kept_.back();
    const auto same_size = by_size_.find(oldest.bytes);
    same_size->second.erase(same_size->second.begin());
    if (same_size->second.empty()) by_size_.erase(same_size);
    kept_.pop_back();
    stats_.kept -= oldest.bytes;
    out.push_back(oldest);
  }
  return out;
}

bool BlockCache::give(void* address) {
  std::vector<Block> out;
  {
    std::lock_guard lock(mutex_);
    const auto found = in_use_.find(address);
    if (found == in_use_.end()) return false;
    const Block block{address, found->second};
    in_use_.erase(found);
    stats_.in_use -= block.bytes;
    if (block.bytes > stats_.limit) {
      out = {block};
    } else {
      out = shrink_to(stats_.limit - block.bytes);
      kept_.push_front(block);
      by_size_[block.bytes].push_back(kept_.begin());
      stats_.kept += block.bytes;
    }
  }
  destroy(out);
  return true;
}

void BlockCache::set_limit(size_t bytes) {
  std::vector<Block> out;
  {
    std::lock_guard lock(mutex_);
    stats_.limit = bytes;
    out = shrink_to(bytes);
  }
  destroy(out);
}

void BlockCache::clear() {
  std::vector<Block> out;
  {
    std::lock_guard lock(mutex_);
    out = shrink_to(0);
  }
  destroy(out);
}

BlockCacheStats BlockCache::stats() const {
  std::lock_guard lock(mutex_);
  return stats_;
}

size_t default_kept_bytes() {
  size_t most = static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  for (const char* path :
       {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    size_t bytes;  // "max" is not read
    if (std::ifstream(path) >> bytes) most = std::min(most, bytes);
  }
  return std::min(most / 16, size_t{4} << 30);
}

}  // namespace polyops
