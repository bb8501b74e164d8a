/*
 * A whole device family in one file of plain C, for a chip that does not exist: its kernels run on
 * the host and serve contiguous float32 tensors of torch's device type "cpu". It shows each part of
 * the contract once: supports, scratch, parallel_for, errors, and the table that init returns.
 */
#include <math.h>

#include "polyops/abi.h"
#include "polyops/ops/relu.h"
#include "polyops/ops/softmax.h"

static const polyops_host* host;

/* Nothing here is worth a thread for less than this many elements. */
enum { kGrain = 4096 };

/* NULL: both tensors are ours. Else why not; only metadata may be looked at. */
static const char* check_pair(const polyops_tensor* src, const polyops_tensor* dst) {
  if (src->dtype != POLYOPS_FLOAT32 || dst->dtype != POLYOPS_FLOAT32) return "dtype";
  if (!polyops_is_contiguous(src) || !polyops_is_contiguous(dst)) return "layout";
  return NULL;
}

/* A context of an older polyops could lack what is used below. */
static int check_context(const polyops_context* ctx) {
  if (ctx->struct_size >= sizeof(polyops_context)) return POLYOPS_OK;
  host->set_error("toychip: the context is shorter than the one it was built for");
  return POLYOPS_ERROR;
}

/* softmax: rows that run along dim; a row is gathered into scratch, so that dst may be src. */

typedef struct softmax_call {
  const float* src;
  float* dst;
  float* rows; /* one row per thread */
  int64_t len, inner;
} softmax_call;

static const char* softmax_supports(const void* p) {
  const polyops_softmax_args* args = p;
  return check_pair(&args->src, &args->dst);
}

static size_t softmax_scratch(const void* p, int32_t threads) {
  const polyops_softmax_args* args = p;
  return (size_t)threads * (size_t)args->src.sizes[args->dim] * sizeof(float);
}

static void softmax_rows(void* user, int64_t begin, int64_t end, int32_t thread) {
  const softmax_call* call = user;
  float* row = call->rows + thread * call->len;
  for (int64_t r = begin; r < end; ++r) {
    const int64_t first = r / call->inner * call->len * call->inner + r % call->inner;
    float largest = -INFINITY, sum = 0;
    for (int64_t i = 0; i < call->len; ++i) {
      row[i] = call->src[first + i * call->inner];
      largest = row[i] > largest ? row[i] : largest;
    }
    for (int64_t i = 0; i < call->len; ++i) {
      row[i] = expf(row[i] - largest);
      sum += row[i];
    }
    for (int64_t i = 0; i < call->len; ++i) call->dst[first + i * call->inner] = row[i] / sum;
  }
}

static int softmax_launch(const void* p, const polyops_context* ctx) {
  const polyops_softmax_args* args = p;
  const int status = check_context(ctx);
  if (status != POLYOPS_OK) return status;
  softmax_call call = {args->src.data, args->dst.data, ctx->scratch, args->src.sizes[args->dim], 1};
  for (int32_t d = args->dim + 1; d < args->src.rank; ++d) call.inner *= args->src.sizes[d];
  ctx->parallel_for(ctx, polyops_numel(&args->src) / call.len, kGrain / call.len + 1, softmax_rows,
                    &call);
  return POLYOPS_OK;
}

/* relu */

static const char* relu_supports(const void* p) {
  const polyops_relu_args* args = p;
  return check_pair(&args->src, &args->dst);
}

static void relu_range(void* user, int64_t begin, int64_t end, int32_t thread) {
  const polyops_relu_args* args = user;
  const float* src = args->src.data;
  float* dst = args->dst.data;
  (void)thread;
  for (int64_t i = begin; i < end; ++i) dst[i] = src[i] < 0 ? 0 : src[i]; /* NaN stays */
}

static int relu_launch(const void* p, const polyops_context* ctx) {
  polyops_relu_args args = *(const polyops_relu_args*)p;
  const int status = check_context(ctx);
  if (status != POLYOPS_OK) return status;
  ctx->parallel_for(ctx, polyops_numel(&args.src), kGrain, relu_range, &args);
  return POLYOPS_OK;
}

static int probe(char* reason, size_t capacity) {
  (void)reason, (void)capacity;
  return 1; /* a chip of flesh would look for itself here, and write why not into reason */
}

static const char* chip(void) { return "toychip_v1"; }
static const char* features(void) { return "host_memory"; }

static const polyops_kernel kernels[] = {
    {sizeof(polyops_kernel), "softmax", "softmax__toychip", "", softmax_supports, softmax_scratch,
     softmax_launch},
    {sizeof(polyops_kernel), "relu", "relu__toychip", "", relu_supports, NULL, relu_launch},
};

static const polyops_backend backend = {
    sizeof(polyops_backend),
    POLYOPS_ABI_VERSION,
    "toychip",
    "cpu",
    probe,
    chip,
    features,
    NULL,
    NULL,
    kernels,
    sizeof kernels / sizeof kernels[0],
};

POLYOPS_EXPORT const polyops_backend* polyops_backend_init(const polyops_host* from);
const polyops_backend* polyops_backend_init(const polyops_host* from) {
  if (from->abi_version != POLYOPS_ABI_VERSION) return NULL;
  host = from;
  return &backend;
}
