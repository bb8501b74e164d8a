/*
 * The C ABI between polyops and a device family ("backend"): a shared library that brings kernels
 * for one torch device type. The families that polyops ships come in through here like anybody's. A
 * backend exports one symbol, polyops_backend_init, with the signature polyops_backend_init_fn.
 *
 * Rules of the boundary: plain C types; every struct starts with struct_size and only ever grows;
 * no exception crosses; nothing that a backend returns is freed or unloaded by polyops.
 */
#ifndef POLYOPS_ABI_H_
#define POLYOPS_ABI_H_

#include <stddef.h>
#include <stdint.h>

#include "polyops/tensor_view.h"

/* Raised when a change breaks compiled backends; another number is refused with a warning. */
#define POLYOPS_ABI_VERSION 1

#define POLYOPS_EXPORT __attribute__((visibility("default")))

#ifdef __cplusplus
extern "C" {
#endif

/* What launch returns. */
enum {
  POLYOPS_OK = 0,
  POLYOPS_DECLINED = 1, /* nothing was written: the next candidate is tried */
  POLYOPS_ERROR = 2     /* host->set_error() was called; raised as RuntimeError, never retried */
};

/* Bits of polyops_context.flags: a snapshot of torch's global settings, taken for this call. */
enum {
  POLYOPS_FLAG_DETERMINISTIC = 1u << 0,          /* torch.use_deterministic_algorithms */
  POLYOPS_FLAG_REDUCED_PRECISION_FP32 = 1u << 1, /* float32 products may use TF32 or bfloat16 */
  /* half-precision products may accumulate in half */
  POLYOPS_FLAG_REDUCED_PRECISION_REDUCTION = 1u << 2
};

typedef void (*polyops_range_fn)(void* user, int64_t begin, int64_t end, int32_t thread);

/* What one launch may use. Valid until launch returns. */
typedef struct polyops_context {
  uint32_t struct_size;
  uint32_t flags;
  int32_t device_index; /* of the device type's numbering; 0 on a CPU */
  int32_t num_threads;  /* upper bound of the thread ids that parallel_for hands out */
  void* stream;         /* the device type's native stream handle; NULL on a CPU */
  void* scratch; /* scratch_bytes() bytes, 64-byte aligned (256 on GPUs), or NULL if that was 0 */
  /*
   * Calls fn over disjoint ranges that cover [0, n), each at least grain long but for the last, on
   * torch's own intra-op pool; serial when nested, when n <= grain or with one thread. thread is in
   * [0, num_threads).
   */
  void (*parallel_for)(const struct polyops_context* ctx, int64_t n, int64_t grain,
                       polyops_range_fn fn, void* user);
} polyops_context;

/*
 * One kernel. args points to the argument struct of its op (polyops/ops/<op>.h), whose struct_size
 * the caller filled.
 */
typedef struct polyops_kernel {
  uint32_t struct_size;
  const char* op; /* which op it implements: "softmax", "softmax_backward", "gemm", ... */
  /* Unique: "softmax_lastdim__avx512"; named in POLYOPS_FORCE, stats and benchmarks. */
  const char* name;
  /* Instruction set it was built for, one of the backend's isas; "" if that means nothing here. */
  const char* isa;
  /*
   * NULL if the call is one that this kernel computes correctly, else a short reason of static
   * lifetime ("dtype"). Sees metadata only: data of outputs is NULL. Rests on args alone, because
   * callers remember the answer; what may change meanwhile is for launch to decline. Never
   * overridden by any setting.
   */
  const char* (*supports)(const void* args);
  /* Bytes of scratch that launch needs with that many threads. May be NULL: none. */
  size_t (*scratch_bytes)(const void* args, int32_t threads);
  int (*launch)(const void* args, const polyops_context* ctx);
} polyops_kernel;

typedef struct polyops_backend {
  uint32_t struct_size;
  uint32_t abi_version; /* POLYOPS_ABI_VERSION of the headers it was compiled with */
  const char* name;     /* of the family, e.g. "cpu" */
  const char* device;   /* torch's name of the device type: "cpu", "privateuseone", ... */
  /*
   * Can this machine run the family? Non-zero yes; zero no, with a reason in reason[0..capacity).
   * Called once: at load for CPU families, at the first call that reaches the device's dispatch key
   * for the others.
   */
  int (*probe)(char* reason, size_t capacity);
  /* Identifies the chip for gates, in [a-z0-9_]: "amd_zen4". Valid after a successful probe. */
  const char* (*chip)(void);
  /* Comma-separated features of the machine that the family looks at, for `polyops info`. */
  const char* (*features)(void);
  /*
   * The instruction sets it was built for, best first, NULL-terminated; NULL if that means nothing
   * here.
   */
  const char* const* isas;
  /* Non-zero if this machine runs that instruction set. NULL allowed when isas is NULL. */
  int (*runs_isa)(const char* isa);
  /* All kernels, in the order in which they are tried for their op. */
  const polyops_kernel* kernels;
  size_t kernel_count;
} polyops_backend;

/* What polyops offers a backend. Valid for the life of the process. */
typedef struct polyops_host {
  uint32_t struct_size;
  uint32_t abi_version;
  /* Keeps a copy of the message for the calling thread; it becomes the text of the RuntimeError. */
  void (*set_error)(const char* message);
} polyops_host;

typedef const polyops_backend* (*polyops_backend_init_fn)(const polyops_host* host);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* POLYOPS_ABI_H_ */
