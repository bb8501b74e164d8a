// Elementwise over rows that begin anywhere, those of each tensor elsewhere in their 16 bytes, as
// the halves of odd rows do. Packs are those of an output; an input's elements for one come from
// the two packs of its own that they lie in, of which the second is a neighbour's first, from the
// cache. An output has its own packs, and computes from the inputs anew. Bound: memory, each tensor
// once.
#ifndef POLYOPS_GPU_ELEMENTWISE_SHIFTED_H_
#define POLYOPS_GPU_ELEMENTWISE_SHIFTED_H_

#include <cstdint>

#include "division.h"
#include "gpu.h"
#include "walk.h"

namespace polyops::gpu {
namespace {

constexpr int kElementThreads = 256;

template <class Function>
GPU_DEVICE void apply(const Function& f, const float (&x)[1], float (&y)[1]) {
  y[0] = f(x[0]);
}
template <class Function>
GPU_DEVICE void apply(const Function& f, const float (&x)[2], float (&y)[1]) {
  y[0] = f(x[0], x[1]);
}
template <class Function>
GPU_DEVICE void apply(const Function& f, const float (&x)[3], float (&y)[2]) {
  f(x[0], x[1], x[2], &y[0], &y[1]);
}

template <class T, int kInputs, int kOutputs>
struct Pointers {
  const T* in[kInputs];
  T* out[kOutputs];

  // Elements by which all are behind a multiple of 16 bytes; -1 if that differs.
  int shift() const {
    const auto of = [](const T* p) {
      return static_cast<int>(reinterpret_cast<uintptr_t>(p) % 16 / sizeof(T));
    };
    const int first = of(in[0]);
    for (const T* p : in) {
      if (of(p) != first) return -1;
    }
    for (const T* p : out) {
      if (of(p) != first) return -1;
    }
    return first;
  }
};

// The pack's worth of a row's elements that begins with `first`, of which one at least must be
// there; what there is instead of others is not told.
template <class T>
class ShiftedPack {
 public:
  GPU_DEVICE ShiftedPack(const T* row, int count, int first) {
    constexpr int kBytes = sizeof(T);
    const int before = misplaced(row) * kBytes, begin = before + first * kBytes;
    const char* base = reinterpret_cast<const char*>(row) - before;
    const int low = begin & -16, last = (before + count * kBytes - 1) & -16;
    shift_ = begin & 15;
    const int high = shift_ != 0 && low < last ? low + 16 : low;
    load_16(base + (low < 0 ? 0 : low), low_);
    load_16(base + (high < 0 ? 0 : high), high_);
  }

  GPU_DEVICE void get(float (&x)[kPack<T>]) const {
    uint32_t by_two[6], by_one[5];
    const bool two = (shift_ & 8) != 0, one = (shift_ & 4) != 0;
#pragma unroll
    for (int i = 0; i < 6; ++i) by_two[i] = two ? word(i + 2) : word(i);
#pragma unroll
    for (int i = 0; i < 5; ++i) by_one[i] = one ? by_two[i + 1] : by_two[i];
    Words words;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      words.w[i] =
          sizeof(T) == 4 ? by_one[i] : funnel_right(by_one[i], by_one[i + 1], shift_ % 4 * 8);
    }
    unpack<T>(words, x);
  }

 private:
  GPU_DEVICE uint32_t word(int i) const { return i < 4 ? low_[i] : high_[i - 4]; }

  int shift_;  // in bytes
  uint32_t low_[4], high_[4];
};

// Of the rows that the walk counts, of `count` elements each.
template <class T, int kInputs, int kOutputs, class Function>
GPU_KERNEL(kElementThreads)
shifted_elements(Function f, Pointers<T, kInputs, kOutputs> p, Walk<kInputs + kOutputs> rows,
                 Division packs, uint32_t threads, int count) {
  await_earlier();
  const auto index = static_cast<uint32_t>(block_id()) * kElementThreads + thread_id();
  if (index >= threads) return;
  uint32_t row = index;
  const int pack = static_cast<int>(take_remainder(packs, &row));
  int64_t at[kInputs + kOutputs];
  rows.offsets(row, at);
#pragma unroll
  for (int o = 0; o < kOutputs; ++o) {
    T* const out = p.out[o] + at[kInputs + o];
    const int first = pack * kPack<T> - misplaced(out);
    if (first >= count) continue;
    float x[kInputs][kPack<T>], y[kPack<T>];
#pragma unroll
    for (int i = 0; i < kInputs; ++i) {
      ShiftedPack<T>(p.in[i] + at[i], count, first).get(x[i]);
    }
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) {
      float operands[kInputs], results[kOutputs];
#pragma unroll
      for (int i = 0; i < kInputs; ++i) operands[i] = x[i][j];
      apply(f, operands, results);
      y[j] = results[o];
    }
    if (first >= 0 && first + kPack<T> <= count) {
      store_words(out + first, gpu::pack<T>(y));
      continue;
    }
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) {
      if (first + j >= 0 && first + j < count) out[first + j] = narrow<T>(y[j]);
    }
  }
}

// Whether these are such rows, and long ones. Of several outputs none may be an input, which the
// others still are to read.
template <class T, int kInputs, int kOutputs>
bool is_shifted(const Walk<kInputs + kOutputs>& walk, const Pointers<T, kInputs, kOutputs>& p) {
  const int64_t n = walk.numel();
  // A row's bytes and 32 more are counted in an int.
  constexpr int64_t kMost = (INT32_MAX - 32) / static_cast<int64_t>(sizeof(T));
  if (walk.sizes[0] < 4 * kPack<T> || n > kMost / 2) return false;
  for (const auto& strides : walk.strides) {
    if (strides[0] != 1) return false;
  }
  for (int i = 0; i < kInputs * kOutputs; ++i) {
    if (kOutputs > 1 && p.in[i / kOutputs] == p.out[i % kOutputs]) return false;
  }
  return true;
}

// What counts rows where the walk counts their elements.
template <int kTensors>
Walk<kTensors> without_innermost(Walk<kTensors> walk) {
  if (walk.rank == 1) {
    walk.sizes[0] = 1;
    return walk;
  }
  --walk.rank;
  for (int d = 0; d < walk.rank; ++d) {
    walk.sizes[d] = walk.sizes[d + 1];
    for (auto& strides : walk.strides) strides[d] = strides[d + 1];
  }
  return walk;
}

template <class T, int kInputs, int kOutputs, class Function>
int launch_shifted(Function f, const Pointers<T, kInputs, kOutputs>& p,
                   const Walk<kInputs + kOutputs>& walk, const polyops_context* ctx) {
  const auto count = static_cast<int>(walk.sizes[0]);
  const int packs = (count + kPack<T> - 2) / kPack<T> + 1;  // at most, wherever the row begins
  const Walk<kInputs + kOutputs> rows = without_innermost(walk);
  const int64_t threads = rows.numel() * packs;
  return gpu::launch(shifted_elements<T, kInputs, kOutputs, Function>,
                     {(threads + kElementThreads - 1) / kElementThreads, kElementThreads}, ctx, f,
                     p, rows, Division(packs), static_cast<uint32_t>(threads), count);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_ELEMENTWISE_SHIFTED_H_
