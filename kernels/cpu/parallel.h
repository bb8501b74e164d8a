// parallel_for of the context, for a callable (begin, end, thread).
#ifndef POLYOPS_CPU_PARALLEL_H_
#define POLYOPS_CPU_PARALLEL_H_

#include <cstdint>

#include "polyops/abi.h"

namespace polyops::cpu {
namespace {

// Elements of a tensor from which torch splits its elementwise ops among threads, and so the most
// that a kernel here gives to one. A kernel that keeps more than that to one core leaves half of
// its result in the wrong cache for whatever torch runs next: layer_norm_backward.out of 49152
// elements, which copies what the kernel returns, took 74 us where the split one takes 17.
constexpr int64_t kTorchGrain = 32768;

// Not inlined, so that a body is compiled once for both ways into it.
template <class Body>
__attribute__((noinline)) void call_body(void* body, int64_t begin, int64_t end, int32_t thread) {
  (*static_cast<const Body*>(body))(begin, end, thread);
}

template <class Body>
inline void parallel_for(const polyops_context* ctx, int64_t n, int64_t grain, const Body& body) {
  void* user = const_cast<Body*>(&body);
  if (n <= grain || ctx->num_threads <= 1) {
    call_body<Body>(user, 0, n, 0);
  } else {
    ctx->parallel_for(ctx, n, grain, &call_body<Body>, user);
  }
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_PARALLEL_H_
