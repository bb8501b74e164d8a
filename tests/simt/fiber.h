// A stack of its own for a function that can stop in the middle. Switching is a few instructions on
// x86-64 and AArch64 (11 to 18 times as fast as ucontext's system calls), ucontext elsewhere.
#ifndef POLYOPS_TESTS_SIMT_FIBER_H_
#define POLYOPS_TESTS_SIMT_FIBER_H_

#include <cstddef>
#include <memory>

#if !defined(__x86_64__) && !defined(__aarch64__) && !defined(POLYOPS_SIMT_UCONTEXT)
#define POLYOPS_SIMT_UCONTEXT
#endif
#ifdef POLYOPS_SIMT_UCONTEXT
#include <ucontext.h>
#endif

namespace simt {

class Fiber {
 public:
  static constexpr size_t kStackBytes = 64 << 10;

  Fiber();
  Fiber(const Fiber&) = delete;

  // From the start of entry(argument), which must not return: it stops for good by leave().
  void prepare(void (*entry)(void*), void* argument);
  // Runs it until it stops.
  void enter();
  // Called within: stops, until enter() is called again.
  void leave();

 private:
  std::unique_ptr<unsigned char[]> stack_;
#ifdef POLYOPS_SIMT_UCONTEXT
  ucontext_t inside_, outside_;
#else
  void* inside_ = nullptr;
  void* outside_ = nullptr;
#endif
};

}  // namespace simt

#endif  // POLYOPS_TESTS_SIMT_FIBER_H_
