// A barrier of all blocks of a grid, see gpu/gpu.h, on the harness: they are launched as a cluster.
#ifndef POLYOPS_TESTS_SIMT_GRID_BARRIER_H_
#define POLYOPS_TESTS_SIMT_GRID_BARRIER_H_

#include <cstdint>
#include <source_location>

#include "simt.h"

namespace polyops::gpu {
namespace {

inline void grid_barrier(const std::source_location& where = std::source_location::current()) {
  simt::cluster_barrier(where);
}

// Those of all teams together.
inline void open_blocks(uint32_t*, bool) {}
inline void blocks_barrier(uint32_t*, int, int,
                           const std::source_location& where = std::source_location::current()) {
  simt::cluster_barrier(where);
}
inline void await_blocks(const uint32_t*) {}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_TESTS_SIMT_GRID_BARRIER_H_
