// The family of oneDNN's kernels: candidates of the same device as kernels/cpu, tried after those,
// and gated under the same name of the chip.
#include <cstdio>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>
#include <vector>

#include "cpu/chip.h"
#include "polyops/abi.h"
#include "runtime.h"
#include "table.h"

namespace polyops::onednn {
namespace {

// Leaked, like everything that polyops keeps a pointer to.
const std::vector<polyops_kernel>& kernel_table() {
  static const auto* table = [] {
    auto* all = new std::vector<polyops_kernel>;
    for (const auto kernels : {gemm_kernels(), convolution_kernels()}) {
      all->insert(all->end(), kernels.begin(), kernels.end());
    }
    return all;
  }();
  return *table;
}

// The library that is found at run time need not be the one that was linked.
int probe(char* reason, size_t capacity) {
  const dnnl_version_t& found = *dnnl_version();
  const auto runtime = found.cpu_runtime;
  if (runtime == DNNL_RUNTIME_OMP || runtime == DNNL_RUNTIME_SEQ) return 1;
  std::snprintf(
      reason, capacity,
      "libdnnl %d.%d.%d brings threads of its own (runtime %u; expected OpenMP's or none)",
      found.major, found.minor, found.patch, runtime);
  return 0;
}

const char* chip() {
  static const auto* name = new std::string(cpu::chip_name());
  return name->c_str();
}

const char* features() {
  static const auto* text = [] {
    const dnnl_version_t& v = *dnnl_version();
    return new std::string("onednn_" + std::to_string(v.major) + "." + std::to_string(v.minor) +
                           "." + std::to_string(v.patch));
  }();
  return text->c_str();
}

}  // namespace
}  // namespace polyops::onednn

extern "C" POLYOPS_EXPORT const polyops_backend* polyops_backend_init(const polyops_host* host);
extern "C" const polyops_backend* polyops_backend_init(const polyops_host* host) {
  using namespace polyops::onednn;
  if (host == nullptr || host->abi_version != POLYOPS_ABI_VERSION) return nullptr;
  set_host(host);
  static const polyops_backend backend = {sizeof(polyops_backend),
                                          POLYOPS_ABI_VERSION,
                                          "onednn",
                                          "cpu",
                                          probe,
                                          chip,
                                          features,
                                          nullptr,
                                          nullptr,
                                          kernel_table().data(),
                                          kernel_table().size()};
  return &backend;
}
