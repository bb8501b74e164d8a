// aten::_scaled_dot_product_flash_attention_for_cpu. F.scaled_dot_product_attention ends here, and
// with it nn.MultiheadAttention and the models of transformers; boolean masks arrive as additive ones.
#include "polyops/ops/attention.h"

#include <ATen/EmptyTensor.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_cpu_dispatch.h>
#include <ATen/ops/empty_like.h>

#include <array>
#include <cmath>

#include "aten/table.h"
#include "torch/context.h"
#include "torch/view.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

using OptionalTensor = std::optional<at::Tensor>;
using Two = std::tuple<at::Tensor, at::Tensor>;

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
  if (!mask.defined()) return "undefined tensor";
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

// at::empty_like, which takes 0.6 us more by way of the dispatcher.
at::Tensor allocate_dst(const at::Tensor& query) {
  if (!query.is_cpu() || !query.is_non_overlapping_and_dense()) return at::empty_like(query);
  return at::Tensor(
      at::detail::empty_strided_cpu(query.sizes(), query.strides(), query.scalar_type()));
}

at::Tensor allocate_logsumexp(const at::Tensor& query, const polyops_tensor& view) {
  if (query.is_cpu()) {
    return at::Tensor(
        at::detail::empty_strided_cpu({view.sizes, 3}, {view.strides, 3}, logsumexp_type(query)));
  }
  const std::array<int64_t, 3> sizes = {view.sizes[0], view.sizes[2], view.sizes[1]};
  return allocate(query, sizes, logsumexp_type(query)).transpose(1, 2);
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
  if (mask.has_value()) {
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

std::optional<Two> attention(Call& call, const at::Tensor& query, const at::Tensor& key,
                             const at::Tensor& value, double dropout_p, bool is_causal,
                             const OptionalTensor& mask, std::optional<double> scale) {
  polyops_attention_args args;
  if (const char* reason =
          describe_all(query, key, value, dropout_p, is_causal, mask, scale, &args)) {
    call.decline(reason);
    return std::nullopt;
  }
  // Stock's backward computes the scores again and expects logsumexp to be theirs to the last bit:
  // of a query whose weights are 0 and 1, ours makes its gradients up to three times as wrong.
  if (needs_gradient(query, key, value)) {
    call.decline("needs a gradient");
    return std::nullopt;
  }
  if (!call.choose(&args)) return std::nullopt;
  // Stock may be much faster at those. Asked only now: the answer takes a walk through two maps.
  if (query.scalar_type() == at::kFloat && bf16_products_allowed(query.device().type())) {
    call.decline("bfloat16 products are allowed");
    return std::nullopt;
  }
  at::Tensor out = allocate_dst(query);
  at::Tensor logsumexp = allocate_logsumexp(query, args.logsumexp);
  copy_strides(out, &args.dst);
  set_input(&args.query, query);
  set_input(&args.key, key);
  set_input(&args.value, value);
  if (mask.has_value()) set_input(&args.mask, *mask);
  set_output(&args.dst, out);
  set_output(&args.logsumexp, logsumexp);
  if (!call.launch(&args, out)) return std::nullopt;
  return Two(std::move(out), std::move(logsumexp));
}

}  // namespace

std::vector<Overload> attention_overloads() {
  static constexpr char kOp[] = "scaled_dot_product_attention";
  return {
      {"_scaled_dot_product_flash_attention_for_cpu", kOp, "attention",
       wrap(attention, at::cpu::_scaled_dot_product_flash_attention_for_cpu)},
      {"_scaled_dot_product_flash_attention_for_cpu_backward", kOp, "attention", nullptr,
       "no kernel yet"},
  };
}

}  // namespace polyops::torch_binding
