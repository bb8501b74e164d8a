// What becomes of a block's sums: rounded once they go to dst, as they are or transposed. In pieces
// that take no longer than the products of one step along k, so that they run beside the products
// of the next block.
#ifndef POLYOPS_CPU_GEMM_AMX_FINISH_H_
#define POLYOPS_CPU_GEMM_AMX_FINISH_H_

#include <cstdint>

#include "gemm/amx_pack.h"
#include "gemm/panel.h"
#include "gemm/problem.h"

#if defined(POLYOPS_ISA_AVX512)

namespace polyops::cpu {
namespace {

using AmxTarget = Target<float, bf16>;

// Sums of a block, by rows. A tile of fewer than 16 new rows begins with some that were done
// before: so there is room before the first.
struct alignas(64) Sums {
  float before[16 * kPanel];
  float at[kPanel * kPanel];
};

// 32 numbers stored as bfloat16; of those beyond `lanes`, nothing is read or written.
inline Pair<F32> load_32(const bf16* p, __mmask32 lanes) {
  const __m512i all = _mm512_maskz_loadu_epi16(lanes, p);
  return {{widen(_mm512_castsi512_si256(all))}, {widen(_mm512_extracti64x4_epi64(all, 1))}};
}
inline void store_32(bf16* p, __mmask32 lanes, Pair<F32> x) {
  _mm512_mask_storeu_epi16(p, lanes, flushed(x.first, x.second).v);
}

// How the addend lies, seen along dst's rows of unit stride.
enum class Added : int32_t { kNothing, kSameRow, kRow, kOnePerRow };

template <Added kAdded>
void finish_rows(const AmxTarget& t, int64_t i, int64_t j, int64_t rows, int64_t columns,
                 const float* sums) {
  const F32 alpha = F32::set1(t.alpha), beta = F32::set1(t.beta);
  const auto lanes = static_cast<__mmask32>(columns >= 32 ? ~0u : (1u << columns) - 1u);
  bf16* dst = t.dst + i * t.dst_m + j;
  const bf16* addend = kAdded == Added::kNothing ? nullptr : t.addend + i * t.addend_m;
  if (kAdded == Added::kRow || kAdded == Added::kSameRow) addend += j;
  Pair<F32> c = {F32::zero(), F32::zero()};
  if (kAdded == Added::kSameRow) c = load_32(addend, lanes);
  for (int64_t r = 0; r < rows; ++r, sums += kPanel, dst += t.dst_m) {
    Pair<F32> x = {load<F32>(sums) * alpha, load<F32>(sums + 16) * alpha};
    if (kAdded == Added::kRow) c = load_32(addend, lanes);
    if (kAdded == Added::kOnePerRow) c.first = c.second = F32::set1(to_float(*addend));
    if (kAdded != Added::kNothing) {
      x = {fma(beta, c.first, x.first), fma(beta, c.second, x.second)};
      addend += t.addend_m;
    }
    store_32(dst, lanes, x);
  }
}

using FinishFn = void (*)(const AmxTarget&, int64_t, int64_t, int64_t, int64_t, const float*);

inline void scatter_rows(const AmxTarget& t, int64_t i, int64_t j, int64_t rows, int64_t columns,
                         const float* sums) {
  scatter(t, i, j, rows, columns, sums, kPanel);
}

inline FinishFn finish_of(const AmxTarget& t) {
  if (!fits_vectors(t)) return scatter_rows;
  if (t.addend == nullptr) return finish_rows<Added::kNothing>;
  if (t.addend_n == 0) return finish_rows<Added::kOnePerRow>;
  return t.addend_m == 0 ? finish_rows<Added::kSameRow> : finish_rows<Added::kRow>;
}

// 16 x 16 of them.
inline void transpose_sums(const float* src, float* dst) {
  F32 block[16];
#pragma GCC unroll 16
  for (int r = 0; r < 16; ++r) block[r] = load<F32>(src + r * kPanel);
  transpose(block);
#pragma GCC unroll 16
  for (int c = 0; c < 16; ++c) store(dst + c * kPanel, block[c]);
}

// t, transposed.
inline AmxTarget transposed(const AmxTarget& t) {
  AmxTarget other = t;
  swap_values(other.dst_m, other.dst_n);
  swap_values(other.addend_m, other.addend_n);
  return other;
}

// dst's rows [i, i + rows) x columns [j, j + columns).
struct AmxPlace {
  int64_t i, j, rows, columns;
};

// Where each block's sums go, and the one block that is still on its way.
class Finisher {
 public:
  // Room for the sums of the next block.
  float* next() { return sums_[turn_].at; }

  // Before a block that is multiplied beside what is not yet done: its sums get other room, and
  // dst's rows begin to come into the cache.
  void expect(const AmxTarget& target, bool on_side, const AmxPlace& at) {
    turn_ ^= 1;
    const int64_t row = on_side ? target.dst_n : target.dst_m;
    const bf16* dst = target.dst + at.i * target.dst_m + at.j * target.dst_n;
    const int64_t rows = on_side ? at.columns : at.rows;
    for (int64_t r = 0; r < rows; ++r) __builtin_prefetch(dst + r * row, 1);
  }

  // The sums in next() are there; what was begun before is done. `on_side`: to be transposed.
  void begin(const AmxTarget& target, bool on_side, const AmxPlace& at) {
    target_ = on_side ? transposed(target) : target;
    at_ = on_side ? AmxPlace{at.j, at.i, at.columns, at.rows} : at;
    finish_ = finish_of(target_);
    source_ = sums_[turn_].at;
    row_ = 0;
    corner_ = on_side ? 0 : kCorners;
  }

  bool is_busy() const { return row_ < at_.rows; }

  // About 1 / steps of what there is to do.
  void run_piece(int64_t steps) {
    if (corner_ < kCorners) {
      transpose_corner();
      return;
    }
    const int64_t most = steps >= 16 ? 4 : steps > 4 ? 8 : kPanel;
    const int64_t rows = min_of(most, at_.rows - row_);
    finish_(target_, at_.i + row_, at_.j, rows, at_.columns, source_ + row_ * kPanel);
    row_ += rows;
  }

  void run_all() {
    while (is_busy()) run_piece(1);
  }

 private:
  static constexpr int64_t kCorners = 4;

  void transpose_corner() {
    const int64_t i = corner_ / 2 * 16, j = corner_ % 2 * 16;
    if (j < at_.rows && i < at_.columns) {
      transpose_sums(source_ + i * kPanel + j, turned_ + j * kPanel + i);
    }
    if (++corner_ == kCorners) source_ = turned_;
  }

  Sums sums_[2];
  alignas(64) float turned_[kPanel * kPanel];
  AmxTarget target_;
  AmxPlace at_ = {};
  FinishFn finish_;
  const float* source_;
  int64_t turn_ = 0, row_ = 0, corner_ = 0;
};

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_ISA_AVX512
#endif  // POLYOPS_CPU_GEMM_AMX_FINISH_H_
