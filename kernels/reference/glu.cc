#include "reference/glu.h"

#include <cmath>

#include "reference/elements.h"

namespace polyops::reference {
namespace {

// Where the elements of both halves that make the same result are in the whole.
struct Halves {
  int64_t inner = 1, half;

  Halves(const polyops_tensor& whole, int dim) {
    for (int d = dim + 1; d < whole.rank; ++d) inner *= whole.sizes[d];
    half = whole.sizes[dim] / 2 * inner;
  }
  int64_t a(int64_t element) const { return element / half * 2 * half + element % half; }
  int64_t b(int64_t element) const { return a(element) + half; }
};

double logistic(double x) {
  return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x));
}

}  // namespace

void glu(const polyops_glu_args& args) {
  const Halves at(args.src, args.dim);
  for (int64_t i = 0; i < polyops_numel(&args.dst); ++i) {
    store(args.dst, i, load(args.src, at.a(i)) * logistic(load(args.src, at.b(i))));
  }
}

void glu_backward(const polyops_glu_backward_args& args) {
  const Halves at(args.src, args.dim);
  for (int64_t i = 0; i < polyops_numel(&args.grad_dst); ++i) {
    const double grad = load(args.grad_dst, i), a = load(args.src, at.a(i));
    const double b = load(args.src, at.b(i));
    store(args.grad_src, at.a(i), grad * logistic(b));
    store(args.grad_src, at.b(i), grad * a * (logistic(b) * logistic(-b)));
  }
}

}  // namespace polyops::reference
