#include "reference/softmax.h"

#include <cmath>
#include <limits>
#include <vector>

#include "reference/elements.h"

namespace polyops::reference {
namespace {

// Calls visit with the row-major numbers of the elements of each row along dim.
template <class Visit>
void for_each_row(const polyops_tensor& t, int32_t dim, Visit visit) {
  const int64_t n = t.sizes[dim];
  int64_t step = 1;
  for (int32_t d = dim + 1; d < t.rank; ++d) step *= t.sizes[d];
  std::vector<int64_t> row(n);
  for (int64_t first = 0; first < polyops_numel(&t); first += n * step) {
    for (int64_t inner = 0; inner < step; ++inner) {
      for (int64_t j = 0; j < n; ++j) row[j] = first + inner + j * step;
      visit(row);
    }
  }
}

// NaN is left out; it makes the row's sum NaN.
double largest(const polyops_tensor& t, const std::vector<int64_t>& row) {
  double top = -std::numeric_limits<double>::infinity();
  for (int64_t i : row) top = std::fmax(top, load(t, i));
  return top;
}

}  // namespace

void softmax(const polyops_softmax_args& args) {
  for_each_row(args.src, args.dim, [&](const std::vector<int64_t>& row) {
    const double top = largest(args.src, row);
    long double sum = 0;
    std::vector<long double> exponentials;
    for (int64_t i : row) {
      exponentials.push_back(std::exp(static_cast<long double>(load(args.src, i)) - top));
      sum += exponentials.back();
    }
    for (size_t j = 0; j < row.size(); ++j)
      store(args.dst, row[j], static_cast<double>(exponentials[j] / sum));
  });
}

void softmax_backward(const polyops_softmax_backward_args& args) {
  for_each_row(args.dst, args.dim, [&](const std::vector<int64_t>& row) {
    long double dot = 0;
    for (int64_t i : row)
      dot += static_cast<long double>(load(args.grad_dst, i)) * load(args.dst, i);
    for (int64_t i : row) {
      const long double difference = load(args.grad_dst, i) - dot;
      store(args.grad_src, i, static_cast<double>(load(args.dst, i) * difference));
    }
  });
}

void log_softmax(const polyops_softmax_args& args) {
  for_each_row(args.src, args.dim, [&](const std::vector<int64_t>& row) {
    const long double top = largest(args.src, row);
    long double sum = 0;
    for (int64_t i : row) sum += std::exp(load(args.src, i) - top);
    for (int64_t i : row) {
      store(args.dst, i, static_cast<double>(load(args.src, i) - top - std::log(sum)));
    }
  });
}

void log_softmax_backward(const polyops_softmax_backward_args& args) {
  for_each_row(args.dst, args.dim, [&](const std::vector<int64_t>& row) {
    long double sum = 0;
    for (int64_t i : row) sum += load(args.grad_dst, i);
    for (int64_t i : row) {
      const long double share = std::exp(static_cast<long double>(load(args.dst, i))) * sum;
      store(args.grad_src, i, static_cast<double>(load(args.grad_dst, i) - share));
    }
  });
}

}  // namespace polyops::reference
