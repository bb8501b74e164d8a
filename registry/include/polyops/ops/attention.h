/*
 * attention: for every query i of every head, over the keys j that it sees,
 *   score(j) = scale * (query[i] . key[j]) + mask[i, j];  p = exp(score - logsumexp[i])
 *   logsumexp[i] = log(sum_j exp(score(j)));              dst[i] = sum_j p(j) * value[j]
 * Definition: torch.nn.functional.scaled_dot_product_attention, forward, as
 * aten::_scaled_dot_product_flash_attention_for_cpu returns it. Online softmax: arXiv:2112.05682.
 *
 * Op: "attention" (polyops_attention_args).
 * Shapes    query and dst (batch, heads, q, dim); key and value (batch, kv_heads, kv, dim), heads a
 *           multiple of kv_heads: consecutive query heads share one of key and value. mask (batch,
 *           heads, q, kv); logsumexp (batch, heads, q).
 * Causal    query i sees keys 0 .. i (counted from the first, whatever q and kv); else all keys.
 * Layouts   any strides, 0 in mask where broadcast; dst and logsumexp without overlap.
 * Types     query, key, value, dst: one dtype. logsumexp: float32, float64 for float64; so are the
 *           scores, the softmax and the sums, rounded once into dst. bfloat16: the weights may be
 *           rounded to it before they are multiplied. mask: query's dtype or float32.
 * Aliasing  none between outputs and inputs.
 * Empty     never arrives: every size >= 1.
 * Special   a query whose scores are all -inf: dst 0 (NaN where a value is not finite), logsumexp
 *           0. A score of NaN or +inf: the whole row NaN. What is behind the causal diagonal is
 *           not seen, except that a value there that is not finite may make the row NaN.
 */
#ifndef POLYOPS_OPS_ATTENTION_H_
#define POLYOPS_OPS_ATTENTION_H_

#include "polyops/tensor_view.h"

typedef struct polyops_attention_args {
  uint32_t struct_size;
  int32_t causal; /* 0 or 1 */
  double scale;
  polyops_tensor query;
  polyops_tensor key;
  polyops_tensor value;
  polyops_tensor mask; /* optional; absent if causal */
  polyops_tensor dst;
  polyops_tensor logsumexp;
} polyops_attention_args;

#endif /* POLYOPS_OPS_ATTENTION_H_ */
