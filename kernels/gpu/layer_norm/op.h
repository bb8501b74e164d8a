// What layer_norm and rms_norm have apart: whether a row's mean is taken from it, and a bias added.
#ifndef POLYOPS_GPU_LAYER_NORM_OP_H_
#define POLYOPS_GPU_LAYER_NORM_OP_H_

#include "gpu.h"
#include "polyops/ops/layer_norm.h"
#include "polyops/ops/rms_norm.h"

namespace polyops::gpu {
namespace {

constexpr polyops_tensor kNone = {nullptr, POLYOPS_FLOAT32, -1, {}, {}};

// kCentered    whether there are a mean and a bias
// kParameters  weight, and bias
// kSums        over a row of the gradient: of g, and of g x_hat, the last one
// kMixed       whether parameters may be float32 beside 16 bits, and statistics of 16 bits
// kBackward    in what blocks registers leave room for the most threads
struct Fitting {
  int threads;  // of a block at most
  int blocks;   // of so many, on a multiprocessor
};
struct LayerNorm {
  using Args = polyops_layer_norm_args;
  using BackwardArgs = polyops_layer_norm_backward_args;
  static constexpr bool kCentered = true, kMixed = true;
  static constexpr int kParameters = 2, kSums = 2;
  static constexpr Fitting kBackward = {512, 1};

  static const polyops_tensor& bias(const Args& a) { return a.bias; }
  static const polyops_tensor& mean(const Args& a) { return a.mean; }
  static const polyops_tensor& mean(const BackwardArgs& a) { return a.mean; }
  static const polyops_tensor& grad_bias(const BackwardArgs& a) { return a.grad_bias; }
};

struct RmsNorm {
  using Args = polyops_rms_norm_args;
  using BackwardArgs = polyops_rms_norm_backward_args;
  static constexpr bool kCentered = false, kMixed = false;
  static constexpr int kParameters = 1, kSums = 1;
  static constexpr Fitting kBackward = {768, 1};

  static const polyops_tensor& bias(const Args&) { return kNone; }
  static const polyops_tensor& mean(const Args&) { return kNone; }
  static const polyops_tensor& mean(const BackwardArgs&) { return kNone; }
  static const polyops_tensor& grad_bias(const BackwardArgs&) { return kNone; }
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_OP_H_
