// What a thread has of one tap: kWide channels as they are in memory, one, two, or what 16 bytes
// hold. Few are widened late, so that all loads of a thread are issued before the first is used,
// whichever are left out.
#ifndef POLYOPS_GPU_POOL2D_TAP_H_
#define POLYOPS_GPU_POOL2D_TAP_H_

#include <cstdint>

#include "gpu.h"
#include "piece.h"
#include "store.h"

namespace polyops::gpu {
namespace {

template <class T, int kWide>
struct Tap : Piece<T, kWide> {};

template <class T>
struct Tap<T, 1> {
  T value;
  GPU_DEVICE void load(const T* p) { value = *p; }
  GPU_DEVICE void fill(float x) { value = narrow<T>(x); }
  GPU_DEVICE void get(float (&x)[1]) const { x[0] = widen(value); }
  GPU_DEVICE static void store(T* p, const float (&x)[1]) { *p = narrow<T>(x[0]); }
};

// Two of 16 bits.
template <class T>
struct Tap<T, 2> {
  uint32_t word;
  GPU_DEVICE void load(const T* p) { word = reinterpret_cast<const OneWord*>(p)->w; }
  GPU_DEVICE void fill(float x) { word = narrow2<T>(x, x); }
  GPU_DEVICE void get(float (&x)[2]) const { widen2<T>(word, &x[0], &x[1]); }
  GPU_DEVICE static void store(T* p, const float (&x)[2]) {
    reinterpret_cast<OneWord*>(p)->w = narrow2<T>(x[0], x[1]);
  }
};

template <>
struct Tap<float, 2> {
  HalfPack words;
  GPU_DEVICE void load(const float* p) { words = *reinterpret_cast<const HalfPack*>(p); }
  GPU_DEVICE void fill(float x) { words.w[0] = words.w[1] = float_bits(x); }
  GPU_DEVICE void get(float (&x)[2]) const {
    x[0] = float_of_bits(words.w[0]);
    x[1] = float_of_bits(words.w[1]);
  }
  GPU_DEVICE static void store(float* p, const float (&x)[2]) {
    store_half_pack(p, float_bits(x[0]), float_bits(x[1]));
  }
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL2D_TAP_H_
