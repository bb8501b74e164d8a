// The asynchronous copies of a lane, which arrive where it waits for them.
#ifndef POLYOPS_TESTS_SIMT_COPIES_H_
#define POLYOPS_TESTS_SIMT_COPIES_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "arena.h"

namespace simt {

class Copies {
 public:
  void clear() {
    all_.clear();
    groups_.clear();
  }
  // What `to` is until then is what shared memory begins as.
  void begin(void* to, const void* from, size_t bytes) {
    const auto both = reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from);
    if (both % kBytes != 0 || bytes > kBytes) throw Error("a copy that is not of 16 aligned bytes");
    std::memset(to, Arena::fill, kBytes);
    all_.push_back({to, from, bytes});
  }
  void close() { groups_.push_back(all_.size()); }
  // Those of all closed groups but the last ones arrive.
  void wait(size_t but) {
    if (groups_.size() <= but) return;
    const auto groups = static_cast<std::ptrdiff_t>(groups_.size() - but);
    const size_t count = groups_[groups - 1];
    for (size_t i = 0; i < count; ++i) all_[i].arrive();
    all_.erase(all_.begin(), all_.begin() + static_cast<std::ptrdiff_t>(count));
    groups_.erase(groups_.begin(), groups_.begin() + groups);
    for (size_t& end : groups_) end -= count;
  }

 private:
  static constexpr size_t kBytes = 16;
  struct Copy {
    void* to;
    const void* from;
    size_t bytes;
    void arrive() const {
      std::memset(to, 0, kBytes);
      if (bytes != 0) std::memcpy(to, from, bytes);
    }
  };

  std::vector<Copy> all_;       // that have not arrived
  std::vector<size_t> groups_;  // where each that was closed ends in it
};

}  // namespace simt

#endif  // POLYOPS_TESTS_SIMT_COPIES_H_
