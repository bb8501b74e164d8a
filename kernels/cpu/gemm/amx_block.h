// 32 x 32 results: 2 x 2 tiles of sums (amx_step.h). They go to a buffer in the L1 cache, and
// from there, rounded once, to dst: as they are, or transposed.
#ifndef POLYOPS_CPU_GEMM_AMX_BLOCK_H_
#define POLYOPS_CPU_GEMM_AMX_BLOCK_H_

#include <cstdint>

#include "gemm/amx_finish.h"
#include "gemm/amx_step.h"

#if defined(POLYOPS_ISA_AVX512)

namespace polyops::cpu {
namespace {

// Where 16 rows of lhs are.
struct LeftTile {
  const bf16* first;
  int64_t row_bytes, step_bytes;  // to the next row, to the next step of k
  const bf16* tail;               // the last step, filled up with zeros; null: there is none
  int64_t shift;                  // of its first row, from the block's first
};

struct AmxBlock {
  LeftTile left[2];
  const bf16* panel;
  int64_t steps;      // along k, whole ones
  int64_t row_bytes;  // of a panel's row of pairs
  Streams streams;
};

template <int kLefts, int kRights, Streams kStreams>
void multiply_block(const AmxBlock& block, Finisher& finisher) {
  constexpr int64_t kRowBytes = kPanel * sizeof(float);
  const LeftTile &a = block.left[0], &b = block.left[kLefts - 1];
  const bf16 *at_a = a.first, *at_b = b.first, *at_c = block.panel;
  const int64_t panel_step = kTileRows * block.row_bytes;
  zero_tile<kSum>();
  if constexpr (kRights > 1) zero_tile<kSum + 1>();
  if constexpr (kLefts > 1) zero_tile<kSum + 2>();
  if constexpr (kLefts > 1 && kRights > 1) zero_tile<kSum + 3>();
  for (int64_t p = block.steps; p > 0; --p) {
    load_step<kLefts, kRights, kStreams>(at_a, a.row_bytes, at_b, b.row_bytes, at_c,
                                         block.row_bytes);
    multiply_step<kLefts, kRights>();
    at_a = advance(at_a, a.step_bytes);
    at_b = advance(at_b, b.step_bytes);
    at_c = advance(at_c, panel_step);
    if (finisher.is_busy()) finisher.run_piece(block.steps);
  }
  if (a.tail != nullptr) {
    load_step<kLefts, kRights, kStreams>(a.tail, 64, b.tail, 64, at_c, block.row_bytes);
    multiply_step<kLefts, kRights>();
  }
  finisher.run_all();
  float* sums = finisher.next();
  float* first = sums + a.shift * kPanel;
  save_tile<kSum>(first, kRowBytes);
  if constexpr (kRights > 1) save_tile<kSum + 1>(first + 16, kRowBytes);
  float* second = sums + b.shift * kPanel;
  if constexpr (kLefts > 1) save_tile<kSum + 2>(second, kRowBytes);
  if constexpr (kLefts > 1 && kRights > 1) save_tile<kSum + 3>(second + 16, kRowBytes);
}

template <Streams kStreams>
inline void multiply_any(const AmxBlock& block, bool tall, bool wide, Finisher& finisher) {
  if (tall && wide) {
    multiply_block<2, 2, kStreams>(block, finisher);
  } else if (tall) {
    multiply_block<2, 1, kStreams>(block, finisher);
  } else if (wide) {
    multiply_block<1, 2, kStreams>(block, finisher);
  } else {
    multiply_block<1, 1, kStreams>(block, finisher);
  }
}

// With less to do along k, the pieces are no shorter than the products beside them (10 %).
inline constexpr int64_t kLongSteps = 6;

inline void run_amx_block(const AmxBlock& block, const AmxTarget& target, bool on_side,
                          const AmxPlace& at, Finisher& finisher) {
  const bool tall = at.rows > 16, wide = at.columns > 16, is_long = block.steps >= kLongSteps;
  if (is_long) finisher.expect(target, on_side, at);
  if (block.streams == Streams::kLeft) {
    multiply_any<Streams::kLeft>(block, tall, wide, finisher);
  } else if (block.streams == Streams::kRight) {
    multiply_any<Streams::kRight>(block, tall, wide, finisher);
  } else {
    multiply_any<Streams::kNeither>(block, tall, wide, finisher);
  }
  finisher.begin(target, on_side, at);
  if (!is_long) finisher.run_all();
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_ISA_AVX512
#endif  // POLYOPS_CPU_GEMM_AMX_BLOCK_H_
