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
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    const int at = first + k * step;
    words[k] = none;
    if (at < cut.whole) words[k] = load_words(row + cut.of_pack(at));
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CROSS_ENTROPY_LOAD_H_
