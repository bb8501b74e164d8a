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
    default:
      static_cast<double*>(t.data)[at] = value;
  }
}

// alpha and beta as the kernels get to see them: rounded to the accumulation type of the operands.
double rounded(const polyops_gemm_args& args, double factor) {
  return args.lhs.dtype == POLYOPS_FLOAT64 ? factor : static_cast<float>(factor);
}

template <class Visit>
void for_each_element(const polyops_gemm_args& args, Visit visit) {
  for (int64_t b = 0; b < args.dst.sizes[0]; ++b) {
    for (int64_t i = 0; i < args.dst.sizes[1]; ++i) {
      for (int64_t j = 0; j < args.dst.sizes[2]; ++j) visit(b, i, j);
    }
  }
}

}  // namespace

void gemm(const polyops_gemm_args& args) {
  const double alpha = rounded(args, args.alpha), beta = rounded(args, args.beta);
  for_each_element(args, [&](int64_t b, int64_t i, int64_t j) {
    double sum = 0;
    for (int64_t p = 0; p < args.lhs.sizes[2]; ++p) {
      sum += load(args.lhs, b, i, p) * load(args.rhs, b, p, j);
    }
    double value = alpha * sum;
    if (polyops_is_present(&args.addend)) value += beta * load(args.addend, b, i, j);
    store(args.dst, b, i, j, value);
  });
}

std::vector<double> gemm_scale(const polyops_gemm_args& args) {
  const double alpha = rounded(args, args.alpha), beta = rounded(args, args.beta);
  std::vector<double> scale;
  scale.reserve(polyops_numel(&args.dst));
  for_each_element(args, [&](int64_t b, int64_t i, int64_t j) {
    double sum = 0;
    for (int64_t p = 0; p < args.lhs.sizes[2]; ++p) {
      sum += std::fabs(load(args.lhs, b, i, p) * load(args.rhs, b, p, j));
    }
    double value = std::fabs(alpha) * sum;
    if (polyops_is_present(&args.addend)) value += std::fabs(beta * load(args.addend, b, i, j));
    scale.push_back(value);
  });
  return scale;
}

}  // namespace polyops::reference
