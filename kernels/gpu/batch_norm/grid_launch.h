// Which batches a grid takes that is at work at once, see grid.h.
#ifndef POLYOPS_GPU_BATCH_NORM_GRID_LAUNCH_H_
#define POLYOPS_GPU_BATCH_NORM_GRID_LAUNCH_H_

#include "channel_norm/walk_plan.h"
#include "grid.h"
#include "held_launch.h"
#include "layout.h"

namespace polyops::gpu {
namespace {

constexpr int64_t kLeastGridBytes = 95 << 10;  // of a multiprocessor and a tensor
constexpr int64_t kGridBesides = 5 << 10;      // bytes of a block's own arrays

constexpr int64_t grid_step_bytes(int inputs) {
  return int64_t{grid_rows(inputs)} * inputs * kGridThreads * 16;
}

// Packs of a tile of several that a block takes, one after the other, and bytes of a multiprocessor
// in such a tile, of all tensors that are read, that are worth it. (Shared memory and second-level
// cache of an H200 have room for two of them. Measured with 380 KB.)
constexpr int64_t turn_packs(int inputs) { return inputs == 1 ? 16 : 8; }
constexpr int64_t kLeastTurnBytes = 300 << 10;

// Tiles of `across` packs, so many of them at once. False: they would leave multiprocessors idle.
inline bool divide_tiles(const BatchShape& shape, int64_t pack, int inputs, int64_t across,
                         int64_t at_once, const polyops_context* ctx, GridColumns* grid) {
  const auto i32 = [](int64_t x) { return static_cast<int32_t>(x); };
  const int64_t blocks = multiprocessors(ctx), rows = shape.n();
  const int64_t tiles = quotient_up(shape.channels / pack, across);
  if (at_once > blocks) return false;
  const int64_t part = quotient_up(rows, blocks / at_once), chunks = quotient_up(rows, part);
  if (at_once * chunks * 4 < blocks * 3 || chunks > most_chunks(shape, pack, inputs)) return false;
  if (chunks > kMostGridChunks) return false;
  const int64_t steps = quotient_up(quotient_up(part, kGridThreads / across), grid_rows(inputs));
  const int64_t room =
      (most_shared(ctx) - kGridBesides) / grid_step_bytes(inputs) - grid_ahead(inputs);
  if (room < 0) return false;
  *grid = {{i32(rows), i32(shape.channels), i32(across), i32(tiles), i32(chunks), i32(part)},
           i32(steps < room ? steps : room),
           i32(tiles / at_once)};
  return true;
}

// False: not by such a grid. `inputs`: tensors that are read.
inline bool divide_grid(const BatchShape& shape, int64_t pack, int inputs,
                        const polyops_context* ctx, GridColumns* grid) {
  const int64_t blocks = multiprocessors(ctx), packs = shape.channels / pack;
  const int64_t bytes = shape.n() * 16, few = turn_packs(inputs);
  if (!shape.last || shape.channels % pack != 0) return false;
  if (bytes * packs < blocks * kLeastGridBytes) return false;
  int64_t across = kGridAcross;
  while (across > 1 && quotient_up(packs, across) * across * 8 > packs * 9) across /= 2;
  if (few < across && packs % few == 0 && bytes * few * inputs >= blocks * kLeastTurnBytes &&
      divide_tiles(shape, pack, inputs, few, 1, ctx, grid)) {
    return true;
  }
  return divide_tiles(shape, pack, inputs, across, quotient_up(packs, across), ctx, grid);
}

// Whether it was launched; `status` then says how that went.
template <class T, int kInputs, class What>
bool launch_grid(const RunPointers<T, kInputs>& p, const BatchShape& shape, const What& what,
                 void (*kernel)(GridColumns, What, RunPointers<T, kInputs>, void*),
                 const polyops_context* ctx, int* status) {
  GridColumns grid;
  if (!aligned({p.in[0], p.in[kInputs - 1], p.out})) return false;
  if (!divide_grid(shape, kPack<T>, kInputs, ctx, &grid)) return false;
  LaunchShape launched = {int64_t{grid.of.tiles / grid.turns} * grid.of.chunks, kGridThreads};
  launched.shared_bytes =
      static_cast<size_t>((grid.held + grid_ahead(kInputs)) * grid_step_bytes(kInputs));
  launched.whole = true;
  *status = launch(kernel, launched, ctx, grid, what, p, ctx->scratch);
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_BATCH_NORM_GRID_LAUNCH_H_
