#include "op_list.h"

#include "gate_keys.h"
#include "polyops/ops/activation.h"
#include "polyops/ops/adaptive_max_pool.h"
#include "polyops/ops/attention.h"
#include "polyops/ops/batch_norm.h"
#include "polyops/ops/cat.h"
#include "polyops/ops/convolution.h"
#include "polyops/ops/copy.h"
#include "polyops/ops/cross_entropy.h"
#include "polyops/ops/cumsum.h"
#include "polyops/ops/embedding.h"
#include "polyops/ops/extreme.h"
#include "polyops/ops/gather.h"
#include "polyops/ops/gelu.h"
#include "polyops/ops/gemm.h"
#include "polyops/ops/glu.h"
#include "polyops/ops/group_norm.h"
#include "polyops/ops/index_add.h"
#include "polyops/ops/index_select.h"
#include "polyops/ops/layer_norm.h"
#include "polyops/ops/max_pool3d.h"
#include "polyops/ops/nll_loss.h"
#include "polyops/ops/pool2d.h"
#include "polyops/ops/pool3d.h"
#include "polyops/ops/reduction.h"
#include "polyops/ops/relu.h"
#include "polyops/ops/rms_norm.h"
#include "polyops/ops/softmax.h"
#include "polyops/ops/upsample.h"
#include "polyops/ops/var.h"

