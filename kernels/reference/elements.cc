#include "reference/elements.h"

#include <cmath>
#include <cstdlib>
#include <cstring>

namespace polyops::reference {
namespace {

// Most tensors are contiguous, and a division for each dimension took a tenth of some tests' time.
int64_t offset_of(const polyops_tensor& t, int64_t element) {
  if (polyops_is_contiguous(&t) != 0) return element;
  int64_t offset = 0;
  for (int32_t d = t.rank - 1; d >= 0; --d) {
    offset += element % t.sizes[d] * t.strides[d];
    element /= t.sizes[d];
  }
  return offset;
}

unsigned char* address(const polyops_tensor& t, int64_t element) {
  return static_cast<unsigned char*>(t.data) + offset_of(t, element) * polyops_dtype_size(t.dtype);
}

uint16_t to_bfloat16(float f) {
  if (std::isnan(f)) return 0x7fc0;
  uint32_t bits;
  std::memcpy(&bits, &f, sizeof bits);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

}  // namespace

double load(const polyops_tensor& t, int64_t element) {
  const unsigned char* p = address(t, element);
  double d;
  float f;
  uint16_t half;
  _Float16 short_float;
  uint32_t bits;
  int64_t integer;
  int32_t short_integer;
  switch (t.dtype) {
    case POLYOPS_FLOAT64:
      std::memcpy(&d, p, sizeof d);
      return d;
    case POLYOPS_FLOAT32:
      std::memcpy(&f, p, sizeof f);
      return f;
    case POLYOPS_BFLOAT16:
      std::memcpy(&half, p, sizeof half);
      bits = uint32_t{half} << 16;
      std::memcpy(&f, &bits, sizeof f);
      return f;
    case POLYOPS_FLOAT16:
      std::memcpy(&short_float, p, sizeof short_float);
      return static_cast<double>(short_float);
    case POLYOPS_INT64:
      std::memcpy(&integer, p, sizeof integer);
      return static_cast<double>(integer);
    case POLYOPS_INT32:
      std::memcpy(&short_integer, p, sizeof short_integer);
      return short_integer;
    case POLYOPS_UINT8:
      return *p;
    default:
      std::abort();
  }
}

void store(const polyops_tensor& t, int64_t element, double value) {
  unsigned char* p = address(t, element);
  const float f = static_cast<float>(value);
  const uint16_t half = to_bfloat16(f);
  const auto short_float = static_cast<_Float16>(f);
  switch (t.dtype) {
    case POLYOPS_FLOAT64:
      std::memcpy(p, &value, sizeof value);
      return;
    case POLYOPS_FLOAT32:
      std::memcpy(p, &f, sizeof f);
      return;
    case POLYOPS_BFLOAT16:
      std::memcpy(p, &half, sizeof half);
      return;
    case POLYOPS_FLOAT16:
      std::memcpy(p, &short_float, sizeof short_float);
      return;
    case POLYOPS_INT64: {
      const auto integer = static_cast<int64_t>(value);
      std::memcpy(p, &integer, sizeof integer);
      return;
    }
    case POLYOPS_INT32: {
      const auto integer = static_cast<int32_t>(value);
      std::memcpy(p, &integer, sizeof integer);
      return;
    }
    case POLYOPS_UINT8:
      *p = static_cast<uint8_t>(value);
      return;
    default:
      std::abort();
  }
}

}  // namespace polyops::reference
