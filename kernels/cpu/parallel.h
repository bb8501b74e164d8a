// parallel_for of the context, for a callable (begin, end, thread).
#ifndef POLYOPS_CPU_PARALLEL_H_
#define POLYOPS_CPU_PARALLEL_H_

#include <cstdint>

#include "polyops/abi.h"

namespace polyops::cpu {
namespace {

template <class Body>
inline void parallel_for(const polyops_context* ctx, int64_t n, int64_t grain, const Body& body) {
  if (n <= grain || ctx->num_threads <= 1) {
    body(0, n, 0);
    return;
  }
  const auto call = [](void* user, int64_t begin, int64_t end, int32_t thread) {
    (*static_cast<const Body*>(user))(begin, end, thread);
  };
  ctx->parallel_for(ctx, n, grain, call, const_cast<Body*>(&body));
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_PARALLEL_H_