namespace polyops {
namespace {

KernelOp pool_op(const char* name, const char* direction, size_t args_size,
                 GateKey (*key)(const void*)) {
  return {name,
          direction,
          args_size,
          {kContiguous, kChannelsLast, kStrided},
          {"planes", "pixels", "results", "taps"},
          key};
}

KernelOp upsample(const char* name) {
  return {name,
          "forward",
          sizeof(polyops_upsample_args),
          {kContiguous, kChannelsLast, kStrided},
          {"planes", "from", "to"},
          upsample_forward_key};
}

KernelOp upsample_backward(const char* name) {
  return {name,
          "backward",
          sizeof(polyops_upsample_backward_args),
          {kContiguous, kChannelsLast, kStrided},
          {"planes", "from", "to"},
          upsample_backward_key};
}

KernelOp activation(const char* name) {
  return {name,      "forward",     sizeof(polyops_activation_args), {kContiguous, kStrided},
          {"numel"}, activation_key};
}

KernelOp activation_backward(const char* name) {
  return {name,
          "backward",
          sizeof(polyops_activation_backward_args),
          {kContiguous, kStrided},
          {"numel"},
          activation_backward_key};
}

KernelOp reduction(const char* name) {
  return {name,
          "forward",
          sizeof(polyops_reduction_args),
          {kContiguous, kInner, kStrided},
          {"outer", "len", "inner"},
          reduction_key};
}

KernelOp extreme(const char* name) {
  return {name,
          "forward",
          sizeof(polyops_extreme_args),
          {kContiguous, kInner, kStrided},
          {"outer", "len", "inner"},
          extreme_key};
}

KernelOp variance(const char* name) {
  return {name,
          "forward",
          sizeof(polyops_var_args),
          {kContiguous, kInner, kStrided},
          {"outer", "len", "inner"},
          var_key};
}

std::vector<const char*> convolution_layouts() {
  return {kPointwise, kPointwiseLast, kDepthwise, kDepthwiseLast,
          kGrouped,   kGroupedLast,   kDense,     kDenseLast};
}

}  // namespace

std::span<const KernelOp> kernel_ops() {
  static const auto* ops = new std::vector<KernelOp>{
      {"gemm",
       "forward",
       sizeof(polyops_gemm_args),
       {kNn, kNt, kTn, kTt, kStrided},
       {"batch", "m", "n", "k"},
       gemm_key},
      {"gemm_pack",
       "forward",
       sizeof(polyops_gemm_pack_args),
       {kNn, kNt, kStrided},
       {"k", "n"},
       gemm_pack_key},
      {"gemm_prepacked",
       "forward",
       sizeof(polyops_gemm_prepacked_args),
       {kNn, kNt, kTn, kTt, kStrided},
       {"batch", "m", "n", "k"},
       gemm_prepacked_key},
      {"softmax",
       "forward",
       sizeof(polyops_softmax_args),
       {kContiguous, kInner, kStrided},
       {"outer", "len", "inner"},
       softmax_forward_key},
      {"softmax_backward",
       "backward",
       sizeof(polyops_softmax_backward_args),
       {kContiguous, kInner, kStrided},
       {"outer", "len", "inner"},
       softmax_backward_key},
      {"log_softmax",
       "forward",
       sizeof(polyops_softmax_args),
       {kContiguous, kInner, kStrided},
       {"outer", "len", "inner"},
       softmax_forward_key},
      {"log_softmax_backward",
       "backward",
       sizeof(polyops_softmax_backward_args),
       {kContiguous, kInner, kStrided},
       {"outer", "len", "inner"},
       softmax_backward_key},
      {"layer_norm",
       "forward",
       sizeof(polyops_layer_norm_args),
       {kContiguous, kStrided},
       {"rows", "len"},
       layer_norm_forward_key},
      {"layer_norm_backward",
       "backward",
       sizeof(polyops_layer_norm_backward_args),
       {kContiguous, kStrided},
       {"rows", "len"},
       layer_norm_backward_key},
      {"rms_norm",
       "forward",
       sizeof(polyops_rms_norm_args),
       {kContiguous, kStrided},
       {"rows", "len"},
       rms_norm_forward_key},
      {"rms_norm_backward",
       "backward",
       sizeof(polyops_rms_norm_backward_args),
       {kContiguous, kStrided},
       {"rows", "len"},
       rms_norm_backward_key},
      {"gelu", "forward", sizeof(polyops_gelu_args), {kContiguous, kStrided}, {"numel"}, gelu_key},
      {"gelu_backward",
       "backward",
       sizeof(polyops_gelu_backward_args),
       {kContiguous, kStrided},
       {"numel"},
       gelu_backward_key},
      {"relu", "forward", sizeof(polyops_relu_args), {kContiguous, kStrided}, {"numel"}, relu_key},
      {"relu_backward",
       "backward",
       sizeof(polyops_relu_backward_args),
       {kContiguous, kStrided},
       {"numel"},
       relu_backward_key},
      {"cat",
       "forward",
       sizeof(polyops_cat_args),
       {kContiguous, kStrided},
       {"inputs", "outer", "len"},
       cat_key},
      {"copy",
       "forward",
       sizeof(polyops_copy_args),
       {kRows, kTransposed, kStrided},
       {"others", "across", "len"},
       copy_key},
      {"cross_entropy",
       "forward",
       sizeof(polyops_cross_entropy_args),
       {kContiguous, kStrided, kInner},
       {"samples", "classes"},
       cross_entropy_key},
      {"cross_entropy_backward",
       "backward",
       sizeof(polyops_cross_entropy_backward_args),
       {kContiguous, kStrided, kInner},
       {"samples", "classes"},
       cross_entropy_backward_key},
      {"nll_loss",
       "forward",
       sizeof(polyops_nll_loss_args),
       {kContiguous, kStrided, kInner},
       {"samples", "classes"},
       nll_loss_key},
      {"nll_loss_backward",
       "backward",
       sizeof(polyops_nll_loss_backward_args),
       {kContiguous, kInner},
       {"samples", "classes"},
       nll_loss_backward_key},
      {"attention",
       "forward",
       sizeof(polyops_attention_args),
       {kPlain, kCausal, kMask},
       {"heads", "q", "kv", "dim"},
       attention_forward_key},
      {"attention_backward",
       "backward",
       sizeof(polyops_attention_backward_args),
       {kPlain, kCausal, kMask},
       {"heads", "q", "kv", "dim"},
       attention_backward_key},
      {"convolution",
       "forward",
       sizeof(polyops_convolution_args),
       convolution_layouts(),
       {"batch", "pixels", "filters", "k"},
       convolution_forward_key},
      {"convolution_backward",
       "backward",
       sizeof(polyops_convolution_backward_args),
       convolution_layouts(),
       {"batch", "pixels", "filters", "k"},
       convolution_backward_key},
      {"convolution_pack",
       "forward",
       sizeof(polyops_convolution_pack_args),
       {kContiguous, kStrided},
       {"filters", "k"},
       convolution_pack_key},
      {"convolution_prepacked",
       "forward",
       sizeof(polyops_convolution_prepacked_args),
       convolution_layouts(),
       {"batch", "pixels", "filters", "k"},
       convolution_prepacked_key},
      upsample("upsample_nearest2d"),
      upsample_backward("upsample_nearest2d_backward"),
      upsample("upsample_bilinear2d"),
      upsample_backward("upsample_bilinear2d_backward"),
      upsample("upsample_bicubic2d"),
      upsample_backward("upsample_bicubic2d_backward"),
      pool_op("max_pool2d", "forward", sizeof(polyops_max_pool2d_args), max_pool2d_key),
      pool_op("max_pool2d_backward", "backward", sizeof(polyops_max_pool2d_backward_args),
              max_pool2d_backward_key),
      pool_op("avg_pool2d", "forward", sizeof(polyops_avg_pool2d_args), avg_pool2d_key),
      pool_op("avg_pool2d_backward", "backward", sizeof(polyops_avg_pool2d_backward_args),
              avg_pool2d_backward_key),
      pool_op("adaptive_avg_pool2d", "forward", sizeof(polyops_adaptive_avg_pool2d_args),
              adaptive_avg_pool2d_key),
      pool_op("adaptive_avg_pool2d_backward", "backward",
              sizeof(polyops_adaptive_avg_pool2d_backward_args), adaptive_avg_pool2d_backward_key),
      pool_op("avg_pool3d", "forward", sizeof(polyops_avg_pool3d_args), avg_pool3d_key),
      pool_op("avg_pool3d_backward", "backward", sizeof(polyops_avg_pool3d_backward_args),
              avg_pool3d_backward_key),
      pool_op("adaptive_avg_pool3d", "forward", sizeof(polyops_adaptive_avg_pool3d_args),
              adaptive_avg_pool3d_key),
      pool_op("adaptive_avg_pool3d_backward", "backward",
              sizeof(polyops_adaptive_avg_pool3d_backward_args), adaptive_avg_pool3d_backward_key),
      pool_op("adaptive_max_pool2d", "forward", sizeof(polyops_adaptive_max_pool_args),
              adaptive_max_pool_key),
      pool_op("adaptive_max_pool2d_backward", "backward",
              sizeof(polyops_adaptive_max_pool_backward_args), adaptive_max_pool_backward_key),
      pool_op("adaptive_max_pool3d", "forward", sizeof(polyops_adaptive_max_pool_args),
              adaptive_max_pool_key),
      pool_op("adaptive_max_pool3d_backward", "backward",
              sizeof(polyops_adaptive_max_pool_backward_args), adaptive_max_pool_backward_key),
      pool_op("max_pool3d", "forward", sizeof(polyops_max_pool3d_args), max_pool3d_key),
      pool_op("max_pool3d_backward", "backward", sizeof(polyops_max_pool3d_backward_args),
              max_pool3d_backward_key),
      {"group_norm",
       "forward",
       sizeof(polyops_group_norm_args),
       {kContiguous},
       {"rows", "channels", "pixels"},
       group_norm_forward_key},
      {"group_norm_backward",
       "backward",
       sizeof(polyops_group_norm_backward_args),
       {kContiguous},
       {"rows", "channels", "pixels"},
       group_norm_backward_key},
      {"batch_norm",
       "forward",
       sizeof(polyops_batch_norm_args),
       {kContiguous, kChannelsLast},
       {"samples", "channels", "pixels"},
       batch_norm_forward_key},
      {"batch_norm_backward",
       "backward",
       sizeof(polyops_batch_norm_backward_args),
       {kContiguous, kChannelsLast},
       {"samples", "channels", "pixels"},
       batch_norm_backward_key},
      activation("elu"),
      activation_backward("elu_backward"),
      activation("log_sigmoid"),
      activation_backward("log_sigmoid_backward"),
      activation("mish"),
      activation_backward("mish_backward"),
      activation("softplus"),
      activation_backward("softplus_backward"),
      {"glu",
       "forward",
       sizeof(polyops_glu_args),
       {kContiguous, kStrided},
       {"rows", "len"},
       glu_key},
      {"glu_backward",
       "backward",
       sizeof(polyops_glu_backward_args),
       {kContiguous, kStrided},
       {"rows", "len"},
       glu_backward_key},
      {"cumsum",
       "forward",
       sizeof(polyops_cumsum_args),
       {kContiguous, kInner, kStrided},
       {"outer", "len", "inner"},
       cumsum_key},
      reduction("sum"),
      reduction("mean"),
      reduction("amax"),
      reduction("amin"),
      extreme("argmax"),
      extreme("argmin"),
      extreme("max"),
      extreme("min"),
      reduction("logsumexp"),
      variance("var"),
      variance("std"),
      variance("var_mean"),
      variance("std_mean"),
      {"embedding_backward",
       "backward",
       sizeof(polyops_embedding_backward_args),
       {kContiguous},
       {"lookups", "rows", "width"},
       embedding_backward_key},
      {"gather",
       "forward",
       sizeof(polyops_gather_args),
       {kContiguous, kInner, kStrided},
       {"outer", "rows", "len"},
       gather_key},
      {"index_add",
       "forward",
       sizeof(polyops_index_add_args),
       {kContiguous, kRows, kInner},
       {"lookups", "rows", "width"},
       index_add_key},
      {"index_select",
       "forward",
       sizeof(polyops_index_select_args),
       {kContiguous, kStrided},
       {"outer", "rows", "len"},
       index_select_key},
  };
  return *ops;
}

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
      {"index_select", {"index_select"}},
      {"layer_norm", {"layer_norm", "layer_norm_backward"}},
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

const KernelOp* find_kernel_op(std::string_view name) {
  for (const KernelOp& op : kernel_ops()) {
    if (name == op.name) return &op;
  }
  return nullptr;
}

int public_op_index(std::string_view name) {
  const auto ops = public_ops();
  for (size_t i = 0; i < ops.size(); ++i) {
    if (name == ops[i].name) return static_cast<int>(i);
  }
  return -1;
}

std::string join(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

std::string known_public_ops() {
  std::vector<std::string> names;
  for (const PublicOp& op : public_ops()) names.emplace_back(op.name);
  return join(names);
}

std::string known_kernel_ops() {
  std::vector<std::string> names;
  for (const KernelOp& op : kernel_ops()) names.emplace_back(op.name);
  return join(names);
}

}  // namespace polyops
