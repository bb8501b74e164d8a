// Few classes, rows next to each other: a thread per row, on a shelf. Forward reads them there,
// backward leaves the gradient in their place and writes it back in packs.
#ifndef POLYOPS_GPU_CROSS_ENTROPY_FEW_H_
#define POLYOPS_GPU_CROSS_ENTROPY_FEW_H_

#include <cstddef>
#include <cstdint>

#include "backward.h"
#include "forward.h"
#include "gpu.h"
#include "shelf.h"

namespace polyops::gpu {
namespace {

// Shelves of a block, one after another, where rows are many: what a block does once, such as
// adding up its losses, takes many instructions beside those of a short row.
inline int few_turns(int64_t rows) {
  constexpr int64_t kWanted = 2048 * kFewThreads, kMost = 4;
  return static_cast<int>(rows < kWanted * kMost ? (rows < kWanted ? 1 : rows / kWanted) : kMost);
}

template <int kCount, class T, Smooth kSmooth>
GPU_DEVICE void absorb_next(const T* x, int first, const ClassWeights<T>& weights,
                            RowSums<kSmooth>* sums) {
  float values[kCount], top = kMinusInf;
#pragma unroll
  for (int j = 0; j < kCount; ++j) {
    values[j] = widen(x[first + j]);
    top = fmaxf(top, values[j]);
  }
  sums->raise_to(top);
  const ExpBelow<T> below(sums->exps.max);
#pragma unroll
  for (int j = 0; j < kCount; ++j) {
    sums->add(below, values[j], weight_for<T, kSmooth>(weights, first + j));
  }
}

// A row, read once.
template <class T, Smooth kSmooth>
GPU_DEVICE void absorb_row(const T* x, int n, const ClassWeights<T>& weights,
                           RowSums<kSmooth>* sums) {
  int j = 0;
#pragma unroll 1
  for (; j + 8 <= n; j += 8) absorb_next<8>(x, j, weights, sums);
  if ((n & 4) != 0) {
    absorb_next<4>(x, j, weights, sums);
    j += 4;
  }
  if ((n & 2) != 0) {
    absorb_next<2>(x, j, weights, sums);
    j += 2;
  }
  if ((n & 1) != 0) absorb_next<1>(x, j, weights, sums);
}

// exp(x - max) of 16 bits, all but a factor that is the same for all x: the largest times log2(e)
// is rounded, and what is lost by that is the factor's. So a difference takes one instruction.
class ExpRounded {
 public:
  GPU_DEVICE explicit ExpRounded(float max) {
    const float shift = shift_of(max);
    // Of larger numbers two that differ do so by more than any exponent.
    if (!(fabsf(shift) < 0x1p26f)) factor_ = 1;
    from_ = shift * factor_;
    rest_ = fmaf(shift, factor_, -from_);
  }
  GPU_DEVICE float operator()(float x) const { return exp2_flush(fmaf(x, factor_, -from_)); }
  GPU_DEVICE float factor() const { return exp2_flush(-rest_); }

