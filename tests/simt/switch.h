// From one stack to another on x86-64 and AArch64, and what AddressSanitizer has to be told of it.
#ifndef POLYOPS_TESTS_SIMT_SWITCH_H_
#define POLYOPS_TESTS_SIMT_SWITCH_H_

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace simt {

// Without being told, AddressSanitizer takes an exception on a fiber's stack for an overflow.
inline void will_switch([[maybe_unused]] void** keep, [[maybe_unused]] const void* stack,
                        [[maybe_unused]] size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(keep, stack, bytes);
#endif
}

inline void has_switched([[maybe_unused]] void* kept, [[maybe_unused]] const void** stack,
                         [[maybe_unused]] size_t* bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(kept, stack, bytes);
#endif
}

// Leaves the place of this stack in *save, and goes on where `load` was left.
#if defined(__x86_64__)
#ifdef __AVX512F__
#define POLYOPS_SIMT_MORE_REGISTERS                                                             \
  , "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25",   \
      "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2", "k3", "k4", "k5", "k6", \
      "k7"
#else
#define POLYOPS_SIMT_MORE_REGISTERS
#endif
// In line and by a jump: processors foresee returns from the calls before them, and to return on
// another stack was a surprise to them two or three times a switch (batch_norm_test 5.6 -> 3.3 s).
// The compiler saves all other registers that it needs, as asked for below.
inline __attribute__((always_inline)) void switch_stacks(void** save, void* load) {
  asm volatile(R"(
    leaq -128(%%rsp), %%rsp  # a function that calls none may have data there
    pushq %%rbp
    pushq %%rbx
    leaq 1f(%%rip), %%rax
    pushq %%rax
    movq %%rsp, (%%rdi)
    movq %%rsi, %%rsp
    popq %%rax
    jmpq *%%rax
  1:
    popq %%rbx
    popq %%rbp
    leaq 128(%%rsp), %%rsp
  )"
               : "+D"(save), "+S"(load)
               :
               : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "cc",
                 "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                 "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
                 "xmm15" POLYOPS_SIMT_MORE_REGISTERS);
}
#undef POLYOPS_SIMT_MORE_REGISTERS
#elif defined(__aarch64__)
extern "C" void polyops_simt_switch(void** save, void* load);
inline void switch_stacks(void** save, void* load) { polyops_simt_switch(save, load); }
#endif

}  // namespace simt

#endif  // POLYOPS_TESTS_SIMT_SWITCH_H_
