/*
 * gemm: dst[b] = alpha * lhs[b] @ rhs[b] + beta * addend[b], a batch of matrix products.
 * Definition: aten::mm, addmm, bmm, baddbmm, addmv, dot.
 *
 * Op: "gemm" (polyops_gemm_args).
 * Shapes    every view has rank 3: lhs (batch, m, k), rhs (batch, k, n), addend and dst
 *           (batch, m, n). A product without a batch has batch 1; a vector is a column, n = 1,
 *           and of two vectors the first is a row, m = 1.
 * Layouts   any strides: lhs and rhs transposed or not; addend broadcast by strides of 0 (a bias
 *           row, a column, a scalar); dst without overlap in itself.
 * Types     one dtype; accumulation in float32 (float64 for float64). alpha and beta are rounded
 *           to that type.
 * Aliasing  addend may be exactly dst (addmm_); no other overlap of dst.
 * Empty     never arrives: batch, m, n, k >= 1.
 * Special   beta == 0: addend is absent and never read, so that its NaNs do not spread.
 */
#ifndef POLYOPS_OPS_GEMM_H_
#define POLYOPS_OPS_GEMM_H_

#include "polyops/tensor_view.h"

typedef struct polyops_gemm_args {
  uint32_t struct_size;
  int32_t reserved;
  double alpha;
  double beta;
  polyops_tensor lhs;
  polyops_tensor rhs;
  polyops_tensor addend; /* absent (rank -1) iff beta == 0 */
  polyops_tensor dst;
} polyops_gemm_args;

/*
 * gemm_pack: copies rhs of a gemm into the order in which a kernel of gemm_prepacked reads it
 * fastest, once for many products: the weights of polyops.freeze().
 *
 * Op: "gemm_pack" (polyops_gemm_pack_args).
 * Shapes    rhs (1, k, n), k, n >= 1, any strides.
 * packed    polyops_gemm_packed_bytes() bytes, 64-byte aligned (256 on GPUs), all of which may be
 *           written.
 * format    *format becomes the name of the order, of static lifetime, which gemm_prepacked is given
 *           beside the bytes. Its meaning is the family's own; it may depend on rhs's dtype and sizes.
 */
typedef struct polyops_gemm_pack_args {
  uint32_t struct_size;
  int32_t reserved;
  polyops_tensor rhs;
  void* packed;
  const char** format;
} polyops_gemm_pack_args;

/* Room for every k and n filled up to whole blocks of 64. */
static inline int64_t polyops_gemm_packed_bytes(const polyops_tensor* rhs) {
  const int64_t k = (rhs->sizes[1] + 63) / 64 * 64, n = (rhs->sizes[2] + 63) / 64 * 64;
  return k * n * polyops_dtype_size(rhs->dtype);
}

/*
 * gemm_prepacked: a gemm of batch 1 whose rhs was packed.
 *
 * Op: "gemm_prepacked" (polyops_gemm_prepacked_args).
 * gemm      the same product as if nothing were packed; rhs's data may be read, too.
 * packed    what gemm_pack made of gemm->rhs.
 * format    what gemm_pack called it; a kernel supports those of its own family that it can read.
 */
typedef struct polyops_gemm_prepacked_args {
  uint32_t struct_size;
  int32_t reserved;
  const polyops_gemm_args* gemm;
  const void* packed;
  const char* format;
} polyops_gemm_prepacked_args;

#endif /* POLYOPS_OPS_GEMM_H_ */
