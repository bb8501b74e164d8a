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

#include "polyops/pack.h"
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
 * pack      see polyops/pack.h; the order may depend on rhs's dtype and sizes.
 */
typedef struct polyops_gemm_pack_args {
  uint32_t struct_size;
  int32_t reserved;
  polyops_tensor rhs;
  polyops_pack* pack;
} polyops_gemm_pack_args;

/*
 * gemm_prepacked: a gemm of batch 1 whose rhs was packed.
 *
 * Op: "gemm_prepacked" (polyops_gemm_prepacked_args).
 * gemm      the same product as if nothing were packed; rhs's data may be read, too.
 * pack      what gemm_pack made of gemm->rhs; a kernel supports the formats of its own family that
 *           it can read.
 */
typedef struct polyops_gemm_prepacked_args {
  uint32_t struct_size;
  int32_t reserved;
  const polyops_gemm_args* gemm;
  const polyops_pack* pack;
} polyops_gemm_prepacked_args;

#endif /* POLYOPS_OPS_GEMM_H_ */