 private:
  float factor_ = kLog2e;
  float from_, rest_;
};

// Elements of 16 bits, two to a word, in registers: the largest is known before the first
// exponential. On an H200, bfloat16: channels_last 8x19x512x1024 by elements 64.0 us, by words
// 61.0, 1048576x21 with weights 23.8 and 22.8, 1048576x10 17.5 and 18.1.
template <class T, Smooth kSmooth>
constexpr bool kByWords = sizeof(T) == 2 && kSmooth == Smooth::kNone;

// late, soon: the row's first word begins, its last one ends, with what is not its own.
template <int kWords, class T>
GPU_DEVICE void absorb_words(const OneWord* from, bool late, bool soon, MaxSum* exps) {
  const uint32_t none = words_of<T>(kMinusInf).w[0];
  uint32_t words[kWords];
#pragma unroll
  for (int i = 0; i < kWords; ++i) words[i] = from[i].w;
  if (late) words[0] = (words[0] & 0xffff0000) | (none & 0xffff);
  if (soon) words[kWords - 1] = (words[kWords - 1] & 0xffff) | (none & 0xffff0000);
  uint32_t top = words[0];
#pragma unroll
  for (int i = 1; i < kWords; ++i) top = max_words<T>(top, words[i]);
  exps->max = fmaxf(kMinusInf, top_of<T>(top));
  const ExpRounded below(exps->max);
  float sums[2] = {};
#pragma unroll
  for (int i = 0; i < kWords; ++i) {
    float both[2];
    widen2<T>(words[i], &both[0], &both[1]);
    sums[0] += below(both[0]);
    sums[1] += below(both[1]);
  }
  exps->sum = (sums[0] + sums[1]) * below.factor();
}

// count: of words, from kLow to kHigh.
template <int kLow, int kHigh, class T>
GPU_DEVICE void absorb_some_words(int count, const OneWord* from, bool late, bool soon,
                                  MaxSum* exps) {
  constexpr int kHalf = (kLow + kHigh) / 2;
  if constexpr (kLow == kHigh) {
    absorb_words<kLow, T>(from, late, soon, exps);
  } else if (count <= kHalf) {
    absorb_some_words<kLow, kHalf, T>(count, from, late, soon, exps);
  } else {
    absorb_some_words<kHalf + 1, kHigh, T>(count, from, late, soon, exps);
  }
}

template <class T, Smooth kSmooth>
GPU_KERNEL(kFewThreads, kByWords<T, kSmooth> ? 2048 / kFewThreads : 0)  // 32 registers
cross_entropy_few(const CrossEntropyCall<T> c, int turns) {
  await_earlier();
  GPU_DYNAMIC_SHARED(T, memory);
  GPU_SHARED(float, shared, 2 * kMostWaves);
  if (c.parts != nullptr) let_later_begin();
  float part[2] = {0, 0};
#pragma unroll 1
  for (int turn = 0; turn < turns; ++turn) {
    const auto number = static_cast<uint32_t>(block_id() * turns + turn);
    if (number * kFewThreads >= c.rows) break;
    const Shelf<T> shelf(memory, c.rows, c.n, number);
    if (turn > 0) barrier();  // all have read the last one
    shelf.fill(c.src);
    const uint32_t row = number * kFewThreads + static_cast<uint32_t>(thread_id());
    const bool inside = row < c.rows;
    const int64_t target = inside ? c.targets.at(row) : c.targets.ignored;
    Labelled label;
    label.counts = c.targets.counts(target);
    if (label.counts) label.weight = c.weights.at(target);
    wait_copies<0>();
    barrier();
    if (!inside) continue;
    const T* x = memory + thread_id() * c.n;
    RowSums<kSmooth> sums;
    if constexpr (kByWords<T, kSmooth>) {
      const bool late = reinterpret_cast<uintptr_t>(x) % 4 != 0, soon = c.n % 2 != 0 && !late;
      const auto* const from = reinterpret_cast<const OneWord*>(x - (late ? 1 : 0));
      absorb_some_words<1, kMostFew / 2, T>((c.n + 1) / 2, from, late, soon, &sums.exps);
      // Of a class alone the loss is 0, without what the factor is rounded by.
      if (c.n == 1 && fabsf(sums.exps.sum - 1) < 0x1p-10f) sums.exps.sum = 1;
    } else {
      absorb_row(x, c.n, c.weights, &sums);
    }
    if (label.counts) label.x = widen(x[target]);
    part[0] += finish_row(c, row, label, sums);
    part[1] += label.weight;
  }
  if (c.parts == nullptr) return;
  sum_team(part, block_threads(), shared);
  if (thread_id() == 0) leave_part(c, block_id(), part);
}

// In place. target: negative where the row does not count.
template <class T, bool kWeighted>
GPU_DEVICE void write_few_gradient(const RowGradient<T, kWeighted>& gradient, int target,
                                   float weight, int n, T* x) {
  if (target < 0) {
    const T ignored = narrow<T>(gradient.ignored());
    for (int j = 0; j < n; ++j) x[j] = ignored;
    return;
  }
  const float own = gradient.of_label(widen(x[target]), target, weight);
#pragma unroll 4
  for (int j = 0; j < n; ++j) x[j] = narrow<T>(gradient(widen(x[j]), j));
  x[target] = narrow<T>(own);
}

// All that a row takes is on the way together with the scores.
template <class T, bool kWeighted>
GPU_KERNEL(kFewThreads)
cross_entropy_few_backward(const CrossEntropyBackwardCall<T> c) {
  await_earlier();
  GPU_DYNAMIC_SHARED(T, memory);
  const Shelf<T> shelf(memory, c.rows, c.n);
  shelf.fill(c.src);
  const auto row = static_cast<uint32_t>(block_id() * block_threads() + thread_id());
  const bool inside = row < c.rows;
  const uint32_t read = inside ? row : c.rows - 1;
  const int64_t target = c.targets.at(read);
  const RowGradient<T, kWeighted> gradient(c, read);
  const bool counts = c.targets.counts(target);
  const float weight = counts ? c.weights.at(target) : 0.0f;
  wait_copies<0>();
  barrier();
  if (inside) {
    write_few_gradient<T, kWeighted>(gradient, counts ? static_cast<int>(target) : -1, weight, c.n,
                                     memory + thread_id() * c.n);
  }
  barrier();
  shelf.write(c.grad_src);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CROSS_ENTROPY_FEW_H_
