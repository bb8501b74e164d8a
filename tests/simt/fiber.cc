#include "fiber.h"

#include <cstdint>
#include <cstring>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace simt {
namespace {

// A fiber left in the middle leaves its frames' marks behind.
void forget_frames([[maybe_unused]] unsigned char* stack, [[maybe_unused]] size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(stack, bytes);
#endif
}

}  // namespace

Fiber::Fiber() : stack_(new unsigned char[kStackBytes]) {}

void Fiber::begin(void* data) {
  auto* fiber = static_cast<Fiber*>(data);
  has_switched(nullptr, &fiber->outside_stack_, &fiber->outside_bytes_);
  fiber->entry_(fiber->argument_);
}

#ifdef POLYOPS_SIMT_UCONTEXT

namespace {

// makecontext passes int arguments alone.
void start(unsigned entry_low, unsigned entry_high, unsigned low, unsigned high) {
  const auto pointer = [](unsigned l, unsigned h) {
    return static_cast<uintptr_t>(l) | static_cast<uintptr_t>(h) << 16 << 16;
  };
  reinterpret_cast<void (*)(void*)>(pointer(entry_low, entry_high))(
      reinterpret_cast<void*>(pointer(low, high)));
}

}  // namespace

void Fiber::prepare(void (*entry)(void*), void* argument) {
  entry_ = entry;
  argument_ = argument;
  forget_frames(stack_.get(), kStackBytes);
  const auto e = reinterpret_cast<uintptr_t>(&Fiber::begin), a = reinterpret_cast<uintptr_t>(this);
  getcontext(&inside_);
  inside_.uc_stack.ss_sp = stack_.get();
  inside_.uc_stack.ss_size = kStackBytes;
  inside_.uc_link = nullptr;
  makecontext(&inside_, reinterpret_cast<void (*)()>(start), 4, static_cast<unsigned>(e),
              static_cast<unsigned>(e >> 16 >> 16), static_cast<unsigned>(a),
              static_cast<unsigned>(a >> 16 >> 16));
}

#else

// polyops_simt_start: where a new fiber goes on. It finds entry and argument on its stack, or on
// AArch64 in registers that polyops_simt_switch has taken from there.
extern "C" void polyops_simt_start();

#if defined(__x86_64__)
asm(R"(
  .text
  .globl polyops_simt_start
  .hidden polyops_simt_start
polyops_simt_start:
  popq %rbx
  popq %rdi
  xorl %ebp, %ebp
  callq *%rbx
  ud2
)");
constexpr int kSaved = 3, kReturn = 0, kEntry = 1, kArgument = 2;  // words from the stack's place
#else
// Keeps the registers that a callee owes its caller.
asm(R"(
  .text
  .globl polyops_simt_switch
  .hidden polyops_simt_switch
polyops_simt_switch:
  sub sp, sp, #160
  stp x19, x20, [sp]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
  .globl polyops_simt_start
  .hidden polyops_simt_start
polyops_simt_start:
  mov x0, x20
  mov x29, xzr
  blr x19
  brk #1
)");
constexpr int kSaved = 20, kReturn = 11, kEntry = 0, kArgument = 1;
#endif

void Fiber::prepare(void (*entry)(void*), void* argument) {
  entry_ = entry;
  argument_ = argument;
  // Those below where it stopped have ended: they left none.
  if (inside_ != nullptr) {
    const auto ended = static_cast<unsigned char*>(inside_) - stack_.get();
    forget_frames(stack_.get() + ended, kStackBytes - ended);
  }
  auto end = reinterpret_cast<uintptr_t>(stack_.get() + kStackBytes) & ~uintptr_t{15};
  void* words[kSaved] = {};
  words[kReturn] = reinterpret_cast<void*>(polyops_simt_start);
  words[kEntry] = reinterpret_cast<void*>(&Fiber::begin);
  words[kArgument] = this;
  // After the switch the stack is where a call needs it: a multiple of 16 before the call.
  const uintptr_t place =
      end - (sizeof words + 15) / 16 * 16 - 16 + (sizeof words % 16 != 0 ? 8 : 0);
  inside_ = reinterpret_cast<void*>(place);
  std::memcpy(inside_, words, sizeof words);
}

#endif

}  // namespace simt
