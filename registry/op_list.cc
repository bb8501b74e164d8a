#include "op_list.h"

#include "polyops/ops/attention.h"
#include "polyops/ops/batch_norm.h"
#include "polyops/ops/convolution.h"
#include "polyops/ops/gelu.h"
#include "polyops/ops/gemm.h"
#include "polyops/ops/group_norm.h"
#include "polyops/ops/layer_norm.h"
#include "polyops/ops/relu.h"
#include "polyops/ops/softmax.h"

namespace polyops {
namespace {

constexpr const char kContiguous[] = "contiguous", kStrided[] = "strided";
constexpr const char kChannelsLast[] = "channels_last";
constexpr const char kInner[] = "inner";
constexpr const char kPlain[] = "plain", kCausal[] = "causal", kMask[] = "mask";
constexpr const char kDense[] = "dense", kDenseLast[] = "dense_last";
constexpr const char kPointwise[] = "pointwise", kPointwiseLast[] = "pointwise_last";
constexpr const char kDepthwise[] = "depthwise", kDepthwiseLast[] = "depthwise_last";
constexpr const char kGrouped[] = "grouped", kGroupedLast[] = "grouped_last";
constexpr const char kNn[] = "nn", kNt[] = "nt", kTn[] = "tn", kTt[] = "tt";

int64_t product(const polyops_tensor& t, int begin, int end) {
  int64_t n = 1;
  for (int d = begin; d < end; ++d) n *= t.sizes[d];
  return n;
}

GateKey softmax_key(const polyops_tensor& t, int dim) {
  const bool contiguous = polyops_is_contiguous(&t);
  const int64_t inner = product(t, dim + 1, t.rank);
  return {t.dtype,
          !contiguous  ? kStrided
          : inner == 1 ? kContiguous
                       : kInner,
          {product(t, 0, dim), t.sizes[dim], inner}};
}

GateKey softmax_forward_key(const void* p) {
  const auto& a = *static_cast<const polyops_softmax_args*>(p);
  return softmax_key(a.src, a.dim);
}

GateKey softmax_backward_key(const void* p) {
  const auto& a = *static_cast<const polyops_softmax_backward_args*>(p);
  return softmax_key(a.grad_dst, a.dim);
}

GateKey layer_norm_key(const polyops_tensor& t, int normalized_rank) {
  const int first = t.rank - normalized_rank;
  return {t.dtype,
          polyops_is_contiguous(&t) ? kContiguous : kStrided,
          {product(t, 0, first), product(t, first, t.rank)}};
}

GateKey layer_norm_forward_key(const void* p) {
  const auto& a = *static_cast<const polyops_layer_norm_args*>(p);
  return layer_norm_key(a.src, a.normalized_rank);
}

GateKey layer_norm_backward_key(const void* p) {
  const auto& a = *static_cast<const polyops_layer_norm_backward_args*>(p);
  return layer_norm_key(a.src, a.normalized_rank);
}

GateKey group_norm_key(const polyops_tensor& t, int groups) {
  return {t.dtype, kContiguous, {t.sizes[0] * groups, t.sizes[1] / groups, t.sizes[2]}};
}

GateKey group_norm_forward_key(const void* p) {
  const auto& a = *static_cast<const polyops_group_norm_args*>(p);
  return group_norm_key(a.src, a.groups);
}

GateKey group_norm_backward_key(const void* p) {
  const auto& a = *static_cast<const polyops_group_norm_backward_args*>(p);
  return group_norm_key(a.src, a.groups);
}

// Where a tensor is both, it is channels_last.
GateKey batch_norm_key(const polyops_tensor& t) {
  const bool last =
      (t.sizes[1] == 1 || t.strides[1] == 1) && (t.sizes[2] == 1 || t.strides[2] == t.sizes[1]);
  return {t.dtype, last ? kChannelsLast : kContiguous, {t.sizes[0], t.sizes[1], t.sizes[2]}};
}

GateKey batch_norm_forward_key(const void* p) {
  return batch_norm_key(static_cast<const polyops_batch_norm_args*>(p)->src);
}

GateKey batch_norm_backward_key(const void* p) {
  return batch_norm_key(static_cast<const polyops_batch_norm_backward_args*>(p)->src);
}

// Dense in some order of the dimensions, without gaps or overlap.
bool is_dense(const polyops_tensor& t) {
  int64_t extent = 1;
  for (int d = 0; d < t.rank; ++d) {
    if (t.sizes[d] > 1 && t.strides[d] == 0) return false;
    extent += (t.sizes[d] - 1) * t.strides[d];
  }
  return extent == polyops_numel(&t);
}

GateKey unary_key(const polyops_tensor& src) {
  return {src.dtype, is_dense(src) ? kContiguous : kStrided, {polyops_numel(&src)}};
}

GateKey binary_key(const polyops_tensor& a, const polyops_tensor& b) {
  bool same = is_dense(a);
  for (int d = 0; d < a.rank; ++d) same &= a.sizes[d] == 1 || a.strides[d] == b.strides[d];
  return {a.dtype, same ? kContiguous : kStrided, {polyops_numel(&a)}};
}

GateKey gelu_key(const void* p) { return unary_key(static_cast<const polyops_gelu_args*>(p)->src); }
GateKey relu_key(const void* p) { return unary_key(static_cast<const polyops_relu_args*>(p)->src); }

GateKey gelu_backward_key(const void* p) {
  const auto& a = *static_cast<const polyops_gelu_backward_args*>(p);
  return binary_key(a.grad_dst, a.src);
}

GateKey relu_backward_key(const void* p) {
  const auto& a = *static_cast<const polyops_relu_backward_args*>(p);
  return binary_key(a.grad_dst, a.src);
}

// 0: rows are unit-stride; 1: columns are ("transposed"); 2: neither.
int orientation(const polyops_tensor& t) {
  if (t.strides[2] == 1 || t.sizes[2] == 1) return 0;
  return t.strides[1] == 1 || t.sizes[1] == 1 ? 1 : 2;
}

GateKey gemm_key(const void* p) {
  const auto& a = *static_cast<const polyops_gemm_args*>(p);
  constexpr const char* kLayouts[3][3] = {
      {kNn, kNt, kStrided}, {kTn, kTt, kStrided}, {kStrided, kStrided, kStrided}};
  return {a.lhs.dtype,
          kLayouts[orientation(a.lhs)][orientation(a.rhs)],
          {a.lhs.sizes[0], a.lhs.sizes[1], a.rhs.sizes[2], a.lhs.sizes[2]}};
}

GateKey gemm_pack_key(const void* p) {
  const polyops_tensor& rhs = static_cast<const polyops_gemm_pack_args*>(p)->rhs;
  constexpr const char* kLayouts[3] = {kNn, kNt, kStrided};
  return {rhs.dtype, kLayouts[orientation(rhs)], {rhs.sizes[1], rhs.sizes[2]}};
}

GateKey gemm_prepacked_key(const void* p) {
  return gemm_key(static_cast<const polyops_gemm_prepacked_args*>(p)->gemm);
}

template <class Args>
GateKey attention_key(const void* p) {
  const auto& a = *static_cast<const Args*>(p);
  const char* layout = a.causal != 0 ? kCausal : polyops_is_present(&a.mask) != 0 ? kMask : kPlain;
  const int64_t* q = a.query.sizes;
  return {a.query.dtype, layout, {q[0] * q[1], q[2], a.key.sizes[2], q[3]}};
}

// result: dst, or its gradient.
template <class Args>
GateKey convolution_key(const Args& a, const polyops_tensor& result) {
  const polyops_tensor& weight = a.weight;
  bool pointwise = a.groups == 1;
  for (int d = 2; d < weight.rank; ++d) {
    pointwise &=
        weight.sizes[d] == 1 && a.window.stride[d - 2] == 1 && a.window.padding[d - 2] == 0;
  }
  const bool depthwise = a.groups > 1 && weight.sizes[1] == 1;
  // Channels are what lies next to each other.
  const bool last = result.strides[1] == 1 && result.strides[result.rank - 1] != 1;
  constexpr const char* kNames[4][2] = {{kPointwise, kPointwiseLast},
                                        {kDepthwise, kDepthwiseLast},
                                        {kGrouped, kGroupedLast},
                                        {kDense, kDenseLast}};
  return {result.dtype,
          kNames[pointwise      ? 0
                 : depthwise    ? 1
                 : a.groups > 1 ? 2
                                : 3][last],
          {result.sizes[0], product(result, 2, result.rank), weight.sizes[0],
           product(weight, 1, weight.rank)}};
}

GateKey convolution_forward_key(const void* p) {
  const auto& a = *static_cast<const polyops_convolution_args*>(p);
  return convolution_key(a, a.dst);
}

GateKey convolution_backward_key(const void* p) {
  const auto& a = *static_cast<const polyops_convolution_backward_args*>(p);
  return convolution_key(a, a.grad_dst);
}

GateKey convolution_prepacked_key(const void* p) {
  return convolution_forward_key(
      static_cast<const polyops_convolution_prepacked_args*>(p)->convolution);
}

GateKey convolution_pack_key(const void* p) {
  const auto& a = *static_cast<const polyops_convolution_pack_args*>(p);
  const polyops_tensor& weight = a.weight;
  return {weight.dtype,
          polyops_is_contiguous(&weight) ? kContiguous : kStrided,
          {weight.sizes[0], product(weight, 1, weight.rank)}};
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
      {"attention",
       "forward",
       sizeof(polyops_attention_args),
       {kPlain, kCausal, kMask},
       {"heads", "q", "kv", "dim"},
       attention_key<polyops_attention_args>},
      {"attention_backward",
       "backward",
       sizeof(polyops_attention_backward_args),
       {kPlain, kCausal, kMask},
       {"heads", "q", "kv", "dim"},
       attention_key<polyops_attention_backward_args>},
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
  };
  return *ops;
}

std::span<const PublicOp> public_ops() {
  static const auto* ops = new std::vector<PublicOp>{
      {"addmm", {"gemm", "gemm_pack", "gemm_prepacked"}},
      {"addmv", {"gemm"}},
      {"baddbmm", {"gemm"}},
      {"batch_norm", {"batch_norm", "batch_norm_backward"}},
      {"bmm", {"gemm"}},
      {"convolution",
       {"convolution", "convolution_backward", "convolution_pack", "convolution_prepacked"}},
      {"dot", {"gemm"}},
      {"gelu", {"gelu", "gelu_backward"}},
      {"group_norm", {"group_norm", "group_norm_backward"}},
      {"layer_norm", {"layer_norm", "layer_norm_backward"}},
      {"log_softmax", {"log_softmax", "log_softmax_backward"}},
      {"mm", {"gemm", "gemm_pack", "gemm_prepacked"}},
      {"relu", {"relu", "relu_backward"}},
      {"scaled_dot_product_attention", {"attention", "attention_backward"}},
      {"softmax", {"softmax", "softmax_backward"}},
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
