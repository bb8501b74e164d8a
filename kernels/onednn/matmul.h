// dst = lhs @ rhs of two matrices, by dnnl::matmul: what one thread does of a gemm.
// Bound: 2 m n k flops.
#ifndef POLYOPS_ONEDNN_MATMUL_H_
#define POLYOPS_ONEDNN_MATMUL_H_

#include <cstdint>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>

#include "runtime.h"

namespace polyops::onednn {

// What is added to the product.
enum : int64_t { kNothing, kBiasRow, kDst };

// rhs_order: 0 if rhs lies as its strides say, else one of packed_order(). dst is dense, rows one
// behind the other: oneDNN's kernels of blocks take no other.
struct MatmulKey {
  int64_t dtype, m, n, k;
  int64_t lhs_row, lhs_column, rhs_row, rhs_column;
  int64_t rhs_order, addend;
};

// Its operands: lhs, rhs, dst, and the bias if there is one. Kept by the calling thread. Throws
// dnnl::error.
std::shared_ptr<Step> matmul_step(const MatmulKey& key);

// The order that oneDNN asks for of a rhs (k, n) under an lhs of medium height; blocks of columns
// one behind the other, each with all of k. Throws `unimplemented` if it asks for no such.
int64_t packed_order(int32_t dtype, int64_t k, int64_t n);

int64_t columns_of_block(int64_t order);
// Elements in front of that column, the first of a block.
int64_t packed_offset(int64_t order, int64_t k, int64_t column);
dnnl::memory::desc packed_desc(int64_t order, int32_t dtype, int64_t k, int64_t n);

}  // namespace polyops::onednn

#endif  // POLYOPS_ONEDNN_MATMUL_H_
