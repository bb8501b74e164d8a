// The lists of ops. A new op is one line in op_list.cc, one in public_ops.cc and its header under
// polyops/ops/.
#ifndef POLYOPS_REGISTRY_OP_LIST_H_
#define POLYOPS_REGISTRY_OP_LIST_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace polyops {

constexpr int kMaxGateSizes = 4;

// What a gate looks at: the call reduced to a dtype, a layout and a few sizes.
struct GateKey {
  int32_t dtype = 0;
  const char* layout = "";
  int64_t sizes[kMaxGateSizes] = {};

  bool operator==(const GateKey&) const = default;  // layouts are the op list's own strings
};

// An op that kernels implement: one argument struct, one ordered table of candidates per device.
struct KernelOp {
  const char* name;       // "softmax_backward"
  const char* direction;  // "forward" or "backward"
  size_t args_size;
  std::vector<const char*> layouts;     // every value of GateKey::layout
  std::vector<const char*> size_names;  // what GateKey::sizes means; at most kMaxGateSizes
  GateKey (*gate_key)(const void* args);
};

// An op as users name it: switched on and off, and counted, as a whole.
struct PublicOp {
  const char* name;
  std::vector<const char*> kernel_ops;
};

std::span<const KernelOp> kernel_ops();
std::span<const PublicOp> public_ops();

const KernelOp* find_kernel_op(std::string_view name);  // nullptr if unknown
int public_op_index(std::string_view name);             // -1 if unknown

// "a, b, c", for error messages.
std::string join(const std::vector<std::string>& names);
std::string known_public_ops();
std::string known_kernel_ops();

}  // namespace polyops

#endif  // POLYOPS_REGISTRY_OP_LIST_H_
