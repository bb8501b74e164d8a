/* Element types, as they cross the C ABI. */
#ifndef POLYOPS_DTYPE_H_
#define POLYOPS_DTYPE_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum polyops_dtype {
  POLYOPS_INVALID_DTYPE = 0, /* a dtype this ABI has no name for: every kernel declines it */
  POLYOPS_FLOAT32 = 1,
  POLYOPS_FLOAT64 = 2,
  POLYOPS_BFLOAT16 = 3,
  POLYOPS_FLOAT16 = 4,
  POLYOPS_INT64 = 5,
  POLYOPS_UINT8 = 6,
  POLYOPS_INT32 = 7,
} polyops_dtype;

/* The name torch uses, e.g. "bfloat16". */
static inline const char* polyops_dtype_name(int32_t dtype) {
  switch (dtype) {
    case POLYOPS_FLOAT32:
      return "float32";
    case POLYOPS_FLOAT64:
      return "float64";
    case POLYOPS_BFLOAT16:
      return "bfloat16";
    case POLYOPS_FLOAT16:
      return "float16";
    case POLYOPS_INT64:
      return "int64";
    case POLYOPS_UINT8:
      return "uint8";
    case POLYOPS_INT32:
      return "int32";
    default:
      return "other";
  }
}

/* Bytes per element; 0 for an invalid dtype. */
static inline int64_t polyops_dtype_size(int32_t dtype) {
  switch (dtype) {
    case POLYOPS_FLOAT32:
    case POLYOPS_INT32:
      return 4;
    case POLYOPS_FLOAT64:
    case POLYOPS_INT64:
      return 8;
    case POLYOPS_BFLOAT16:
    case POLYOPS_FLOAT16:
      return 2;
    case POLYOPS_UINT8:
      return 1;
    default:
      return 0;
  }
}

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* POLYOPS_DTYPE_H_ */
