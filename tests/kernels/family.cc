#include "family.h"

#include <new>

#ifdef POLYOPS_TEST_CUDA
#include <cuda_runtime_api.h>
#endif

namespace polyops::testing {

const char* family_library() { return POLYOPS_FAMILY_LIBRARY; }

#ifdef POLYOPS_TEST_CUDA
bool on_device() { return true; }

void* allocate_reachable(size_t bytes) {
  void* p = nullptr;
  if (cudaHostAlloc(&p, bytes, cudaHostAllocMapped) != cudaSuccess) throw std::bad_alloc();
  return p;
}

void free_reachable(void* p) { cudaFreeHost(p); }

std::string wait() {
  const cudaError_t error = cudaDeviceSynchronize();
  return error == cudaSuccess ? "" : cudaGetErrorString(error);
}
#else
bool on_device() { return false; }

void* allocate_reachable(size_t bytes) { return ::operator new(bytes); }

void free_reachable(void* p) { ::operator delete(p); }

std::string wait() { return ""; }
#endif

}  // namespace polyops::testing
