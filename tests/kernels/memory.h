// Memory that the family under test can reach: the host's own, or, where its kernels run on a device,
// pages of the host that the device sees at the same address.
#ifndef POLYOPS_TESTS_KERNELS_MEMORY_H_
#define POLYOPS_TESTS_KERNELS_MEMORY_H_

#include <cstddef>
#include <memory>
#include <new>
#include <string>
#include <vector>

#ifdef POLYOPS_TEST_CUDA
#include <cuda_runtime_api.h>
#endif

namespace polyops::testing {

#ifdef POLYOPS_TEST_CUDA
template <class T>
struct Reachable {
  using value_type = T;
  Reachable() = default;
  template <class U>
  Reachable(const Reachable<U>&) {}
  T* allocate(size_t n) {
    void* p = nullptr;
    if (cudaHostAlloc(&p, n * sizeof(T), cudaHostAllocMapped) != cudaSuccess)
      throw std::bad_alloc();
    return static_cast<T*>(p);
  }
  void deallocate(T* p, size_t) { cudaFreeHost(p); }
  bool operator==(const Reachable&) const = default;
};

// Waits for the device; what went wrong on it, or "".
inline std::string wait() {
  const cudaError_t error = cudaDeviceSynchronize();
  return error == cudaSuccess ? "" : cudaGetErrorString(error);
}
#else
template <class T>
using Reachable = std::allocator<T>;

inline std::string wait() { return ""; }
#endif

using Bytes = std::vector<unsigned char, Reachable<unsigned char>>;

}  // namespace polyops::testing

#endif  // POLYOPS_TESTS_KERNELS_MEMORY_H_
