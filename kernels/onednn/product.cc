#include "product.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "runtime.h"

namespace polyops::onednn {
namespace {

bool is_bias(const Product& p) {
  return p.addend.batch == 0 && p.addend.row == 0 && p.addend.column == 1;
}

Cut cut_of(const Product& p, int64_t rows, int64_t columns) {
  return {rows, columns, ceil_div(p.m, rows), ceil_div(p.n, columns)};
}

}  // namespace

Matrix matrix_of(const polyops_tensor& t) {
  return {static_cast<char*>(t.data), t.strides[0], t.strides[1], t.strides[2]};
}

bool settle(int64_t rows, int64_t columns, Matrix* matrix) {
  if (columns == 1) {
    matrix->column = 1;
    if (rows == 1) matrix->row = 1;
    return matrix->row >= 1;
  }
  if (rows == 1) {
    matrix->row = matrix->column == 1 ? columns : 1;
    return matrix->column >= 1;
  }
  return (matrix->column == 1 && matrix->row >= columns) ||
         (matrix->row == 1 && matrix->column >= rows);
}

const char* read(const polyops_gemm_args& args, bool packed, Product* p) {
  p->dtype = args.dst.dtype;
  const bool adds = polyops_is_present(&args.addend) != 0;
  if (args.lhs.dtype != p->dtype || args.rhs.dtype != p->dtype ||
      (adds && args.addend.dtype != p->dtype) ||
      type_of(p->dtype) == dnnl::memory::data_type::undef) {
    return "dtype";
  }
  if (args.alpha != 1) return "alpha";
  if (adds && args.beta != 1) return "beta";
  p->batch = args.dst.sizes[0];
  p->m = args.dst.sizes[1];
  p->n = args.dst.sizes[2];
  p->k = args.lhs.sizes[2];
  p->lhs = matrix_of(args.lhs);
  p->rhs = matrix_of(args.rhs);
  p->dst = matrix_of(args.dst);
  if (!settle(p->m, p->k, &p->lhs) || !settle(p->m, p->n, &p->dst)) return "layout";
  if (!packed && !settle(p->k, p->n, &p->rhs)) return "layout";
  if (adds) p->addend = matrix_of(args.addend);
  if (p->dst.column != 1) {
    if (packed) return "layout";
    std::swap(p->m, p->n);
    p->lhs = std::exchange(p->rhs, p->lhs.transposed()).transposed();
    p->dst = p->dst.transposed();
    p->addend = p->addend.transposed();
  }
  if (adds) p->adds = is_bias(*p) ? kBiasRow : kDst;
  return nullptr;
}

Cut choose_cut(const Product& p, int32_t threads) {
  constexpr double kCopied = 1.05;
  const double products = static_cast<double>(p.batch) * p.m * p.n * p.k;
  const auto useful =
      static_cast<int64_t>(std::clamp<double>(products / kWorthAThread, 1, threads));
  const int64_t parts = p.batch >= 4 * useful ? 1 : useful / std::gcd(p.batch, useful);
  const int64_t block = p.rhs_order == 0 ? 16 : columns_of_block(p.rhs_order);
  Cut best = cut_of(p, p.m, p.n);
  double least = 0;
  for (int64_t row_parts = 1; row_parts <= parts; ++row_parts) {
    if (parts % row_parts != 0) continue;
    const int64_t rows = ceil_div(p.m, row_parts);
    const int64_t columns = ceil_div(ceil_div(p.n, parts / row_parts), block) * block;
    const Cut cut = cut_of(p, rows, std::min(columns, p.n));
    const double size =
        static_cast<double>(cut.rows) * cut.columns * (cut.column_parts > 1 ? kCopied : 1);
    const double cost = size + 16.0 * static_cast<double>(cut.rows + cut.columns);
    if (row_parts == 1 || cost < least) {
      least = cost;
      best = cut;
    }
  }
  return best;
}

Part part_of(const Product& p, const Cut& cut, int64_t unit) {
  const int64_t i = unit % cut.parts();
  const int64_t row = i / cut.column_parts * cut.rows, column = i % cut.column_parts * cut.columns;
  return {unit / cut.parts(), row, column, std::min(cut.rows, p.m - row),
          std::min(cut.columns, p.n - column)};
}

}  // namespace polyops::onednn
