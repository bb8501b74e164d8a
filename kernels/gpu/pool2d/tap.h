// What a thread has of one tap: kWide channels as they are in memory. A single element is widened late,
// so that all loads of a thread are issued before the first is used, whichever are left out.
#ifndef POLYOPS_GPU_POOL2D_TAP_H_
#define POLYOPS_GPU_POOL2D_TAP_H_

#include "gpu.h"
#include "piece.h"

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
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL2D_TAP_H_
