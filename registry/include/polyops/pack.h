/* What an op named *_pack leaves of a weight, for the kernels of the op that reads it. */
#ifndef POLYOPS_PACK_H_
#define POLYOPS_PACK_H_

#include <stdint.h>

/*
 * data     64-byte aligned (256 on GPUs), `bytes` of it, all of which may be written. NULL: launch
 *          only says in `bytes` how many that will be.
 * bytes    written by launch while data is NULL, and the same for the same arguments.
 * format   written by launch: the name of the order, of static lifetime. Its meaning is the
 *          family's own, which compares it by address.
 */
typedef struct polyops_pack {
  void* data;
  int64_t bytes;
  const char* format;
} polyops_pack;

#endif /* POLYOPS_PACK_H_ */
