#include "torch/bench_memory.h"

#include <c10/core/Allocator.h>
#include <c10/util/Exception.h>

#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>
#include <set>

namespace polyops::torch_binding {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kLine = 64;

class Recycler final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    const c10::Device cpu(c10::DeviceType::CPU);
    if (bytes == 0) return {nullptr, cpu};
    bytes = (bytes + kPage - 1) / kPage * kPage;
    std::lock_guard lock(mutex_);
    std::set<char*>& free = free_[bytes];
    char* start = free.empty() ? fresh(bytes) : free.extract(free.begin()).value();
    in_use_[start] = bytes;
    return {start + offset_, start + offset_, release, cpu};
  }

  // oneDNN takes its scratch memory by raw_allocate, which needs this.
  c10::DeleterFnPtr raw_deleter() const override { return release; }

  void copy_data(void* dst, const void* src, size_t bytes) const override {
    default_copy_data(dst, src, bytes);
  }

  void place(size_t offset) {
    TORCH_CHECK_VALUE(offset < kPage && offset % kLine == 0,
                      "the offset must be a multiple of 64 below 4096, not ", offset);
    std::lock_guard lock(mutex_);
    offset_ = offset;
  }

  void install() {
    c10::Allocator* now = c10::GetAllocator(c10::DeviceType::CPU);
    if (now == this) return;
    before_ = now;
    c10::SetAllocator(c10::DeviceType::CPU, this);
  }

  void give_back() {
    std::lock_guard lock(mutex_);
    for (const auto& [bytes, starts] : free_) {
      for (char* start : starts) std::free(start);
    }
    free_.clear();
  }

 private:
  static char* fresh(size_t bytes) {
    void* start = std::aligned_alloc(kPage, bytes + kPage);
    TORCH_CHECK_WITH(OutOfMemoryError, start != nullptr, "no ", bytes, " bytes for a tensor");
    return static_cast<char*>(start);
  }

  static void release(void* data);

  void keep(void* data) {
    if (data == nullptr) return;
    char* start = reinterpret_cast<char*>(reinterpret_cast<uintptr_t>(data) / kPage * kPage);
    std::lock_guard lock(mutex_);
    auto block = in_use_.extract(start);
    if (block.empty()) return before_->raw_deallocate(data);
    free_[block.mapped()].insert(start);
  }

  c10::Allocator* before_ = nullptr;  // frees what it gave out
  std::mutex mutex_;
  size_t offset_ = 0;
  std::map<size_t, std::set<char*>> free_;  // by size
  std::map<char*, size_t> in_use_;          // their sizes
};

// Leaked: tensors may outlive static destructors.
Recycler& recycler() {
  static auto* instance = new Recycler;
  return *instance;
}

void Recycler::release(void* data) { recycler().keep(data); }

}  // namespace

void recycle_tensor_memory() { recycler().install(); }

void place_tensors(size_t offset) { recycler().place(offset); }

void release_tensor_memory() { recycler().give_back(); }

}  // namespace polyops::torch_binding
