// The gradient of largest elements at stride 1, in contiguous planes: a block copies the windows'
// gradients and places, in 32 bits, to shared memory, where each is looked at by every element of
// the window. Bound: memory, gradients and indices once.
#ifndef POLYOPS_GPU_POOL2D_GATHER_H_
#define POLYOPS_GPU_POOL2D_GATHER_H_

#include <cstdint>

#include "axis.h"
#include "backward.h"
#include "gpu.h"
#include "largest.h"
#include "layout.h"
#include "stage.h"

namespace polyops::gpu {
namespace {

struct Found {
  float grad;
  int at;

  GPU_DEVICE void clear() { grad = 0, at = -1; }
  GPU_DEVICE void add_to(float (&sum)[1], int place) const {
    if (at == place) sum[0] += grad;
  }
};

template <class T>
struct StagedWindows {
  const T* grads;
  const int* places;

  GPU_DEVICE void load(Found* found, int64_t at) const {
    found->grad = widen(grads[at]);
    found->at = places[at];
  }
};

// All loads of a thread's next kIndices are issued before the first is used.
constexpr int kIndices = 8;

GPU_DEVICE void copy_places(const int64_t* indices, int count, int* places) {
  for (int first = thread_id(); first < count; first += kIndices * kStageThreads) {
    int at[kIndices][1];
#pragma unroll
    for (int k = 0; k < kIndices; ++k) {
      const int i = first + k * kStageThreads;
      if (i < count) load_indices(indices + i, at[k]);
    }
#pragma unroll
    for (int k = 0; k < kIndices; ++k) {
      const int i = first + k * kStageThreads;
      if (i < count) places[i] = at[k][0];
    }
  }
}

template <class T, int kSize>
GPU_KERNEL(kStageThreads)
pool2d_gather(LargestGradient<T> op, Stage s, int place_packs, Axis high, Axis wide) {
  await_earlier();
  GPU_DYNAMIC_SHARED(Words, memory);
  const Slab slab(s);
  const T* first = op.grad_dst + slab.first(s);
  int* const places = reinterpret_cast<int*>(memory);
  T* const tile = reinterpret_cast<T*>(memory + place_packs);
  T* const values = reinterpret_cast<T*>(memory + s.values_at);
  const int64_t first_result = slab.first_result(s);
  T* const results = values + misplaced(op.grad_src + first_result);
  if (slab.rows > 0) {
    fetch_run(first, slab.count(s), tile, kStageThreads);
    close_copies();
    copy_places(op.indices + slab.first(s), slab.count(s), places);
    wait_copies<0>();
  }
  barrier();
  const StagedWindows<T> windows = {tile + misplaced(first), places};
  slab.for_each_column(s, [&](int row, int result, int column, int begin, int end) {
    gather_column<T, 1, kSize, 1, 0, Found>(windows, row * wide.out, results + result + column, 1,
                                            column, begin, end, false, high, wide);
  });
  barrier();
  store_run(op.grad_src + first_result, slab.result_count(s), values, kStageThreads);
}

// Whether it was launched, and what that returned.
template <class T, int kSize>
bool launch_gather(const LargestGradient<T>& op, const Images& images, const Axis& high,
                   const Axis& wide, const polyops_context* ctx, int* status) {
  using Windows = SquareWindows<kSize, 1, 0>;
  const Reach reach = {1, high.padding + Windows::kFirst, Windows::kCount, 1};
  const Stage stage = make_stage(ctx, images.count, {high.out, wide.out, sizeof(T) + sizeof(int)},
                                 {high.in, wide.in, sizeof(T)}, wide.in, high.in, reach);
  if (stage.slab_units == 0) return false;
  const auto place_packs = static_cast<int>((most_elements(stage) + 3) / 4);
  *status = gpu::launch(pool2d_gather<T, kSize>, stage_shape(stage, 0), ctx, op, stage, place_packs,
                        high, wide);
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL2D_GATHER_H_
