// A call as its kernels get it, and which part of it a thread does.
#ifndef POLYOPS_GPU_UPSAMPLE_IMAGE_H_
#define POLYOPS_GPU_UPSAMPLE_IMAGE_H_

#include <cstdint>
#include <type_traits>

#include "axis.h"
#include "gpu.h"
#include "row.h"
#include "store.h"

namespace polyops::gpu {
namespace {

constexpr int kUpsampleThreads = 256;

// src and dst are those of forward; backward reads dst's gradient and writes src's. Offsets within
// an image fit into 31 bits.
template <class T>
struct Image {
  const T* in;
  T* out;
  Axis rows, columns;
  int channels;
  int planes;  // batch * channels
};

// Threads are numbered by lane, the fastest, chunk of rows and group: of planes, or of the batch.
struct Work {
  uint32_t lanes, chunks, threads;
  int rows;  // of a chunk
};

struct Share {
  uint32_t lane, group;
  int row;  // the first
};

GPU_DEVICE Share share_of(const Work& work, uint32_t index) {
  const uint32_t rest = index / work.lanes, group = rest / work.chunks;
  return {index - rest * work.lanes, group,
          static_cast<int>(rest - group * work.chunks) * work.rows};
}

inline Work make_work(int64_t lanes, int64_t groups, int rows, int rows_of_chunk) {
  const int64_t chunks = (rows + rows_of_chunk - 1) / rows_of_chunk;
  return {static_cast<uint32_t>(lanes), static_cast<uint32_t>(chunks),
          static_cast<uint32_t>(lanes * groups * chunks), rows_of_chunk};
}

// Threads that leave a device nothing to wait for.
inline int64_t enough_threads(const polyops_context* ctx) { return 1024 * multiprocessors(ctx); }

inline LaunchShape shape_of(const Work& work) {
  return {(int64_t{work.threads} + kUpsampleThreads - 1) / kUpsampleThreads, kUpsampleThreads};
}

// The type that a mode keeps and computes in: bits, uint16_t or uint32_t, are copied as they are.
template <class T>
using Kept = std::conditional_t<std::is_integral_v<T>, T, float>;

template <class T>
GPU_DEVICE Kept<T> keep(T x) {
  if constexpr (std::is_integral_v<T>) {
    return x;
  } else {
    return widen(x);
  }
}

// kCount elements next to each other, one, two (of bits) or four, or a pack; p is as aligned as
// they are long.
template <class T, int kCount>
GPU_DEVICE void store_side_by_side(T* p, const Kept<T> (&x)[kCount]) {
  if constexpr (kCount == 1 && std::is_integral_v<T>) {
    *p = x[0];
  } else if constexpr (kCount == 1) {
    *p = narrow<T>(x[0]);
  } else if constexpr (!std::is_integral_v<T>) {
    store_elements(p, x);
  } else if constexpr (kCount == 2 && sizeof(T) == 4) {
    store_half_pack(p, x[0], x[1]);
  } else if constexpr (kCount == 2) {
    *reinterpret_cast<OneWord*>(p) = {x[0] | static_cast<uint32_t>(x[1]) << 16};
  } else if constexpr (sizeof(T) == 4) {
    store_words(p, {{x[0], x[1], x[2], x[3]}});
  } else {
    const auto both = [&](int i) { return x[i] | static_cast<uint32_t>(x[i + 1]) << 16; };
    store_half_pack(p, both(0), both(2));
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_UPSAMPLE_IMAGE_H_
