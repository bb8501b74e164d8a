#include "torch/memory.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>
#include <c10/util/Flags.h>
#include <pthread.h>

#include <atomic>

C10_DECLARE_bool(caffe2_cpu_allocator_do_zero_fill);
C10_DECLARE_bool(caffe2_cpu_allocator_do_junk_fill);

namespace polyops::torch_binding {
namespace {

// Leaked: tensors may outlive static destructors.
BlockCache& cache() {
  static auto* instance = [] {
    auto* made = new BlockCache;
    static BlockCache* forked;
    forked = made;
    pthread_atfork([] { forked->lock(); }, [] { forked->unlock(); }, [] { forked->unlock(); });
    return made;
  }();
  return *instance;
}

c10::Allocator& torchs() { return *c10::GetDefaultCPUAllocator(); }

class KeepingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    if (bytes < BlockCache::kLeast || !serves()) return torchs_own(bytes);
    void* data = cache().take(bytes);
    if (data == nullptr) return torchs().allocate(bytes);  // which says that there is no memory
    c10::profiledCPUMemoryReporter().New(data, bytes);
    return {data, data, release, c10::Device(c10::DeviceType::CPU)};
  }

  // For raw_allocate(), by which oneDNN takes its scratch memory.
  c10::DeleterFnPtr raw_deleter() const override { return release; }

  void copy_data(void* dst, const void* src, size_t bytes) const override {
    default_copy_data(dst, src, bytes);
  }

  std::atomic<bool> started{false};
  std::atomic<bool> keeps{false};  // the limit is not 0

  // Somebody who looks for memory that is read before it is written has torch fill it.
  bool serves() const {
    return started.load(std::memory_order_relaxed) && keeps.load(std::memory_order_relaxed) &&
           !FLAGS_caffe2_cpu_allocator_do_zero_fill && !FLAGS_caffe2_cpu_allocator_do_junk_fill;
  }

 private:
  static c10::DataPtr torchs_own(size_t bytes) {
    try {
      return torchs().allocate(bytes);
    } catch (const c10::Error&) {
      if (cache().stats().kept == 0) throw;
      cache().clear();
      return torchs().allocate(bytes);
    }
  }

  static void release(void* data) {
    if (data == nullptr) return;
    if (cache().give(data)) {
      c10::profiledCPUMemoryReporter().Delete(data);
    } else {
      torchs().raw_deallocate(data);
    }
  }
};

KeepingAllocator& allocator() {
  static auto* instance = new KeepingAllocator;
  return *instance;
}

bool is_installed() { return c10::GetAllocator(c10::DeviceType::CPU) == &allocator(); }

}  // namespace

void start_keeping() {
  if (!is_installed()) {
    if (c10::GetAllocator(c10::DeviceType::CPU) != &torchs()) return;
    c10::SetAllocator(c10::DeviceType::CPU, &allocator());
  }
  allocator().started.store(true, std::memory_order_relaxed);
}

void stop_keeping() {
  allocator().started.store(false, std::memory_order_relaxed);
  release_kept();
  // A block from raw_allocate() is freed by whichever allocator is there by then.
  if (is_installed() && cache().stats().in_use == 0) {
    c10::SetAllocator(c10::DeviceType::CPU, &torchs());
  }
}

bool is_keeping() { return is_installed() && allocator().serves(); }

void set_kept_limit(size_t bytes) {
  allocator().keeps.store(bytes != 0, std::memory_order_relaxed);
  cache().set_limit(bytes);
}

void release_kept() { cache().clear(); }

BlockCacheStats memory_stats() { return cache().stats(); }

}  // namespace polyops::torch_binding
