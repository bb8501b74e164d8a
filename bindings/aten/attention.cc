// aten::_scaled_dot_product_flash_attention_for_cpu and its backward.
// F.scaled_dot_product_attention ends here, and with it nn.MultiheadAttention and the models of
// transformers; boolean masks arrive as additive ones.
#include "polyops/ops/attention.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_backward_cpu_dispatch.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_cpu_dispatch.h>

#include <array>
#include <cmath>

#include "aten/table.h"
#include "torch/allocate.h"
#include "torch/context.h"
#include "torch/results.h"
#include "torch/view.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

// Autograd hands the mask that it does not have over as an undefined tensor.
bool is_given(const OptionalTensor& mask) { return mask.has_value() && mask->defined(); }

// Stock reads rows as if they had unit stride, and hands their distance to BLAS, which wants at
// least a row's length.
bool has_rows(const polyops_tensor& t) {
  const bool unit = t.sizes[3] == 1 || t.strides[3] == 1;
  return unit && (t.sizes[2] == 1 || t.strides[2] >= t.sizes[3]);
}

const char* describe_operands(const at::Tensor& query, const at::Tensor& key,
                              const at::Tensor& value, polyops_attention_args* args) {
  if (!same_kind(query, key) || !same_kind(query, value)) return "mixed dtypes or devices";
  if (query.dim() != 4 || key.dim() != 4 || value.dim() != 4) return "shape";
  if (const char* reason = describe(query, &args->query)) return reason;
  if (const char* reason = describe(key, &args->key)) return reason;
  if (const char* reason = describe(value, &args->value)) return reason;
  if (key.sizes() != value.sizes()) return "shape";
  const int64_t *q = args->query.sizes, *k = args->key.sizes;
  if (q[0] != k[0] || q[3] != k[3] || q[1] % k[1] != 0) return "shape";
  const bool rows = has_rows(args->query) && has_rows(args->key) && has_rows(args->value);
  return rows ? nullptr : "layout";
}

const char* describe_mask(const at::Tensor& mask, const at::Tensor& query, const at::Tensor& key,
                          polyops_attention_args* args) {
  if (args->causal != 0) return "causal and a mask";
  if (mask.device() != query.device()) return "mixed dtypes or devices";
  if (mask.scalar_type() != query.scalar_type() && mask.scalar_type() != at::kFloat) {
    return "mixed dtypes or devices";
  }
  if (mask.dim() != 2 && mask.dim() != 4) return "shape of the mask";
  if (const char* reason = describe(mask, &args->mask)) return reason;
  const std::array<int64_t, 4> sizes = {query.size(0), query.size(1), query.size(2), key.size(2)};
  if (!expand(&args->mask, sizes)) return "shape of the mask";
  // Stock takes every other stride of the last dimension for 1.
  const bool unit = sizes[3] == 1 || args->mask.strides[3] <= 1;
  return unit ? nullptr : "layout of the mask";
}

