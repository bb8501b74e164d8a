// A weight, packed by one packer into memory that is guarded.
#ifndef POLYOPS_TESTS_KERNELS_PACKED_H_
#define POLYOPS_TESTS_KERNELS_PACKED_H_

#include <algorithm>
#include <cstring>
#include <vector>

#include "harness.h"
#include "polyops/pack.h"

namespace polyops::testing {

class Packed {
 public:
  // args: of the packer's op.
  template <class Args>
  Packed(const polyops_kernel& packer, Args args, int threads = 1) {
    args.pack = &content_;
    status_ = launch(packer, &args, threads);
    if (status_ != POLYOPS_OK) return;
    said_ = content_.format != nullptr && content_.bytes > 0;
    memory_.resize(size() + 2 * kGuard, kUntouched);
    unsigned char* first = memory_.data() + kGuard;
    first += (64 - reinterpret_cast<uintptr_t>(first) % 64) % 64;
    std::memset(first, 0xff, size());  // NaN in every dtype
    content_.data = first;
    const polyops_pack before = content_;
    status_ = launch(packer, &args, threads);
    said_ &= content_.bytes == before.bytes && content_.format == before.format;
  }

  int status() const { return status_; }
  // Size and format were told before anything was packed, and stayed.
  bool said_what_it_takes() const { return said_; }
  const polyops_pack& content() const { return content_; }
  std::vector<unsigned char> bytes() const { return {begin(), end()}; }

  bool guards_intact() const {
    const auto untouched = [](unsigned char byte) { return byte == kUntouched; };
    return std::all_of(memory_.data(), begin(), untouched) &&
           std::all_of(end(), memory_.data() + memory_.size(), untouched);
  }

 private:
  static constexpr size_t kGuard = 128;
  static constexpr unsigned char kUntouched = 0xa5;

  size_t size() const { return static_cast<size_t>(content_.bytes); }
  const unsigned char* begin() const { return static_cast<const unsigned char*>(content_.data); }
  const unsigned char* end() const { return begin() + size(); }

  polyops_pack content_ = {};
  std::vector<unsigned char> memory_;
  int status_ = POLYOPS_ERROR;
  bool said_ = false;
};

}  // namespace polyops::testing

#endif  // POLYOPS_TESTS_KERNELS_PACKED_H_
