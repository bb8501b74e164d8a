// A multiprocessor's shared memory, of which each of its blocks has a part: what it has declared,
// what it asks for, and some that the system keeps.
#ifndef POLYOPS_GPU_SHARED_MEMORY_H_
#define POLYOPS_GPU_SHARED_MEMORY_H_

#include <cstdint>

#include "gpu.h"

namespace polyops::gpu {
namespace {

constexpr int64_t kReserved = 1024;  // by the system, per block

// Bytes that a block may have where so many share a multiprocessor.
inline int64_t shared_each(const polyops_context* ctx, int64_t blocks) {
  return (most_shared(ctx) + kReserved) / blocks - kReserved;
}

// Blocks of so many bytes each that a multiprocessor has room for.
inline int64_t blocks_that_share(const polyops_context* ctx, int64_t bytes) {
  return (most_shared(ctx) + kReserved) / (bytes + kReserved);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_SHARED_MEMORY_H_
