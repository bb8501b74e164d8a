#include "reference/gemm.h"

#include <cmath>
#include <cstdint>
#include <cstring>

namespace polyops::reference {
namespace {

float widen(uint16_t half) {
  const uint32_t bits = uint32_t{half} << 16;
  float f;
  std::memcpy(&f, &bits, sizeof f);
  return f;
}

uint16_t narrow(float f) {
  if (std::isnan(f)) return 0x7fc0;
  uint32_t bits;
  std::memcpy(&bits, &f, sizeof bits);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

int64_t position(const polyops_tensor& t, int64_t b, int64_t i, int64_t j) {
  return b * t.strides[0] + i * t.strides[1] + j * t.strides[2];
}

double load(const polyops_tensor& t, int64_t b, int64_t i, int64_t j) {
  const int64_t at = position(t, b, i, j);
  switch (t.dtype) {
    case POLYOPS_FLOAT32:
      return static_cast<const float*>(t.data)[at];
    case POLYOPS_BFLOAT16:
      return widen(static_cast<const uint16_t*>(t.data)[at]);
    case POLYOPS_FLOAT16:
      return static_cast<double>(static_cast<const _Float16*>(t.data)[at]);
    default:
      return static_cast<const double*>(t.data)[at];
  }
}

void store(const polyops_tensor& t, int64_t b, int64_t i, int64_t j, double value) {
  const int64_t at = position(t, b, i, j);
  switch (t.dtype) {
    case POLYOPS_FLOAT32:
      static_cast<float*>(t.data)[at] = static_cast<float>(value);
      break;
    case POLYOPS_BFLOAT16:
      static_cast<uint16_t*>(t.data)[at] = narrow(static_cast<float>(value));
      break;
    case POLYOPS_FLOAT16:
      static_cast<_Float16*>(t.data)[at] = static_cast<_Float16>(static_cast<float>(value));
      break;
    default:
      static_cast<double*>(t.data)[at] = value;
  }
}

// alpha and beta as the kernels get to see them: rounded to the accumulation type of the operands.
double rounded(const polyops_gemm_args& args, double factor) {
  return args.lhs.dtype == POLYOPS_FLOAT64 ? factor : static_cast<float>(factor);
}

// One item of an operand, row-major.
std::vector<double> matrix(const polyops_tensor& t, int64_t b) {
  std::vector<double> all;
  all.reserve(t.sizes[1] * t.sizes[2]);
  for (int64_t i = 0; i < t.sizes[1]; ++i) {
    for (int64_t j = 0; j < t.sizes[2]; ++j) all.push_back(load(t, b, i, j));
  }
  return all;
}

double identity(double x) { return x; }
double magnitude(double x) { return std::fabs(x); }

// visit(b, i, j, of(alpha) sum_p of(lhs) of(rhs) + of(beta) of(addend)) for every element.
template <class Visit>
void compute(const polyops_gemm_args& args, double (*of)(double), Visit visit) {
  const double alpha = of(rounded(args, args.alpha)), beta = of(rounded(args, args.beta));
  const int64_t m = args.dst.sizes[1], n = args.dst.sizes[2], k = args.lhs.sizes[2];
  for (int64_t b = 0; b < args.dst.sizes[0]; ++b) {
    std::vector<double> lhs = matrix(args.lhs, b), rhs = matrix(args.rhs, b);
    for (double& x : lhs) x = of(x);
    for (double& x : rhs) x = of(x);
    for (int64_t i = 0; i < m; ++i) {
      std::vector<double> sums(n);
      for (int64_t p = 0; p < k; ++p) {
        for (int64_t j = 0; j < n; ++j) sums[j] += lhs[i * k + p] * rhs[p * n + j];
      }
      for (int64_t j = 0; j < n; ++j) {
        double value = alpha * sums[j];
        if (polyops_is_present(&args.addend)) value += beta * of(load(args.addend, b, i, j));
        visit(b, i, j, value);
      }
    }
  }
}

}  // namespace

void gemm(const polyops_gemm_args& args) {
  compute(args, identity,
          [&](int64_t b, int64_t i, int64_t j, double value) { store(args.dst, b, i, j, value); });
}

std::vector<double> gemm_scale(const polyops_gemm_args& args) {
  std::vector<double> scale;
  scale.reserve(polyops_numel(&args.dst));
  compute(args, magnitude,
          [&](int64_t, int64_t, int64_t, double value) { scale.push_back(value); });
  return scale;
}

}  // namespace polyops::reference
