// What differs between the families that a test is linked for. All else is compiled once: the
// harness, and the cases of an op, which its family on the CPU, the lane-by-lane one and a device's
// share.
#ifndef POLYOPS_TESTS_KERNELS_FAMILY_H_
#define POLYOPS_TESTS_KERNELS_FAMILY_H_

#include <cstddef>
#include <string>
#include <vector>

namespace polyops::testing {

// The library, where it was built.
const char* family_library();

// Whether its kernels run on a device, whose context does not outlive one that fails.
bool on_device();

// Memory that its kernels can reach: the host's own, or pages of the host that the device sees at
// the same address. std::bad_alloc if there is none.
void* allocate_reachable(size_t bytes);
void free_reachable(void* p);

// Waits for the device; what went wrong on it, or "".
std::string wait();

template <class T>
struct Reachable {
  using value_type = T;
  Reachable() = default;
  template <class U>
  Reachable(const Reachable<U>&) {}
  T* allocate(size_t n) { return static_cast<T*>(allocate_reachable(n * sizeof(T))); }
  void deallocate(T* p, size_t) { free_reachable(p); }
  bool operator==(const Reachable&) const = default;
};
using Bytes = std::vector<unsigned char, Reachable<unsigned char>>;

}  // namespace polyops::testing

#endif  // POLYOPS_TESTS_KERNELS_FAMILY_H_
