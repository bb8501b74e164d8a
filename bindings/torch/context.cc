#include "torch/context.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace polyops::torch_binding {
namespace {

// The largest block a thread keeps; GEMM, the greediest, packs into less.
constexpr size_t kKeptScratch = size_t{64} << 20;

void parallel_for(const polyops_context*, int64_t n, int64_t grain, polyops_range_fn fn,
                  void* user) {
  at::parallel_for(0, n, grain,
                   [&](int64_t begin, int64_t end) { fn(user, begin, end, at::get_thread_num()); });
}

at::Float32Precision precision_of(at::Float32Op op, c10::DeviceType device) {
  const auto backend = device == c10::kCPU ? at::Float32Backend::MKLDNN : at::Float32Backend::CUDA;
  return at::globalContext().float32Precision(backend, op);
}

uint32_t flags(c10::DeviceType device) {
  const at::Context& context = at::globalContext();
  uint32_t bits = 0;
  if (context.deterministicAlgorithms()) bits |= POLYOPS_FLAG_DETERMINISTIC;
  const auto precision = precision_of(at::Float32Op::MATMUL, device);
  if (precision == at::Float32Precision::TF32 || precision == at::Float32Precision::BF16) {
    bits |= POLYOPS_FLAG_REDUCED_PRECISION_FP32;
  }
  return bits;
}

}  // namespace

int available_threads() { return at::in_parallel_region() ? 1 : at::get_num_threads(); }

Scratch::Scratch(c10::Device device, size_t bytes) {
  if (bytes == 0) return;
  if (device.type() == c10::kCPU && bytes <= kKeptScratch) {
    thread_local c10::DataPtr kept;
    thread_local size_t capacity = 0;
    if (capacity < bytes) {
      kept.clear();  // before the new one is asked for: both need not fit
      capacity = 0;
      kept = c10::GetCPUAllocator()->allocate(bytes);
      capacity = bytes;
    }
    data_ = kept.get();
    return;
  }
  owned_ = c10::GetAllocator(device.type())->allocate(bytes);
  data_ = owned_.get();
}

polyops_context make_context(c10::Device device, int threads, void* scratch) {
  polyops_context context;
  context.struct_size = sizeof context;
  context.flags = flags(device.type());
  context.device_index = device.has_index() ? device.index() : 0;
  context.num_threads = threads;
  context.stream = nullptr;
  context.scratch = scratch;
  context.parallel_for = parallel_for;
  if (device.type() != c10::kCPU) {
    const c10::impl::VirtualGuardImpl guard(device.type());
    context.stream = guard.getStreamNativeHandle(guard.getStream(device));
  }
  return context;
}

bool bf16_products_allowed(c10::DeviceType device) {
  return precision_of(at::Float32Op::MATMUL, device) == at::Float32Precision::BF16;
}

bool bf16_convolutions_allowed(c10::DeviceType device) {
  return precision_of(at::Float32Op::CONV, device) == at::Float32Precision::BF16;
}

}  // namespace polyops::torch_binding
