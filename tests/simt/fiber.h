// A stack of its own for a function that can stop in the middle. Switching is a few instructions on
// x86-64 and AArch64 (11 to 18 times as fast as ucontext's system calls), ucontext elsewhere.
#ifndef POLYOPS_TESTS_SIMT_FIBER_H_
#define POLYOPS_TESTS_SIMT_FIBER_H_

#include <cstddef>
#include <memory>

#include "switch.h"

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
  void enter() {
    void* kept = nullptr;
    will_switch(&kept, stack_.get(), kStackBytes);
    switch_in();
    has_switched(kept, nullptr, nullptr);
  }
  // Called within: stops, until enter() is called again.
  void leave() {
    void* kept = nullptr;
    will_switch(&kept, outside_stack_, outside_bytes_);
    switch_out();
    has_switched(kept, &outside_stack_, &outside_bytes_);
  }

 private:
  static void begin(void* fiber);  // where a prepared fiber goes on
#ifdef POLYOPS_SIMT_UCONTEXT
  void switch_in() { swapcontext(&outside_, &inside_); }
  void switch_out() { swapcontext(&inside_, &outside_); }
#else
  void switch_in() { switch_stacks(&outside_, inside_); }
  void switch_out() { switch_stacks(&inside_, outside_); }
#endif

  std::unique_ptr<unsigned char[]> stack_;
  void (*entry_)(void*) = nullptr;
  void* argument_ = nullptr;
  // What AddressSanitizer is told of the stack that enter() was called on.
  const void* outside_stack_ = nullptr;
  size_t outside_bytes_ = 0;
#ifdef POLYOPS_SIMT_UCONTEXT
  ucontext_t inside_, outside_;
#else
  void* inside_ = nullptr;
  void* outside_ = nullptr;
#endif
};

}  // namespace simt

#endif  // POLYOPS_TESTS_SIMT_FIBER_H_
