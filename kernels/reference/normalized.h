// What the references of layer_norm and rms_norm share.
#ifndef POLYOPS_REFERENCE_NORMALIZED_H_
#define POLYOPS_REFERENCE_NORMALIZED_H_

#include "reference/elements.h"

namespace polyops::reference {

inline int64_t row_length(const polyops_tensor& src, int32_t normalized_rank) {
  int64_t n = 1;
  for (int32_t d = src.rank - normalized_rank; d < src.rank; ++d) n *= src.sizes[d];
  return n;
}

inline double load_or(const polyops_tensor& t, int64_t element, double otherwise) {
  return polyops_is_present(&t) ? load(t, element) : otherwise;
}

inline void store_if_present(const polyops_tensor& t, int64_t element, double value) {
  if (polyops_is_present(&t)) store(t, element, value);
}

}  // namespace polyops::reference

#endif  // POLYOPS_REFERENCE_NORMALIZED_H_