at::ScalarType logsumexp_type(const at::Tensor& query) {
  return query.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

// In stock's layout: (batch, q, heads) transposed.
void describe_logsumexp(const at::Tensor& query, polyops_tensor* view) {
  const int64_t heads = query.size(1), q = query.size(2);
  describe_contiguous(query.sizes().slice(0, 3), logsumexp_type(query), view);
  view->strides[0] = heads * q;
  view->strides[1] = 1;
  view->strides[2] = heads;
}

at::Tensor allocate_logsumexp(const at::Tensor& query, const polyops_tensor& view) {
  return allocate_strided(query, {view.sizes, 3}, {view.strides, 3}, logsumexp_type(query));
}

const char* describe_all(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                         double dropout_p, bool is_causal, const OptionalTensor& mask,
                         std::optional<double> scale, polyops_attention_args* args) {
  if (dropout_p != 0) return "dropout";
  if (const char* reason = describe_operands(query, key, value, args)) return reason;
  args->struct_size = sizeof *args;
  args->causal = is_causal;
  args->scale = scale.value_or(1 / std::sqrt(static_cast<double>(query.size(3))));
  // Stock hides what is behind the diagonal by -inf before it multiplies.
  if (is_causal && !(args->scale > 0 && std::isfinite(args->scale))) return "causal and scale";
  args->mask = absent();
  if (is_given(mask)) {
    if (const char* reason = describe_mask(*mask, query, key, args)) return reason;
  }
  args->dst = args->query;
  describe_logsumexp(query, &args->logsumexp);
  return nullptr;
}

bool needs_gradient(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value) {
  return at::GradMode::is_enabled() &&
         (query.requires_grad() || key.requires_grad() || value.requires_grad());
}

// (batch, length, heads, dim) transposed, as stock makes gradients whatever their tensors' layout.
void describe_by_token(const at::Tensor& like, polyops_tensor* view) {
  const int64_t heads = like.size(1), length = like.size(2), dim = like.size(3);
  describe_contiguous(like.sizes(), like.scalar_type(), view);
  view->strides[0] = length * heads * dim;
  view->strides[1] = dim;
  view->strides[2] = heads * dim;
}

at::Tensor allocate_by_token(const at::Tensor& like) {
  const int64_t heads = like.size(1), length = like.size(2), dim = like.size(3);
  const std::array<int64_t, 4> strides = {length * heads * dim, dim, heads * dim, 1};
  return allocate_strided(like, like.sizes(), strides, like.scalar_type());
}

polyops_attention_backward_args backward_of(const polyops_attention_args& forward) {
  polyops_attention_backward_args args;
  args.struct_size = sizeof args;
  args.causal = forward.causal;
  args.scale = forward.scale;
  args.query = forward.query;
  args.key = forward.key;
  args.value = forward.value;
  args.mask = forward.mask;
  args.dst = args.grad_dst = forward.dst;
  args.logsumexp = forward.logsumexp;
  return args;
}

void describe_gradients(const at::Tensor& query, const at::Tensor& key,
                        polyops_attention_backward_args* args) {
  describe_by_token(query, &args->grad_query);
  describe_by_token(key, &args->grad_key);
  args->grad_value = args->grad_key;
}

// A backward computes the scores again and expects logsumexp to be theirs to the last bit: where
// weights are near 0 and 1, of other scores it makes gradients up to three times as wrong. So
// forward and backward are both ours or both stock's; but for bfloat16, whose rounding hides that.
bool go_together(const at::Tensor& query) { return query.scalar_type() != at::kBFloat16; }

constexpr const char kBackwardIsStock[] = "its backward is left to stock";
constexpr const char kForwardIsStock[] = "its forward is left to stock";

bool backward_is_ours(const Call& call, const polyops_attention_args& forward,
                      const at::Tensor& query, const at::Tensor& key) {
  polyops_attention_backward_args args = backward_of(forward);
  describe_gradients(query, key, &args);
  return call.takes("attention_backward", &args);
}

std::optional<Two> attention(Call& call, const at::Tensor& query, const at::Tensor& key,
                             const at::Tensor& value, double dropout_p, bool is_causal,
                             const OptionalTensor& mask, std::optional<double> scale) {
  polyops_attention_args args;
  if (const char* reason =
          describe_all(query, key, value, dropout_p, is_causal, mask, scale, &args)) {
    call.decline(reason);
    return std::nullopt;
  }
  if (go_together(query) && needs_gradient(query, key, value) &&
      !backward_is_ours(call, args, query, key)) {
    call.decline(kBackwardIsStock);
    return std::nullopt;
  }
  if (!call.choose(&args)) return std::nullopt;
  // Stock may be much faster at those. Asked only now: the answer takes a walk through two maps.
  if (query.scalar_type() == at::kFloat && bf16_products_allowed(query.device().type())) {
    call.decline("bfloat16 products are allowed");
    return std::nullopt;
  }
  at::Tensor out = allocate_as(query);
  at::Tensor logsumexp = allocate_logsumexp(query, args.logsumexp);
  copy_strides(out, &args.dst);
  set_input(&args.query, query);
  set_input(&args.key, key);
  set_input(&args.value, value);
  if (is_given(mask)) set_input(&args.mask, *mask);
  set_output(&args.dst, out);
  set_output(&args.logsumexp, logsumexp);
  if (!call.launch(&args, out)) return std::nullopt;
  return Two(std::move(out), std::move(logsumexp));
}

const char* describe_backward(const at::Tensor& grad_out, const at::Tensor& query,
                              const at::Tensor& key, const at::Tensor& out,
                              const at::Tensor& logsumexp, const polyops_attention_args& forward,
                              polyops_attention_backward_args* args) {
  *args = backward_of(forward);
  if (!same_kind(grad_out, query) || !same_kind(out, query)) return "mixed dtypes or devices";
  if (grad_out.sizes() != query.sizes() || out.sizes() != query.sizes()) return "shape";
  if (!logsumexp.defined() || logsumexp.scalar_type() != logsumexp_type(query) ||
      logsumexp.device() != query.device()) {
    return "mixed dtypes or devices";
  }
  if (logsumexp.sizes() != query.sizes().slice(0, 3)) return "shape";
  if (const char* reason = describe(grad_out, &args->grad_dst)) return reason;
  if (const char* reason = describe(out, &args->dst)) return reason;
  if (const char* reason = describe(logsumexp, &args->logsumexp)) return reason;
  if (!has_rows(args->grad_dst) || !has_rows(args->dst)) return "layout";
  describe_gradients(query, key, args);
  return nullptr;
}

std::optional<Three> attention_backward(Call& call, const at::Tensor& grad_out,
                                        const at::Tensor& query, const at::Tensor& key,
                                        const at::Tensor& value, const at::Tensor& out,
                                        const at::Tensor& logsumexp, double dropout_p,
                                        bool is_causal, const OptionalTensor& mask,
                                        std::optional<double> scale) {
  polyops_attention_args forward;
  polyops_attention_backward_args args;
  const char* reason = describe_all(query, key, value, dropout_p, is_causal, mask, scale, &forward);
  if (!reason) reason = describe_backward(grad_out, query, key, out, logsumexp, forward, &args);
  if (!reason && go_together(query) && !call.takes("attention", &forward)) {
    reason = kForwardIsStock;
  }
  if (reason) {
    call.decline(reason);
    return std::nullopt;
  }
  if (!call.choose(&args)) return std::nullopt;
  if (query.scalar_type() == at::kFloat && bf16_products_allowed(query.device().type())) {
    call.decline("bfloat16 products are allowed");
    return std::nullopt;
  }
  at::Tensor grad_query = allocate_by_token(query);
  at::Tensor grad_key = allocate_by_token(key), grad_value = allocate_by_token(key);
  set_input(&args.grad_dst, grad_out);
  set_input(&args.query, query);
  set_input(&args.key, key);
  set_input(&args.value, value);
  if (is_given(mask)) set_input(&args.mask, *mask);
  set_input(&args.dst, out);
  set_input(&args.logsumexp, logsumexp);
  set_output(&args.grad_query, grad_query);
  set_output(&args.grad_key, grad_key);
  set_output(&args.grad_value, grad_value);
  if (!call.launch(&args, grad_query)) return std::nullopt;
  return Three(std::move(grad_query), std::move(grad_key), std::move(grad_value));
}

}  // namespace

std::vector<Overload> attention_overloads() {
  static constexpr char kOp[] = "scaled_dot_product_attention";
  return {
      {"_scaled_dot_product_flash_attention_for_cpu", kOp, "attention",
       wrap(attention, at::cpu::_scaled_dot_product_flash_attention_for_cpu)},
      {"_scaled_dot_product_flash_attention_for_cpu_backward", kOp, "attention_backward",
       wrap(attention_backward, at::cpu::_scaled_dot_product_flash_attention_for_cpu_backward)},
  };
}

}  // namespace polyops::torch_binding
