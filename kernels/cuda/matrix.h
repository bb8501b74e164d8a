// Products of small matrices by a wave: kernels/gpu/convolution/band_products.h says what
// multiply_add() and load_matrices() are.
#ifndef POLYOPS_CUDA_MATRIX_H_
#define POLYOPS_CUDA_MATRIX_H_

#include "platform.h"

namespace polyops::gpu {
namespace {

GPU_DEVICE void after_products() { __syncwarp(); }

GPU_DEVICE void load_matrices(const void* row, uint32_t (&w)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(w[0]), "=r"(w[1]), "=r"(w[2]), "=r"(w[3])
               : "r"(address_of(row)));
}
GPU_DEVICE void load_matrices_turned(const void* row, uint32_t (&w)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(w[0]), "=r"(w[1]), "=r"(w[2]), "=r"(w[3])
               : "r"(address_of(row)));
}

#define POLYOPS_MULTIPLY_ADD(type)                                           \
  asm("mma.sync.aligned.m16n8k16.row.col.f32." type "." type                 \
      ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" \
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])                       \
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
template <class T>
GPU_DEVICE void multiply_add(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  if constexpr (std::is_same_v<T, bf16>) {
    POLYOPS_MULTIPLY_ADD("bf16");
  } else {
    POLYOPS_MULTIPLY_ADD("f16");
  }
}
#undef POLYOPS_MULTIPLY_ADD

#define POLYOPS_MULTIPLY_ADD(type)                               \
  asm("mma.sync.aligned.m16n8k8.row.col.f32." type "." type      \
      ".f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};" \
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])           \
      : "r"(a[0]), "r"(a[1]), "r"(b[0]))
template <class T>
GPU_DEVICE void multiply_add(float (&c)[4], const uint32_t (&a)[2], const uint32_t (&b)[1]) {
  if constexpr (std::is_same_v<T, bf16>) {
    POLYOPS_MULTIPLY_ADD("bf16");
  } else {
    POLYOPS_MULTIPLY_ADD("f16");
  }
}
#undef POLYOPS_MULTIPLY_ADD

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_CUDA_MATRIX_H_
