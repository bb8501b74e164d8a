#include "op_list.h"

#include <utility>

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
#include "polyops/ops/index_put.h"
#include "polyops/ops/index_select.h"
#include "polyops/ops/layer_norm.h"
#include "polyops/ops/linalg_vector_norm.h"
#include "polyops/ops/max_pool3d.h"
#include "polyops/ops/nll_loss.h"
#include "polyops/ops/pool2d.h"
#include "polyops/ops/pool3d.h"
#include "polyops/ops/reduction.h"
#include "polyops/ops/relu.h"
#include "polyops/ops/rms_norm.h"
#include "polyops/ops/scatter_add.h"
#include "polyops/ops/softmax.h"
#include "polyops/ops/upsample.h"
#include "polyops/ops/var.h"

namespace polyops {
namespace {

using Names = std::vector<const char*>;
using Key = GateKey (*)(const void*);

template <class Args>
KernelOp op(const char* name, Names layouts, Names sizes, Key key) {
  const bool backward = std::string_view(name).ends_with("_backward");
  return {
      name, backward ? "backward" : "forward", sizeof(Args), std::move(layouts), std::move(sizes),
      key};
}

// Over elements, one by one.
template <class Args>
KernelOp flat(const char* name, Key key) {
  return op<Args>(name, {kContiguous, kStrided}, {"numel"}, key);
}

// Over the last dimensions.
template <class Args>
KernelOp rows(const char* name, Key key) {
  return op<Args>(name, {kContiguous, kStrided}, {"rows", "len"}, key);
}

// As rows() and folded(), with strided calls in three.
template <class Args>
KernelOp rows_apart(const char* name, Key key) {
  return op<Args>(name, {kContiguous, kRows, kTransposed, kStrided}, {"rows", "len"}, key);
}
template <class Args>
KernelOp folded_apart(const char* name, Key key) {
  return op<Args>(name, {kContiguous, kInner, kRows, kTransposed, kStrided},
                  {"outer", "len", "inner"}, key);
}

// Over any dimension.
template <class Args>
KernelOp folded(const char* name, Key key) {
  return op<Args>(name, {kContiguous, kInner, kStrided}, {"outer", "len", "inner"}, key);
}

template <class Args>
KernelOp pool(const char* name, Key key) {
  return op<Args>(name, {kContiguous, kChannelsLast, kStrided},
                  {"planes", "pixels", "results", "taps"}, key);
}

template <class Args>
KernelOp upsample(const char* name, Key key) {
  return op<Args>(name, {kContiguous, kChannelsLast, kStrided}, {"planes", "from", "to"}, key);
}

template <class Args>
KernelOp convolution(const char* name, Key key) {
  return op<Args>(name,
                  {kPointwise, kPointwiseLast, kDepthwise, kDepthwiseLast, kGrouped, kGroupedLast,
                   kDense, kDenseLast},
                  {"batch", "pixels", "filters", "k"}, key);
}

}  // namespace

std::span<const KernelOp> kernel_ops() {
  static const auto* ops = new std::vector<KernelOp>{
      op<polyops_gemm_args>("gemm", {kNn, kNt, kTn, kTt, kStrided}, {"batch", "m", "n", "k"},
                            gemm_key),
      op<polyops_gemm_pack_args>("gemm_pack", {kNn, kNt, kStrided}, {"k", "n"}, gemm_pack_key),
      op<polyops_gemm_prepacked_args>("gemm_prepacked", {kNn, kNt, kTn, kTt, kStrided},
                                      {"batch", "m", "n", "k"}, gemm_prepacked_key),
      folded_apart<polyops_softmax_args>("softmax", softmax_forward_key),
      folded<polyops_softmax_backward_args>("softmax_backward", softmax_backward_key),
      folded_apart<polyops_softmax_args>("log_softmax", softmax_forward_key),
      folded<polyops_softmax_backward_args>("log_softmax_backward", softmax_backward_key),
      rows_apart<polyops_layer_norm_args>("layer_norm", layer_norm_forward_key),
      rows<polyops_layer_norm_backward_args>("layer_norm_backward", layer_norm_backward_key),
      rows_apart<polyops_rms_norm_args>("rms_norm", rms_norm_forward_key),
      rows<polyops_rms_norm_backward_args>("rms_norm_backward", rms_norm_backward_key),
      flat<polyops_gelu_args>("gelu", gelu_key),
      flat<polyops_gelu_backward_args>("gelu_backward", gelu_backward_key),
      flat<polyops_relu_args>("relu", relu_key),
      flat<polyops_relu_backward_args>("relu_backward", relu_backward_key),
      op<polyops_cat_args>("cat", {kContiguous, kStrided}, {"inputs", "outer", "len"}, cat_key),
      op<polyops_copy_args>("copy", {kRows, kTransposed, kStrided}, {"others", "across", "len"},
                            copy_key),
      op<polyops_cross_entropy_args>("cross_entropy", {kContiguous, kStrided, kInner},
                                     {"samples", "classes"}, cross_entropy_key),
      op<polyops_cross_entropy_backward_args>("cross_entropy_backward",
                                              {kContiguous, kStrided, kInner},
                                              {"samples", "classes"}, cross_entropy_backward_key),
      op<polyops_nll_loss_args>("nll_loss", {kContiguous, kStrided, kInner}, {"samples", "classes"},
                                nll_loss_key),
      op<polyops_nll_loss_backward_args>("nll_loss_backward", {kContiguous, kInner},
                                         {"samples", "classes"}, nll_loss_backward_key),
      op<polyops_attention_args>("attention", {kPlain, kCausal, kMask}, {"heads", "q", "kv", "dim"},
                                 attention_forward_key),
      op<polyops_attention_backward_args>("attention_backward", {kPlain, kCausal, kMask},
                                          {"heads", "q", "kv", "dim"}, attention_backward_key),
      convolution<polyops_convolution_args>("convolution", convolution_forward_key),
      convolution<polyops_convolution_backward_args>("convolution_backward",
                                                     convolution_backward_key),
      op<polyops_convolution_pack_args>("convolution_pack", {kContiguous, kStrided},
                                        {"filters", "k"}, convolution_pack_key),
      convolution<polyops_convolution_prepacked_args>("convolution_prepacked",
                                                      convolution_prepacked_key),
      upsample<polyops_upsample_args>("upsample_nearest2d", upsample_forward_key),
      upsample<polyops_upsample_backward_args>("upsample_nearest2d_backward",
                                               upsample_backward_key),
      upsample<polyops_upsample_args>("upsample_bilinear2d", upsample_forward_key),
      upsample<polyops_upsample_backward_args>("upsample_bilinear2d_backward",
                                               upsample_backward_key),
      upsample<polyops_upsample_args>("upsample_bicubic2d", upsample_forward_key),
      upsample<polyops_upsample_backward_args>("upsample_bicubic2d_backward",
                                               upsample_backward_key),
      pool<polyops_max_pool2d_args>("max_pool2d", max_pool2d_key),
      pool<polyops_max_pool2d_backward_args>("max_pool2d_backward", max_pool2d_backward_key),
      pool<polyops_avg_pool2d_args>("avg_pool2d", avg_pool2d_key),
      pool<polyops_avg_pool2d_backward_args>("avg_pool2d_backward", avg_pool2d_backward_key),
      pool<polyops_adaptive_avg_pool2d_args>("adaptive_avg_pool2d", adaptive_avg_pool2d_key),
      pool<polyops_adaptive_avg_pool2d_backward_args>("adaptive_avg_pool2d_backward",
                                                      adaptive_avg_pool2d_backward_key),
      pool<polyops_avg_pool3d_args>("avg_pool3d", avg_pool3d_key),
      pool<polyops_avg_pool3d_backward_args>("avg_pool3d_backward", avg_pool3d_backward_key),
      pool<polyops_adaptive_avg_pool3d_args>("adaptive_avg_pool3d", adaptive_avg_pool3d_key),
      pool<polyops_adaptive_avg_pool3d_backward_args>("adaptive_avg_pool3d_backward",
                                                      adaptive_avg_pool3d_backward_key),
      pool<polyops_adaptive_max_pool_args>("adaptive_max_pool2d", adaptive_max_pool_key),
      pool<polyops_adaptive_max_pool_backward_args>("adaptive_max_pool2d_backward",
                                                    adaptive_max_pool_backward_key),
      pool<polyops_adaptive_max_pool_args>("adaptive_max_pool3d", adaptive_max_pool_key),
      pool<polyops_adaptive_max_pool_backward_args>("adaptive_max_pool3d_backward",
                                                    adaptive_max_pool_backward_key),
      pool<polyops_max_pool3d_args>("max_pool3d", max_pool3d_key),
      pool<polyops_max_pool3d_backward_args>("max_pool3d_backward", max_pool3d_backward_key),
      op<polyops_group_norm_args>("group_norm", {kContiguous}, {"rows", "channels", "pixels"},
                                  group_norm_forward_key),
      op<polyops_group_norm_backward_args>("group_norm_backward", {kContiguous},
                                           {"rows", "channels", "pixels"}, group_norm_backward_key),
      op<polyops_batch_norm_args>("batch_norm", {kContiguous, kChannelsLast},
                                  {"samples", "channels", "pixels"}, batch_norm_forward_key),
      op<polyops_batch_norm_backward_args>("batch_norm_backward", {kContiguous, kChannelsLast},
                                           {"samples", "channels", "pixels"},
                                           batch_norm_backward_key),
      flat<polyops_activation_args>("elu", activation_key),
      flat<polyops_activation_backward_args>("elu_backward", activation_backward_key),
      flat<polyops_activation_args>("log_sigmoid", activation_key),
      flat<polyops_activation_backward_args>("log_sigmoid_backward", activation_backward_key),
      flat<polyops_activation_args>("mish", activation_key),
      flat<polyops_activation_backward_args>("mish_backward", activation_backward_key),
      flat<polyops_activation_args>("softplus", activation_key),
      flat<polyops_activation_backward_args>("softplus_backward", activation_backward_key),
      rows<polyops_glu_args>("glu", glu_key),
      rows<polyops_glu_backward_args>("glu_backward", glu_backward_key),
      folded<polyops_cumsum_args>("cumsum", cumsum_key),
      folded<polyops_reduction_args>("sum", reduction_key),
      folded<polyops_reduction_args>("mean", reduction_key),
      folded<polyops_reduction_args>("amax", reduction_key),
      folded<polyops_reduction_args>("amin", reduction_key),
      folded<polyops_reduction_args>("all", reduction_key),
      folded<polyops_reduction_args>("any", reduction_key),
      folded<polyops_extreme_args>("argmax", extreme_key),
      folded<polyops_extreme_args>("argmin", extreme_key),
      folded<polyops_extreme_args>("max", extreme_key),
      folded<polyops_extreme_args>("min", extreme_key),
      op<polyops_vector_norm_args>("linalg_vector_norm", {kContiguous, kInner, kStrided},
                                   {"outer", "len", "inner", "order"}, vector_norm_key),
      folded<polyops_reduction_args>("logsumexp", reduction_key),
      folded<polyops_var_args>("var", var_key),
      folded<polyops_var_args>("std", var_key),
      folded<polyops_var_args>("var_mean", var_key),
      folded<polyops_var_args>("std_mean", var_key),
      op<polyops_embedding_backward_args>("embedding_backward", {kContiguous},
                                          {"lookups", "rows", "width"}, embedding_backward_key),
      op<polyops_gather_args>("gather", {kContiguous, kInner, kStrided}, {"outer", "rows", "len"},
                              gather_key),
      op<polyops_index_add_args>("index_add", {kContiguous, kRows, kInner},
                                 {"lookups", "rows", "width"}, index_add_key),
      op<polyops_index_put_args>("index_put", {kRows}, {"lookups", "rows", "width"}, index_put_key),
      op<polyops_index_select_args>("index_select", {kContiguous, kStrided},
                                    {"outer", "rows", "len"}, index_select_key),
      op<polyops_scatter_add_args>("scatter_add", {kContiguous, kRows, kInner},
                                   {"outer", "lookups", "rows", "width"}, scatter_add_key),
  };
  return *ops;
}

const KernelOp* find_kernel_op(std::string_view name) {
  for (const KernelOp& op : kernel_ops()) {
    if (name == op.name) return &op;
  }
  return nullptr;
}

std::string join(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

std::string known_kernel_ops() {
  std::vector<std::string> names;
  for (const KernelOp& op : kernel_ops()) names.emplace_back(op.name);
  return join(names);
}

}  // namespace polyops
