// What a thread has of a row: kWide elements next to each other as they are in memory, a pack of 16
// aligned bytes, four of 16 bits, or one element.
#ifndef POLYOPS_GPU_PIECE_H_
#define POLYOPS_GPU_PIECE_H_

#include "gpu.h"
#include "store.h"

namespace polyops::gpu {
namespace {

template <class T>
struct WholePack {
  Words words;
  GPU_DEVICE void load(const T* p) { words = load_words(p); }
  GPU_DEVICE void fill(float x) {
    float all[kPack<T>];
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) all[j] = x;
    words = pack<T>(all);
  }
  GPU_DEVICE void get(float (&x)[kPack<T>]) const { unpack<T>(words, x); }
  template <class U>
  GPU_DEVICE static void store(U* p, const float (&x)[kPack<T>]) {
    store_elements(p, x);
  }
};

template <class T, int kWide>
struct Piece : WholePack<T> {
  static_assert(kWide == kPack<T>);
};

template <class T>
struct Piece<T, 4> {
  HalfPack words;
  GPU_DEVICE void load(const T* p) { words = *reinterpret_cast<const HalfPack*>(p); }
  GPU_DEVICE void fill(float x) { words.w[0] = words.w[1] = narrow2<T>(x, x); }
  GPU_DEVICE void get(float (&x)[4]) const {
    widen2<T>(words.w[0], &x[0], &x[1]);
    widen2<T>(words.w[1], &x[2], &x[3]);
  }
  template <class U>
  GPU_DEVICE static void store(U* p, const float (&x)[4]) {
    store_elements(p, x);
  }
};
template <>
struct Piece<float, 4> : WholePack<float> {};

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
