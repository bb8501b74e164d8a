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
 *
 * attention_backward: the gradients of query, key and value, given that of dst; with dst and
 * logsumexp as the forward wrote them and p(j) as above, for every query i and key j that it sees
 *   delta[i] = grad_dst[i] . dst[i];     g(i, j) = p(j) * (grad_dst[i] . value[j] - delta[i])
 *   grad_query[i] = scale * sum_j g(i, j) * key[j];  grad_key[j] = scale * sum_i g(i, j) * query[i]
 *   grad_value[j] = sum_i p(j) * grad_dst[i]
 * Definition: aten::_scaled_dot_product_flash_attention_for_cpu_backward.
 *
 * Op: "attention_backward" (polyops_attention_backward_args).
 * Shapes    as above; grad_dst and grad_query as query, grad_key and grad_value as key.
 * Precision p(j) comes from scores that are computed again, and logsumexp must be theirs to the
 * last bit, or gradients are off by a factor of exp of the difference: a family's backward and
 *           forward kernels of float32 and float64 compute them alike.
 * Layouts, types, aliasing, empty: as above.
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

typedef struct polyops_attention_backward_args {
  uint32_t struct_size;
  int32_t causal; /* 0 or 1 */
  double scale;
  polyops_tensor grad_dst;
  polyops_tensor query;
  polyops_tensor key;
  polyops_tensor value;
  polyops_tensor mask; /* optional; absent if causal */
  polyops_tensor dst;
  polyops_tensor logsumexp;
  polyops_tensor grad_query;
  polyops_tensor grad_key;
  polyops_tensor grad_value;
} polyops_attention_backward_args;

#endif /* POLYOPS_OPS_ATTENTION_H_ */
