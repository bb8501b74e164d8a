// The overloads that polyops wraps, and their registration with torch's dispatcher.
#ifndef POLYOPS_BINDINGS_TORCH_PATCH_H_
#define POLYOPS_BINDINGS_TORCH_PATCH_H_

#include <torch/library.h>

#include <functional>
#include <string>
#include <vector>

#include "registry.h"
#include "torch/call.h"

namespace polyops::torch_binding {

// A slot with what the wrapper needs beside it: the switch, and the saved stock kernel.
struct WrappedSlot : Slot {
  const std::atomic<bool>* enabled;
  const c10::OperatorHandle* handle;
  const c10::SafeKernelFunction* stock;
  bool stock_is_torchs;  // nobody had registered another one before us
};

// A line of an op's overload table. Exactly one of wrap and left_to_stock is set.
struct Overload {
  const char* name;       // "_softmax.out", in namespace aten
  const char* op;         // public op
  const char* kernel_op;  // which table serves it
  std::function<torch::CppFunction(const WrappedSlot*)> wrap;
  const char* left_to_stock = nullptr;  // why nothing is registered
  // Where torch registers the function given to wrap(), if not among those of the device.
  const char* stock_file = nullptr;
  // torch differentiates it by what it is made of, which nobody sees if we take it: so it is
  // registered at the device's Autograd key, too, and records its own gradient (composite.h).
  bool composite = false;
};

struct OverloadState {
  const Overload* overload;
  std::vector<std::string> devices;   // where it is registered now
  std::vector<std::string> shadowed;  // where somebody registered over it
};

Registry& registry();
Policy& policy();

// All tables, in bindings/aten/table.cc.
const std::vector<Overload>& overloads();

// Registers every overload whose op the policy allows, at the key (a composite: at both keys) of
// every device for which a family brings kernels of it, once. Not while another thread is inside
// torch.
void patch();
// Takes all registrations out. Not while another thread is inside torch.
void unpatch();
bool is_patched();

// Flips the op's flag; safe at any time. std::invalid_argument for an op that is unknown, or that
// the environment disabled, so that it was never registered.
void set_enabled(const std::string& op, bool on);
bool is_enabled(const std::string& op);

std::vector<OverloadState> overload_states();

}  // namespace polyops::torch_binding

#endif  // POLYOPS_BINDINGS_TORCH_PATCH_H_
