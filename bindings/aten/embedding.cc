// aten::embedding_dense_backward, the gradient of F.embedding's weight. Its forward is
// index_select.
#include "polyops/ops/embedding.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/embedding_dense_backward_cpu_dispatch.h>

#include "aten/table.h"
#include "torch/allocate.h"
#include "torch/view.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

// As one of that many rows, or as numbers without rows. False if there are gaps.
bool flatten(polyops_tensor* view, int64_t rows, int64_t width) {
  if (polyops_is_contiguous(view) == 0) return false;
  view->rank = width == 0 ? 1 : 2;
  view->sizes[0] = rows;
  view->strides[0] = width == 0 ? 1 : width;
  view->sizes[1] = width;
  view->strides[1] = 1;
  return true;
}

bool prepare(Call& call, const at::Tensor& grad_output, const at::Tensor& indices,
             int64_t num_weights, int64_t padding_idx, bool scale_grad_by_freq,
             polyops_embedding_backward_args* args) {
  const char* reason = describe(grad_output, &args->grad_dst);
  if (!reason) reason = describe_rows(indices, &args->index);
  if (reason) return call.decline(reason);
  if (indices.device() != grad_output.device()) return call.decline("mixed devices");
  const int64_t lookups = indices.numel();
  if (grad_output.dim() == 0 || num_weights < 1) return call.decline("shape");
  const int64_t width = grad_output.size(-1);
  if (grad_output.numel() != lookups * width) return call.decline("shape");
  if (!flatten(&args->grad_dst, lookups, width) || !flatten(&args->index, lookups, 0)) {
    return call.decline("layout");
  }
  args->struct_size = sizeof *args;
  args->scale_by_freq = scale_grad_by_freq;
  args->padding = padding_idx;
  describe_contiguous({num_weights, width}, grad_output.scalar_type(), &args->grad_weight);
  return call.choose(args);
}

std::optional<at::Tensor> backward(Call& call, const at::Tensor& grad_output,
                                   const at::Tensor& indices, int64_t num_weights,
                                   int64_t padding_idx, bool scale_grad_by_freq) {
  polyops_embedding_backward_args args;
  if (!prepare(call, grad_output, indices, num_weights, padding_idx, scale_grad_by_freq, &args)) {
    return std::nullopt;
  }
  at::Tensor grad_weight =
      allocate(grad_output, {num_weights, grad_output.size(-1)}, grad_output.scalar_type());
  set_input(&args.grad_dst, grad_output);
  set_input(&args.index, indices);
  set_output(&args.grad_weight, grad_weight);
  if (!call.launch(&args, grad_weight)) return std::nullopt;
  return grad_weight;
}

}  // namespace

std::vector<Overload> embedding_overloads() {
  return {
      {"embedding_dense_backward", "embedding", "embedding_backward",
       wrap(backward, at::cpu::embedding_dense_backward)},
  };
}

}  // namespace polyops::torch_binding
