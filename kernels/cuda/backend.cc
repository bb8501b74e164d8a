// The family's table and its probe. A machine without a driver or a device declines it.
#include <cuda_runtime_api.h>

#include <cctype>
#include <cstdio>
#include <string>
#include <vector>

#include "gpu/table.h"
#include "polyops/abi.h"
#include "runtime.h"

namespace polyops::gpu {
#define DECLARE(op, target) KernelList POLYOPS_GPU_CONCAT(op, target)();
POLYOPS_GPU_OPS(DECLARE, cuda)
#undef DECLARE
}  // namespace polyops::gpu

namespace polyops::cuda {
namespace {

// sm_80's code runs on every later chip of its generation; the compiled PTX on those after.
constexpr int kLeastMajor = 8;

void append(std::vector<polyops_kernel>* all, gpu::KernelList list) {
  all->insert(all->end(), list.first, list.first + list.count);
}

// Leaked, like everything that polyops keeps a pointer to.
const std::vector<polyops_kernel>& kernel_table() {
  static const auto* table = [] {
    auto* all = new std::vector<polyops_kernel>;
#define APPEND(op, target) append(all, gpu::POLYOPS_GPU_CONCAT(op, target)());
    POLYOPS_GPU_OPS(APPEND, cuda)
#undef APPEND
    return all;
  }();
  return *table;
}

constexpr const char* kIsas[] = {"cuda", nullptr};
int runs_isa(const char* isa) { return std::string(isa) == kIsas[0]; }

cudaDeviceProp properties;  // of the first device; written by probe alone

int probe(char* reason, size_t capacity) {
  int devices = 0;
  cudaError_t error = cudaGetDeviceCount(&devices);
  if (error == cudaSuccess && devices == 0) error = cudaErrorNoDevice;
  if (error == cudaSuccess) error = cudaGetDeviceProperties(&properties, 0);
  if (error != cudaSuccess) {
    std::snprintf(reason, capacity, "%s", cudaGetErrorString(error));
    cudaGetLastError();
    return 0;
  }
  if (properties.major >= kLeastMajor) return 1;
  std::snprintf(reason, capacity, "compute capability %d.%d of %s (expected %d.0 or later)",
                properties.major, properties.minor, properties.name, kLeastMajor);
  return 0;
}

// "NVIDIA H200" -> "nvidia_h200"
const char* chip() {
  static const auto* name = [] {
    auto* text = new std::string;
    for (const char* c = properties.name; *c != '\0'; ++c) {
      const auto letter = static_cast<unsigned char>(*c);
      *text += std::isalnum(letter) != 0 ? static_cast<char>(std::tolower(letter)) : '_';
    }
    return text;
  }();
  return name->c_str();
}

const char* features() {
  static const auto* text = [] {
    int driver = 0;
    cudaDriverGetVersion(&driver);
    return new std::string(
        "sm_" + std::to_string(properties.major) + std::to_string(properties.minor) +
        ",multiprocessors_" + std::to_string(properties.multiProcessorCount) + ",driver_" +
        std::to_string(driver / 1000) + "." + std::to_string(driver % 1000 / 10));
  }();
  return text->c_str();
}

}  // namespace
}  // namespace polyops::cuda

extern "C" POLYOPS_EXPORT const polyops_backend* polyops_backend_init(const polyops_host* host);
extern "C" const polyops_backend* polyops_backend_init(const polyops_host* host) {
  using namespace polyops::cuda;
  if (host == nullptr || host->abi_version != POLYOPS_ABI_VERSION) return nullptr;
  set_host(host);
  static const polyops_backend backend = {sizeof(polyops_backend),
                                          POLYOPS_ABI_VERSION,
                                          "cuda",
                                          "cuda",
                                          probe,
                                          chip,
                                          features,
                                          kIsas,
                                          runs_isa,
                                          kernel_table().data(),
                                          kernel_table().size()};
  return &backend;
}
