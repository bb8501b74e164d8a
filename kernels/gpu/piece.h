// What a thread has of a row: kWide elements next to each other as they are in memory, a pack of 16
// aligned bytes or one element.
#ifndef POLYOPS_GPU_PIECE_H_
#define POLYOPS_GPU_PIECE_H_

#include "gpu.h"
#include "store.h"

namespace polyops::gpu {
namespace {

template <class T, int kWide>
struct Piece {
  Words words;
  GPU_DEVICE void load(const T* p) { words = load_words(p); }
  GPU_DEVICE void fill(float x) {
    float all[kWide];
#pragma unroll
    for (int j = 0; j < kWide; ++j) all[j] = x;
    words = pack<T>(all);
  }
  GPU_DEVICE void get(float (&x)[kWide]) const { unpack<T>(words, x); }
  template <class U>
  GPU_DEVICE static void store(U* p, const float (&x)[kWide]) {
    store_elements(p, x);
  }
};
template <class T>
struct Piece<T, 1> {
  float value;
  GPU_DEVICE void load(const T* p) { value = widen(*p); }
  GPU_DEVICE void fill(float x) { value = x; }
  GPU_DEVICE void get(float (&x)[1]) const { x[0] = value; }
  template <class U>
  GPU_DEVICE static void store(U* p, const float (&x)[1]) {
    *p = narrow<U>(x[0]);
  }
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_PIECE_H_
