// The shared memory of a block: arrays with guards between them, which AddressSanitizer is told of.
#ifndef POLYOPS_TESTS_SIMT_ARENA_H_
#define POLYOPS_TESTS_SIMT_ARENA_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#include "simt.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, bytes) ((void)(address), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes) ((void)(address), (void)(bytes))
#endif

namespace simt {

class Arena {
 public:
  // What each byte of an array begins as: by default numbers are NaN.
  static inline std::atomic<unsigned char> fill = 0xff;

  Arena() : memory_(kMostShared + 64 * kGuardBytes) {
    ASAN_POISON_MEMORY_REGION(memory_.data(), memory_.size());
  }
  ~Arena() { ASAN_UNPOISON_MEMORY_REGION(memory_.data(), memory_.size()); }

  // What no array has reached is still as it was: most blocks use little of the memory.
  void clear() {
    ASAN_POISON_MEMORY_REGION(memory_.data(), used_);
    arrays_.clear();
    used_ = declared_ = 0;
    append_guards(kGuardBytes);
  }

  void* array(const void* tag, size_t bytes, size_t most) {
    for (const Array& a : arrays_) {
      if (a.tag == tag) return memory_.data() + a.offset;
    }
    if (bytes > most) throw Error("shared memory: " + std::to_string(bytes) + " bytes asked for");
    unsigned char* data = memory_.data() + used_;
    const size_t padded = (bytes + 15) / 16 * 16;
    declared_ += padded;
    if (declared_ > most_shared() || used_ + bytes + 2 * kGuardBytes > memory_.size()) {
      throw Error("shared memory is used up");
    }
    ASAN_UNPOISON_MEMORY_REGION(data, bytes);
    std::memset(data, fill, bytes);
    arrays_.push_back({tag, used_, bytes});
    used_ += bytes;
    append_guards(padded - bytes + kGuardBytes);
    return data;
  }

  bool has(const void* place) const {
    return memory_.data() <= place && place < memory_.data() + memory_.size();
  }

  // The same place of the same array in another block's memory; NULL if it is not there.
  void* counterpart(const void* mine, Arena& other) const {
    const auto place =
        static_cast<size_t>(static_cast<const unsigned char*>(mine) - memory_.data());
    for (const Array& a : arrays_) {
      if (place < a.offset || place >= a.offset + a.bytes) continue;
      for (const Array& b : other.arrays_) {
        if (b.tag == a.tag) return other.memory_.data() + b.offset + (place - a.offset);
      }
    }
    return nullptr;
  }

  void check_guards() {
    ASAN_UNPOISON_MEMORY_REGION(memory_.data(), used_);
    size_t guards = 0;
    for (const Array& a : arrays_) {
      check_guards(guards, a.offset);
      guards = a.offset + a.bytes;
    }
    check_guards(guards, used_);
  }

 private:
  static constexpr unsigned char kGuard = 0xa5;
  static constexpr size_t kGuardBytes = 64;

  void append_guards(size_t bytes) {
    unsigned char* data = memory_.data() + used_;
    ASAN_UNPOISON_MEMORY_REGION(data, bytes);
    std::memset(data, kGuard, bytes);
    ASAN_POISON_MEMORY_REGION(data, bytes);
    used_ += bytes;
  }

  void check_guards(size_t first, size_t end) const {
    for (size_t i = first; i < end; ++i) {
      if (memory_[i] != kGuard) throw Error("a write beyond a shared array");
    }
  }

  struct Array {
    const void* tag;
    size_t offset, bytes;
  };
  std::vector<unsigned char> memory_;
  std::vector<Array> arrays_;
  size_t used_ = 0, declared_ = 0;  // with guards, without
};

}  // namespace simt

#endif  // POLYOPS_TESTS_SIMT_ARENA_H_
