// The CPU family: what it is, what this machine runs, and the ordered table of its kernels.
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "chip.h"
#include "polyops/abi.h"
#include "table.h"

// One line per op; each is compiled for every ISA (kernels/cpu/CMakeLists.txt).
#define POLYOPS_CPU_OPS(X) \
  X(gemm) X(softmax) X(layer_norm) X(gelu) X(relu) X(attention) X(convolution)

#if defined(__x86_64__)
#define POLYOPS_CPU_ISAS(X, op) X(op, avx512) X(op, avx2) X(op, scalar)
#else
#define POLYOPS_CPU_ISAS(X, op) X(op, scalar)
#endif

namespace polyops::cpu {

#define DECLARE_ISA(op, isa) KernelList op##_##isa();
#define DECLARE_OP(op) POLYOPS_CPU_ISAS(DECLARE_ISA, op)
POLYOPS_CPU_OPS(DECLARE_OP)

namespace {

void append(std::vector<polyops_kernel>* table, KernelList list) {
  table->insert(table->end(), list.first, list.first + list.count);
}

// Leaked, like everything that polyops keeps a pointer to: there is no safe moment to destroy it.
const std::vector<polyops_kernel>& kernel_table() {
  static const auto* table = [] {
    auto* all = new std::vector<polyops_kernel>;
#define APPEND_ISA(op, isa) append(all, op##_##isa());
#define APPEND_OP(op) POLYOPS_CPU_ISAS(APPEND_ISA, op)
    POLYOPS_CPU_OPS(APPEND_OP)
    return all;
  }();
  return *table;
}

#define NAME_ISA(op, isa) #isa,
constexpr const char* kIsas[] = {POLYOPS_CPU_ISAS(NAME_ISA, unused) nullptr};

int probe(char*, size_t) { return 1; }  // the scalar kernels run on every machine

const char* chip() {
  static const auto* name = new std::string(chip_name());
  return name->c_str();
}

const char* features() {
  static const auto* list = new std::string(feature_list());
  return list->c_str();
}

}  // namespace
}  // namespace polyops::cpu

extern "C" POLYOPS_EXPORT const polyops_backend* polyops_backend_init(const polyops_host* host);
extern "C" const polyops_backend* polyops_backend_init(const polyops_host* host) {
  using namespace polyops::cpu;
  if (host == nullptr || host->abi_version != POLYOPS_ABI_VERSION) return nullptr;
  static const polyops_backend backend = {sizeof(polyops_backend),
                                          POLYOPS_ABI_VERSION,
                                          "cpu",
                                          "cpu",
                                          probe,
                                          chip,
                                          features,
                                          kIsas,
                                          runs_isa,
                                          kernel_table().data(),
                                          kernel_table().size()};
  return &backend;
}
