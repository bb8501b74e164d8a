// Elementwise over rows whose elements lie apart, as every other one of wider rows: parts of waves
// take stretches of a row, so that a thread takes its place apart once for all of its elements,
// whose loads are all under way before the first is used. Bound: memory, whole sectors.
#ifndef POLYOPS_GPU_ELEMENTWISE_NEAR_H_
#define POLYOPS_GPU_ELEMENTWISE_NEAR_H_

#include <cstdint>

#include "division.h"
#include "elementwise_shifted.h"
#include "gpu.h"
#include "short_walk.h"
#include "walk.h"

namespace polyops::gpu {
namespace {

constexpr int kNearLanes = 32;
constexpr int kNearElements = 8;  // of a thread
constexpr int kNearStretch = kNearLanes * kNearElements;

template <int kTensors>
struct NearRows {
  ShortWalk<kTensors> rows;
  int64_t strides[kTensors];  // from one element of a row to the next
  int count;                  // elements of a row
  Division stretches;         // of a row
  uint32_t teams;             // of all rows
};

template <class T, int kInputs, class Function>
GPU_KERNEL(kElementThreads)
near_elements(Function f, Pointers<T, kInputs, 1> p,
              const GPU_CONSTANT NearRows<kInputs + 1> near) {
  await_earlier();
  constexpr int kTeams = kElementThreads / kNearLanes;
  uint32_t row = static_cast<uint32_t>(block_id()) * kTeams + thread_id() / kNearLanes;
  if (row >= near.teams) return;
  const uint32_t stretch = take_remainder(near.stretches, &row);
  const int first = static_cast<int>(stretch) * kNearStretch + thread_id() % kNearLanes;
  int64_t at[kInputs + 1];
  near.rows.offsets(row, at);
  T loaded[kInputs][kNearElements];
#pragma unroll
  for (int t = 0; t < kInputs; ++t) {
    const T* from = p.in[t] + at[t] + first * near.strides[t];
#pragma unroll
    for (int k = 0; k < kNearElements; ++k, from += kNearLanes * near.strides[t]) {
      if (first + k * kNearLanes < near.count) loaded[t][k] = *from;
    }
  }
  T* to = p.out[0] + at[kInputs] + first * near.strides[kInputs];
#pragma unroll
  for (int k = 0; k < kNearElements; ++k, to += kNearLanes * near.strides[kInputs]) {
    if (first + k * kNearLanes >= near.count) return;
    float operands[kInputs], results[1];
#pragma unroll
    for (int t = 0; t < kInputs; ++t) operands[t] = widen(loaded[t][k]);
    apply(f, operands, results);
    *to = narrow<T>(results[0]);
  }
}

// Whether these are such rows, of which no stretch is mostly empty.
template <int kTensors>
bool make_near(const Walk<kTensors>& walk, NearRows<kTensors>* near) {
  const int64_t count = walk.sizes[0], stretches = divide_up(count, kNearStretch);
  if (walk.rank < 2 || 4 * count < 3 * stretches * kNearStretch) return false;
  if (make_short(walk).rank == 0) return false;
  near->rows = make_short(without_innermost(walk));
  for (int t = 0; t < kTensors; ++t) near->strides[t] = walk.strides[t][0];
  near->count = static_cast<int>(count);
  near->stretches = Division(static_cast<uint32_t>(stretches));
  near->teams = static_cast<uint32_t>(walk.numel() / count * stretches);
  return true;
}

template <class T, int kInputs, class Function>
int launch_near(Function f, const Pointers<T, kInputs, 1>& p, const NearRows<kInputs + 1>& near,
                const polyops_context* ctx) {
  constexpr int kTeams = kElementThreads / kNearLanes;
  return gpu::launch(near_elements<T, kInputs, Function>,
                     {divide_up(near.teams, kTeams), kElementThreads}, ctx, f, p, near);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_ELEMENTWISE_NEAR_H_
