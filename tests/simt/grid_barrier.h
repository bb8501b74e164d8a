// A barrier of all blocks of a grid, and what some of them tell each other, see gpu/gpu.h, on the
// harness: they are launched as a cluster.
#ifndef POLYOPS_TESTS_SIMT_GRID_BARRIER_H_
#define POLYOPS_TESTS_SIMT_GRID_BARRIER_H_

#include <cstdint>
#include <source_location>

#include "platform.h"
#include "simt.h"

namespace polyops::gpu {
namespace {

inline void grid_barrier(const std::source_location& where = std::source_location::current()) {
  simt::cluster_barrier(where);
}

struct alignas(16) Said {
  float x[3];
  uint32_t turn;
};
inline void say(Said* place, const Said& said) { *place = said; }
template <int kCount>
void hear(const Said* places, int first, int blocks, uint32_t turn, Said (&said)[kCount]) {
  for (int j = 0; j < kCount; ++j) {
    const int block = first + j * wave_size();
    said[j] = {};
    if (block < blocks) said[j] = places[block];
    if (block < blocks && said[j].turn != turn) throw simt::Error("a block has not said it");
  }
}
inline void meet_blocks(const std::source_location& where = std::source_location::current()) {
  simt::cluster_barrier(where);
}

inline void open_blocks(uint32_t*, bool) {}
inline void count_block(uint32_t*) {}
inline void await_blocks(const uint32_t*, uint32_t) {}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_TESTS_SIMT_GRID_BARRIER_H_
