/* A borrowed view of a tensor's memory. Owns nothing; valid for one call. */
#ifndef POLYOPS_TENSOR_VIEW_H_
#define POLYOPS_TENSOR_VIEW_H_

#include <stdint.h>

#include "polyops/dtype.h"

#define POLYOPS_MAX_RANK 8

#ifdef __cplusplus
extern "C" {
#endif

/*
 * data     first element. NULL for an output until launch, and for an absent tensor.
 * rank     0..POLYOPS_MAX_RANK; -1 marks an absent optional tensor.
 * sizes    in elements; strides in elements too, never negative, 0 where broadcast.
 * Alignment is that of one element, nothing more.
 */
typedef struct polyops_tensor {
  void* data;
  int32_t dtype;
  int32_t rank;
  int64_t sizes[POLYOPS_MAX_RANK];
  int64_t strides[POLYOPS_MAX_RANK];
} polyops_tensor;

static inline int polyops_is_present(const polyops_tensor* t) { return t->rank >= 0; }

static inline int64_t polyops_numel(const polyops_tensor* t) {
  int64_t n = 1;
  for (int32_t d = 0; d < t->rank; ++d) n *= t->sizes[d];
  return n;
}

/* Row-major without gaps; strides of dimensions of size 1 do not matter. */
static inline int polyops_is_contiguous(const polyops_tensor* t) {
  int64_t expected = 1;
  for (int32_t d = t->rank - 1; d >= 0; --d) {
    if (t->sizes[d] != 1 && t->strides[d] != expected) return 0;
    expected *= t->sizes[d];
  }
  return 1;
}

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* POLYOPS_TENSOR_VIEW_H_ */
