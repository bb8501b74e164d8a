#include "table.h"
namespace polyops::cpu {
KernelList POLYOPS_CONCAT(layer_norm, POLYOPS_ISA)();
KernelList POLYOPS_CONCAT(layer_norm, POLYOPS_ISA)() { return {nullptr, 0}; }
}  // namespace polyops::cpu
