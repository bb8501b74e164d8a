// A gemm as the kernels here see it: matrices that oneDNN can read, and how they are cut among
// threads.
#ifndef POLYOPS_ONEDNN_PRODUCT_H_
#define POLYOPS_ONEDNN_PRODUCT_H_

#include <cstdint>

#include "matmul.h"
#include "polyops/ops/gemm.h"

namespace polyops::onednn {

// Strides in elements.
struct Matrix {
  char* data;
  int64_t batch, row, column;

  Matrix transposed() const { return {data, batch, column, row}; }
};

struct Product {
  int64_t batch, m, n, k;
  int32_t dtype;
  Matrix lhs, rhs, dst, addend = {};
  int64_t rhs_order = 0;  // of a packed one
  int64_t adds = kNothing;

  int64_t width() const { return static_cast<int64_t>(polyops_dtype_size(dtype)); }
};

Matrix matrix_of(const polyops_tensor& t);

// Whether rows or columns are dense and do not overlap, as oneDNN wants them. Strides of single
// rows and columns mean nothing, and become what suits it.
bool settle(int64_t rows, int64_t columns, Matrix* matrix);

// nullptr, or the reason for which there is no such product here. packed: rhs was, however it lies.
const char* read(const polyops_gemm_args& args, bool packed, Product* p);

// Into how many parts the rows and the columns of each matrix are cut.
struct Cut {
  int64_t rows, columns;  // of a part
  int64_t row_parts, column_parts;

  int64_t parts() const { return row_parts * column_parts; }
};

// The fewest parts that busy all threads, of which a thread is worth 5 us; and of those the shape
// that reads least. Columns are cut between blocks, and then copied.
Cut choose_cut(const Product& p, int32_t threads);

// One part: where it begins, and its sizes.
struct Part {
  int64_t batch, row, column, rows, columns;
};

Part part_of(const Product& p, const Cut& cut, int64_t unit);

}  // namespace polyops::onednn

#endif  // POLYOPS_ONEDNN_PRODUCT_H_
