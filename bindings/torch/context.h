// What a launch gets from torch: its thread pool, its allocator, its stream, its global settings.
#ifndef POLYOPS_BINDINGS_TORCH_CONTEXT_H_
#define POLYOPS_BINDINGS_TORCH_CONTEXT_H_

#include <c10/core/Allocator.h>
#include <c10/core/Device.h>

#include "polyops/abi.h"

namespace polyops::torch_binding {

// Threads that parallel_for may use from here: 1 inside a parallel region.
int available_threads();

// Scratch memory for one launch. On a CPU each thread keeps its largest block, up to a cap, because
// memory fresh from the system costs a page fault per 4 KiB; elsewhere torch's caching allocator
// is asked each time, with the current stream.
class Scratch {
 public:
  Scratch(c10::Device device, size_t bytes);
  void* data() const { return data_; }

 private:
  c10::DataPtr owned_;
  void* data_ = nullptr;
};

polyops_context make_context(c10::Device device, int threads, void* scratch);

// float32 products may be computed in bfloat16: torch.set_float32_matmul_precision("medium") and
// torch.backends.mkldnn.matmul.fp32_precision = "bf16".
bool bf16_products_allowed(c10::DeviceType device);
// The same of convolutions: torch.backends.mkldnn.conv.fp32_precision = "bf16".
bool bf16_convolutions_allowed(c10::DeviceType device);

}  // namespace polyops::torch_binding

#endif  // POLYOPS_BINDINGS_TORCH_CONTEXT_H_
