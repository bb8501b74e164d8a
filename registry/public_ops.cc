// The ops as users name them.
#include "op_list.h"

namespace polyops {

std::span<const PublicOp> public_ops() {
  static const auto* ops = new std::vector<PublicOp>{
      {"adaptive_avg_pool2d", {"adaptive_avg_pool2d", "adaptive_avg_pool2d_backward"}},
      {"adaptive_avg_pool3d", {"adaptive_avg_pool3d", "adaptive_avg_pool3d_backward"}},
      {"adaptive_max_pool2d", {"adaptive_max_pool2d", "adaptive_max_pool2d_backward"}},
      {"adaptive_max_pool3d", {"adaptive_max_pool3d", "adaptive_max_pool3d_backward"}},
      {"addmm", {"gemm", "gemm_pack", "gemm_prepacked"}},
      {"addmv", {"gemm"}},
      {"amax", {"amax"}},
      {"amin", {"amin"}},
      {"any", {"all", "any"}},
      {"argmax", {"argmax"}},
      {"argmin", {"argmin"}},
      {"avg_pool2d", {"avg_pool2d", "avg_pool2d_backward"}},
      {"avg_pool3d", {"avg_pool3d", "avg_pool3d_backward"}},
      {"baddbmm", {"gemm"}},
      {"batch_norm", {"batch_norm", "batch_norm_backward"}},
      {"bmm", {"gemm"}},
      {"cat", {"cat"}},
      {"convolution",
       {"convolution", "convolution_backward", "convolution_pack", "convolution_prepacked"}},
      {"copy", {"copy"}},
      {"cross_entropy", {"cross_entropy", "cross_entropy_backward"}},
      {"cumsum", {"cumsum"}},
      {"dot", {"gemm"}},
      {"elu", {"elu", "elu_backward"}},
      {"embedding", {"embedding_backward"}},
      {"gather", {"gather"}},
      {"gelu", {"gelu", "gelu_backward"}},
      {"glu", {"glu", "glu_backward"}},
      {"group_norm", {"group_norm", "group_norm_backward"}},
      {"index", {"index_select"}},
      {"index_add", {"index_add"}},
      {"index_put", {"index_put"}},
      {"index_select", {"index_select"}},
      {"layer_norm", {"layer_norm", "layer_norm_backward"}},
      {"linalg_vector_norm", {"linalg_vector_norm"}},
      {"log_sigmoid", {"log_sigmoid", "log_sigmoid_backward"}},
      {"log_softmax", {"log_softmax", "log_softmax_backward"}},
      {"logsumexp", {"logsumexp"}},
      {"max", {"max"}},
      {"max_pool2d", {"max_pool2d", "max_pool2d_backward"}},
      {"max_pool3d", {"max_pool3d", "max_pool3d_backward"}},
      {"mean", {"mean"}},
      {"min", {"min"}},
      {"mish", {"mish", "mish_backward"}},
      {"mm", {"gemm", "gemm_pack", "gemm_prepacked"}},
      {"nll_loss", {"nll_loss", "nll_loss_backward"}},
      {"relu", {"relu", "relu_backward"}},
      {"rms_norm", {"rms_norm", "rms_norm_backward"}},
      {"scaled_dot_product_attention", {"attention", "attention_backward"}},
      {"scatter_add", {"scatter_add"}},
      {"softmax", {"softmax", "softmax_backward"}},
      {"softplus", {"softplus", "softplus_backward"}},
      {"std", {"std"}},
      {"std_mean", {"std_mean"}},
      {"sum", {"sum"}},
      {"upsample_bicubic2d", {"upsample_bicubic2d", "upsample_bicubic2d_backward"}},
      {"upsample_bilinear2d", {"upsample_bilinear2d", "upsample_bilinear2d_backward"}},
      {"upsample_nearest2d", {"upsample_nearest2d", "upsample_nearest2d_backward"}},
      {"var", {"var"}},
      {"var_mean", {"var_mean"}},
  };
  return *ops;
}

int public_op_index(std::string_view name) {
  const auto ops = public_ops();
  for (size_t i = 0; i < ops.size(); ++i) {
    if (name == ops[i].name) return static_cast<int>(i);
  }
  return -1;
}

std::string known_public_ops() {
  std::vector<std::string> names;
  for (const PublicOp& op : public_ops()) names.emplace_back(op.name);
  return join(names);
}

}  // namespace polyops
