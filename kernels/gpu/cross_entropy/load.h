// Packs of the row that decided its cut, so that they lie at 16 aligned bytes.
#ifndef POLYOPS_GPU_CROSS_ENTROPY_LOAD_H_
#define POLYOPS_GPU_CROSS_ENTROPY_LOAD_H_

#include "gpu.h"
#include "row.h"

namespace polyops::gpu {
namespace {

// As load_row().
template <int kPacks, class T>
GPU_DEVICE void load_cut(const Cut<T>& cut, const T* row, int first, int step, float fill,
                         Words (&words)[kPacks]) {
  const Words none = words_of<T>(fill);
  const int64_t apart = int64_t{step} * kPack<T>;
  const T* from = row + cut.of_pack(first);
#pragma unroll
  for (int k = 0; k < kPacks; ++k, from += apart) {
    words[k] = none;
    if (first + k * step < cut.whole) words[k] = load_words(from);
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CROSS_ENTROPY_LOAD_H_
