// How one op's source hands its kernels to the backend. Compiled once per target (cuda, and simt
// for the harness), whose name ends theirs: "softmax_lastdim__cuda".
#ifndef POLYOPS_GPU_TABLE_H_
#define POLYOPS_GPU_TABLE_H_

#include <cstddef>
#include <cstring>

#include "polyops/abi.h"

namespace polyops::gpu {

struct KernelList {
  const polyops_kernel* first;
  size_t count;
};

// By the first kernel of that op among another source's that takes the call; it wants no scratch.
// What that returned, or POLYOPS_DECLINED.
template <class Args>
int launch_as(KernelList list, const char* op, const Args& args, const polyops_context* ctx) {
  for (size_t i = 0; i < list.count; ++i) {
    const polyops_kernel& kernel = list.first[i];
    if (std::strcmp(kernel.op, op) == 0 && kernel.supports(&args) == nullptr) {
      return kernel.launch(&args, ctx);
    }
  }
  return POLYOPS_DECLINED;
}

}  // namespace polyops::gpu

// The ops of this folder, in the order in which a backend lists them.
#define POLYOPS_GPU_OPS(X, ...)        \
  X(softmax, __VA_ARGS__)              \
  X(log_softmax, __VA_ARGS__)          \
  X(layer_norm, __VA_ARGS__)           \
  X(rms_norm, __VA_ARGS__)             \
  X(group_norm, __VA_ARGS__)           \
  X(batch_norm, __VA_ARGS__)           \
  X(gelu, __VA_ARGS__)                 \
  X(relu, __VA_ARGS__)                 \
  X(elu, __VA_ARGS__)                  \
  X(glu, __VA_ARGS__)                  \
  X(log_sigmoid, __VA_ARGS__)          \
  X(mish, __VA_ARGS__)                 \
  X(softplus, __VA_ARGS__)             \
  X(convolution, __VA_ARGS__)          \
  X(cat, __VA_ARGS__)                  \
  X(copy, __VA_ARGS__)                 \
  X(cross_entropy, __VA_ARGS__)        \
  X(cross_entropy_pixels, __VA_ARGS__) \
  X(nll_loss, __VA_ARGS__)             \
  X(embedding, __VA_ARGS__)            \
  X(gather, __VA_ARGS__)               \
  X(index_add, __VA_ARGS__)            \
  X(index_select, __VA_ARGS__)         \
  X(sum, __VA_ARGS__)                  \
  X(amax, __VA_ARGS__)                 \
  X(any, __VA_ARGS__)                  \
  X(argmax, __VA_ARGS__)               \
  X(linalg_vector_norm, __VA_ARGS__)   \
  X(logsumexp, __VA_ARGS__)            \
  X(var, __VA_ARGS__)                  \
  X(cumsum, __VA_ARGS__)               \
  X(upsample_nearest2d, __VA_ARGS__)   \
  X(upsample_bilinear2d, __VA_ARGS__)  \
  X(upsample_bicubic2d, __VA_ARGS__)   \
  X(max_pool2d, __VA_ARGS__)           \
  X(max_pool3d, __VA_ARGS__)           \
  X(adaptive_max_pool, __VA_ARGS__)    \
  X(avg_pool2d, __VA_ARGS__)           \
  X(avg_pool3d, __VA_ARGS__)           \
  X(adaptive_avg_pool2d, __VA_ARGS__)  \
  X(adaptive_avg_pool3d, __VA_ARGS__)

#define POLYOPS_GPU_CONCAT_(a, b) a##_##b
#define POLYOPS_GPU_CONCAT(a, b) POLYOPS_GPU_CONCAT_(a, b)
#define POLYOPS_GPU_STRING_(x) #x
#define POLYOPS_GPU_STRING(x) POLYOPS_GPU_STRING_(x)

#ifdef POLYOPS_GPU_TARGET
#define POLYOPS_GPU_KERNEL(op, name, supports, scratch, launch)                   \
  polyops_kernel {                                                                \
    sizeof(polyops_kernel), op, name "__" POLYOPS_GPU_STRING(POLYOPS_GPU_TARGET), \
        POLYOPS_GPU_STRING(POLYOPS_GPU_TARGET), supports, scratch, launch         \
  }

// Ends the source of one op: its kernels in the order in which they are tried.
#define POLYOPS_GPU_KERNELS(op, ...)                           \
  namespace polyops::gpu {                                     \
  namespace {                                                  \
  const polyops_kernel kKernels[] = {__VA_ARGS__};             \
  }                                                            \
  KernelList POLYOPS_GPU_CONCAT(op, POLYOPS_GPU_TARGET)();     \
  KernelList POLYOPS_GPU_CONCAT(op, POLYOPS_GPU_TARGET)() {    \
    return {kKernels, sizeof(kKernels) / sizeof(kKernels[0])}; \
  }                                                            \
  }
#endif  // POLYOPS_GPU_TARGET

#endif  // POLYOPS_GPU_TABLE_H_
