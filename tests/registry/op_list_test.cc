// The op list: what each op reduces a call to, and that its parts fit together.
#include "op_list.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "fakes.h"
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

namespace polyops::testing {
namespace {

polyops_tensor strided(std::vector<int64_t> sizes, std::vector<int64_t> strides,
                       int32_t dtype = POLYOPS_FLOAT32) {
  polyops_tensor t = contiguous(std::move(sizes), dtype);
  std::copy(strides.begin(), strides.end(), t.strides);
  return t;
}

// A call's arguments, as bytes, with the op, the layout and the sizes that its gate must see.
struct Call {
  std::string op, layout;
  std::vector<int64_t> sizes;
  std::vector<unsigned char> args;
};

template <class Args>
Call call(const std::string& op, const std::string& layout, std::vector<int64_t> sizes, Args args) {
  args.struct_size = sizeof(Args);
  const auto* bytes = reinterpret_cast<const unsigned char*>(&args);
  return {op, layout, std::move(sizes), {bytes, bytes + sizeof(Args)}};
}

void add_softmax(std::vector<Call>* calls, const char* layout, std::vector<int64_t> sizes,
                 const polyops_tensor& t, int32_t dim) {
  for (const char* op : {"softmax", "log_softmax"}) {
    calls->push_back(call(op, layout, sizes, polyops_softmax_args{0, dim, t, t}));
  }
  for (const char* op : {"softmax_backward", "log_softmax_backward"}) {
    calls->push_back(call(op, layout, sizes, polyops_softmax_backward_args{0, dim, t, t, t}));
  }
}

template <class Args, class BackwardArgs>
void add_norm(std::vector<Call>* calls, const std::string& op, const char* layout,
              const std::vector<int64_t>& sizes, const polyops_tensor& t, int32_t rank) {
  Args forward = {};
  forward.normalized_rank = rank;
  forward.src = t;
  calls->push_back(call(op, layout, sizes, forward));
  BackwardArgs backward = {};
  backward.normalized_rank = rank;
  backward.src = backward.grad_dst = t;
  calls->push_back(call(op + "_backward", layout, sizes, backward));
}

void add_norms(std::vector<Call>* calls, const char* layout, const std::vector<int64_t>& sizes,
               const polyops_tensor& t, int32_t rank) {
  add_norm<polyops_layer_norm_args, polyops_layer_norm_backward_args>(calls, "layer_norm", layout,
                                                                      sizes, t, rank);
  add_norm<polyops_rms_norm_args, polyops_rms_norm_backward_args>(calls, "rms_norm", layout, sizes,
                                                                  t, rank);
}

void add_group_norm(std::vector<Call>* calls, std::vector<int64_t> sizes, const polyops_tensor& t,
                    int32_t groups) {
  polyops_group_norm_args forward = {};
  forward.groups = groups;
  forward.src = t;
  calls->push_back(call("group_norm", "contiguous", sizes, forward));
  polyops_group_norm_backward_args backward = {};
  backward.groups = groups;
  backward.src = backward.grad_dst = t;
  calls->push_back(call("group_norm_backward", "contiguous", sizes, backward));
}

void add_batch_norm(std::vector<Call>* calls, const char* layout, const polyops_tensor& t) {
  polyops_batch_norm_args forward = {};
  forward.src = t;
  calls->push_back(call("batch_norm", layout, {2, 6, 5}, forward));
  polyops_batch_norm_backward_args backward = {};
  backward.src = backward.grad_dst = t;
  calls->push_back(call("batch_norm_backward", layout, {2, 6, 5}, backward));
}

void add_unary(std::vector<Call>* calls, const char* layout, int64_t numel,
               const polyops_tensor& t) {
  calls->push_back(call("gelu", layout, {numel}, polyops_gelu_args{0, 0, t, t}));
  calls->push_back(call("relu", layout, {numel}, polyops_relu_args{0, 0, t, t}));
  for (const char* op : {"elu", "log_sigmoid", "mish", "softplus"}) {
    calls->push_back(call(op, layout, {numel}, polyops_activation_args{0, 0, {}, t, t}));
  }
}

void add_binary(std::vector<Call>* calls, const char* layout, int64_t numel,
                const polyops_tensor& grad, const polyops_tensor& src) {
  calls->push_back(
      call("gelu_backward", layout, {numel}, polyops_gelu_backward_args{0, 0, grad, src, src}));
  calls->push_back(
      call("relu_backward", layout, {numel}, polyops_relu_backward_args{0, 0, 0, grad, src, src}));
  for (const std::string op : {"elu", "log_sigmoid", "mish", "softplus"}) {
    calls->push_back(call(op + "_backward", layout, {numel},
                          polyops_activation_backward_args{0, 0, {}, grad, src, src}));
  }
}

void add_glu(std::vector<Call>* calls, const char* layout, std::vector<int64_t> sizes, int32_t dim,
             const polyops_tensor& t) {
  calls->push_back(call("glu", layout, sizes, polyops_glu_args{0, dim, t, t}));
  calls->push_back(call("glu_backward", layout, sizes, polyops_glu_backward_args{0, dim, t, t, t}));
}

void add_cat(std::vector<Call>* calls, const char* layout, std::vector<int64_t> sizes, int32_t dim,
             std::vector<polyops_tensor> srcs, const polyops_tensor& dst) {
  static std::deque<std::vector<polyops_tensor>> lists;  // which the arguments point to
  lists.push_back(std::move(srcs));
  const auto count = static_cast<int64_t>(lists.back().size());
  calls->push_back(call("cat", layout, std::move(sizes),
                        polyops_cat_args{0, dim, count, lists.back().data(), dst}));
}

void add_copy(std::vector<Call>* calls, const char* layout, std::vector<int64_t> sizes,
              const polyops_tensor& src, const polyops_tensor& dst) {
  calls->push_back(call("copy", layout, std::move(sizes), polyops_copy_args{0, 0, src, dst}));
}

// Samples and classes.
std::vector<int64_t> labelled(const polyops_tensor& src) {
  return {src.sizes[0] * (src.rank == 3 ? src.sizes[2] : 1), src.sizes[1]};
}

void add_nll_loss(std::vector<Call>* calls, const char* layout, const polyops_tensor& src) {
  polyops_nll_loss_args args = {};
  args.src = src;
  calls->push_back(call("nll_loss", layout, labelled(src), args));
}

void add_reduction(std::vector<Call>* calls, const char* layout, std::vector<int64_t> sizes,
                   const polyops_tensor& src, uint32_t dims) {
  polyops_reduction_args args = {0, dims, src, src};
  for (int d = 0; d < src.rank; ++d) {
    if ((dims >> d & 1) != 0) args.dst.sizes[d] = 1;
  }
  for (const char* op : {"sum", "mean", "amax", "amin", "all", "any", "logsumexp"}) {
    calls->push_back(call(op, layout, sizes, args));
  }
  calls->push_back(call("linalg_vector_norm", layout, sizes,
                        polyops_vector_norm_args{0, dims, 2, src, args.dst}));
  const polyops_var_args var = {0, dims, 1, src, args.dst, args.dst};
  for (const char* op : {"var", "std", "var_mean", "std_mean"}) {
    calls->push_back(call(op, layout, sizes, var));
  }
}

void add_extreme(std::vector<Call>* calls, const char* layout, std::vector<int64_t> sizes,
                 const polyops_tensor& src, int32_t dim) {
  polyops_extreme_args args = {0, dim, src, src, src};
  if (src.rank > 0) args.indices.sizes[dim] = 1;
  for (const char* op : {"argmax", "argmin", "max", "min"}) {
    calls->push_back(call(op, layout, sizes, args));
  }
}

void add_index_select(std::vector<Call>* calls, const char* layout, std::vector<int64_t> sizes,
                      const polyops_tensor& src, int dim) {
  polyops_tensor dst = src;
  dst.sizes[dim] = 7;
  calls->push_back(call("index_select", layout, std::move(sizes),
                        polyops_index_select_args{0, dim, src, contiguous({7}), dst, 0, 0}));
}

void add_gather(std::vector<Call>* calls, const char* layout, std::vector<int64_t> sizes,
                const polyops_tensor& src, const polyops_tensor& index) {
  polyops_tensor dst = contiguous({});
  dst.rank = index.rank;
  for (int d = 0; d < index.rank; ++d) dst.sizes[d] = index.sizes[d];
  calls->push_back(
      call("gather", layout, std::move(sizes), polyops_gather_args{0, 1, src, index, dst}));
}

void add_index_add(std::vector<Call>* calls, const char* layout, std::vector<int64_t> sizes,
                   const polyops_tensor& self, int dim, bool in_place) {
  polyops_tensor src = self;
  src.sizes[dim] = 7;
  calls->push_back(
      call("index_add", layout, std::move(sizes),
           polyops_index_add_args{0, dim, self, contiguous({7}), src, self, 1.0, in_place, 0}));
}

void add_scatter_add(std::vector<Call>* calls, const char* layout, std::vector<int64_t> sizes,
                     const polyops_tensor& index, bool in_place) {
  const polyops_tensor self = contiguous({2, 6, 4}), src = contiguous({2, 7, 4});
  calls->push_back(call("scatter_add", layout, std::move(sizes),
                        polyops_scatter_add_args{0, 1, self, index, src, self, in_place, 0}));
}

void add_cross_entropy(std::vector<Call>* calls, const char* layout, const polyops_tensor& src) {
  polyops_cross_entropy_args args = {};
  args.src = src;
  calls->push_back(call("cross_entropy", layout, labelled(src), args));
  polyops_cross_entropy_backward_args backward = {};
  backward.src = src;
  calls->push_back(call("cross_entropy_backward", layout, labelled(src), backward));
}

void add_gemm(std::vector<Call>* calls, const char* layout, const polyops_tensor& lhs,
              const polyops_tensor& rhs) {
  static std::deque<polyops_gemm_args> products;  // gemm_prepacked's arguments point to them
  products.push_back({0, 0, 1, 0, lhs, rhs, {}, contiguous({2, 3, 5})});
  calls->push_back(call("gemm", layout, {2, 3, 5, 4}, products.back()));
  calls->push_back(call("gemm_prepacked", layout, {2, 3, 5, 4},
                        polyops_gemm_prepacked_args{0, 0, &products.back(), nullptr}));
}

void add_gemm_pack(std::vector<Call>* calls, const char* layout, const polyops_tensor& rhs) {
  calls->push_back(call("gemm_pack", layout, {4, 5}, polyops_gemm_pack_args{0, 0, rhs, nullptr}));
}

void add_attention(std::vector<Call>* calls, const char* layout, bool causal, bool masked) {
  polyops_attention_args args = {};
  args.causal = causal;
  args.query = args.dst = contiguous({2, 6, 5, 4});
  args.key = args.value = contiguous({2, 3, 7, 4});
  args.mask = masked ? strided({2, 6, 5, 7}, {0, 0, 7, 1}) : polyops_tensor{};
  if (!masked) args.mask.rank = -1;
  calls->push_back(call("attention", layout, {12, 5, 7, 4}, args));
  polyops_attention_backward_args backward = {};
  backward.causal = args.causal;
  backward.query = args.query;
  backward.key = args.key;
  backward.mask = args.mask;
  calls->push_back(call("attention_backward", layout, {12, 5, 7, 4}, backward));
}

// Of an image of 5 by 7, which keeps its size; channels and filters are those of one group.
struct Convolution {
  int64_t groups = 1, channels = 3, filters = 4, taps = 1, stride = 1;
};

polyops_tensor channels_last(polyops_tensor t) {
  const int64_t channels = t.sizes[1], high = t.sizes[2], wide = t.sizes[3];
  return strided({t.sizes[0], channels, high, wide},
                 {channels * high * wide, 1, channels * wide, channels});
}

void add_prepacked_convolution(std::vector<Call>* calls, const std::string& layout,
                               const std::vector<int64_t>& sizes,
                               const polyops_convolution_args& args) {
  static std::deque<polyops_convolution_args> convolutions;  // which the arguments point to
  convolutions.push_back(args);
  calls->push_back(call("convolution_prepacked", layout, sizes,
                        polyops_convolution_prepacked_args{0, 0, &convolutions.back(), nullptr}));
}

void add_convolution_pack(std::vector<Call>* calls, const char* layout,
                          const polyops_convolution_args& args, const polyops_tensor& weight) {
  const int64_t k = weight.sizes[1] * weight.sizes[2] * weight.sizes[3];
  calls->push_back(
      call("convolution_pack", layout, {weight.sizes[0], k},
           polyops_convolution_pack_args{0, args.groups, args.window, weight, nullptr}));
}

polyops_tensor transposed_taps(polyops_tensor t) {
  std::swap(t.strides[2], t.strides[3]);
  return t;
}

void add_convolution(std::vector<Call>* calls, const std::string& layout, const Convolution& c) {
  polyops_convolution_args args = {};
  args.groups = static_cast<int32_t>(c.groups);
  const int64_t padding = c.taps / 2, high = (5 - 1) / c.stride + 1, wide = (7 - 1) / c.stride + 1;
  args.window = {{c.stride, c.stride, 1}, {padding, padding, 0}, {1, 1, 1}};
  const int64_t channels = c.groups * c.channels, filters = c.groups * c.filters;
  args.src = contiguous({2, channels, 5, 7});
  args.weight = contiguous({filters, c.channels, c.taps, c.taps});
  args.bias.rank = -1;
  for (bool last : {false, true}) {
    args.dst = contiguous({2, filters, high, wide});
    if (last) args.dst = channels_last(args.dst);
    polyops_convolution_backward_args backward = {};
    backward.groups = args.groups;
    backward.window = args.window;
    backward.grad_dst = args.dst;
    backward.src = args.src;
    backward.weight = args.weight;
    const std::string name = layout + (last ? "_last" : "");
    const std::vector<int64_t> sizes = {2, high * wide, filters, c.channels * c.taps * c.taps};
    calls->push_back(call("convolution", name, sizes, args));
    calls->push_back(call("convolution_backward", name, sizes, backward));
    add_prepacked_convolution(calls, name, sizes, args);
  }
  add_convolution_pack(calls, "contiguous", args, args.weight);
  if (c.taps > 1) add_convolution_pack(calls, "strided", args, transposed_taps(args.weight));
}

// Rows of 9, batch 2, without padding.
void add_convolution_of_rows(std::vector<Call>* calls, const char* layout, int64_t taps,
                             std::vector<int64_t> strides) {
  polyops_convolution_args args = {};
  args.groups = 1;
  args.window = {{1, 1, 1}, {0, 0, 0}, {1, 1, 1}};
  args.src = contiguous({2, 3, 9});
  args.weight = contiguous({4, 3, taps});
  args.bias.rank = -1;
  args.dst = strided({2, 4, 10 - taps}, std::move(strides));
  calls->push_back(call("convolution", layout, {2, 10 - taps, 4, 3 * taps}, args));
}

void add_upsample(std::vector<Call>* calls, const char* layout, const polyops_tensor& src,
                  const polyops_tensor& dst) {
  const std::vector<int64_t> sizes = {6, 20, 120};
  for (const std::string mode : {"nearest", "bilinear", "bicubic"}) {
    const std::string op = "upsample_" + mode + "2d";
    const polyops_upsample_args forward = {0, 0, 0, 0, {}, src, dst};
    calls->push_back(call(op.c_str(), layout, sizes, forward));
    const polyops_upsample_backward_args backward = {0, 0, 0, 0, {}, dst, src};
    calls->push_back(call((op + "_backward").c_str(), layout, sizes, backward));
  }
}

void add_pools(std::vector<Call>* calls, const char* layout, const polyops_tensor& image) {
  const polyops_tensor results = contiguous({2, 3, 2, 4});
  const polyops_pool2d_window window = {{3, 1}, {2, 2}, {1, 0}, {1, 1}};
  const std::vector<int64_t> sizes = {6, 35, 8, 3}, adaptive = {6, 35, 8, 1};
  calls->push_back(call("max_pool2d", layout, sizes,
                        polyops_max_pool2d_args{0, 0, window, image, results, results}));
  calls->push_back(call("max_pool2d_backward", layout, sizes,
                        polyops_max_pool2d_backward_args{0, window, results, results, image}));
  calls->push_back(
      call("avg_pool2d", layout, sizes, polyops_avg_pool2d_args{0, 0, 0, window, image, results}));
  calls->push_back(call("avg_pool2d_backward", layout, sizes,
                        polyops_avg_pool2d_backward_args{0, 0, 0, window, results, image}));
  calls->push_back(call("adaptive_avg_pool2d", layout, adaptive,
                        polyops_adaptive_avg_pool2d_args{0, image, results}));
  calls->push_back(call("adaptive_avg_pool2d_backward", layout, adaptive,
                        polyops_adaptive_avg_pool2d_backward_args{0, results, image}));
  calls->push_back(call("adaptive_max_pool2d", layout, adaptive,
                        polyops_adaptive_max_pool_args{0, image, results, results}));
  calls->push_back(call("adaptive_max_pool2d_backward", layout, adaptive,
                        polyops_adaptive_max_pool_backward_args{0, results, results, image}));
}

void add_pools_3d(std::vector<Call>* calls, const char* layout, const polyops_tensor& image) {
  const polyops_tensor results = contiguous({2, 3, 2, 4, 3});
  const polyops_pool3d_window window = {{3, 1, 2}, {2, 2, 1}, {1, 0, 0}, {1, 1, 1}};
  const std::vector<int64_t> sizes = {6, 140, 24, 6}, adaptive = {6, 140, 24, 1};
  calls->push_back(
      call("avg_pool3d", layout, sizes, polyops_avg_pool3d_args{0, 0, 0, window, image, results}));
  calls->push_back(call("avg_pool3d_backward", layout, sizes,
                        polyops_avg_pool3d_backward_args{0, 0, 0, window, results, image}));
  calls->push_back(call("adaptive_avg_pool3d", layout, adaptive,
                        polyops_adaptive_avg_pool3d_args{0, image, results}));
  calls->push_back(call("adaptive_avg_pool3d_backward", layout, adaptive,
                        polyops_adaptive_avg_pool3d_backward_args{0, results, image}));
  calls->push_back(call("max_pool3d", layout, sizes,
                        polyops_max_pool3d_args{0, window, image, results, results}));
  calls->push_back(call("max_pool3d_backward", layout, sizes,
                        polyops_max_pool3d_backward_args{0, window, results, results, image}));
  calls->push_back(call("adaptive_max_pool3d", layout, adaptive,
                        polyops_adaptive_max_pool_args{0, image, results, results}));
  calls->push_back(call("adaptive_max_pool3d_backward", layout, adaptive,
                        polyops_adaptive_max_pool_backward_args{0, results, results, image}));
}

std::vector<Call> all_calls() {
  std::vector<Call> calls;
  add_softmax(&calls, "contiguous", {6, 4, 1}, contiguous({2, 3, 4}), 2);
  add_softmax(&calls, "contiguous", {1, 1, 1}, contiguous({1}), 0);
  add_softmax(&calls, "contiguous", {2, 3, 1}, contiguous({2, 3, 1, 1}), 1);
  add_softmax(&calls, "inner", {2, 3, 4}, contiguous({2, 3, 4}), 1);
  add_softmax(&calls, "inner", {1, 2, 12}, contiguous({2, 3, 4}), 0);
  add_softmax(&calls, "strided", {2, 3, 1}, strided({2, 3}, {1, 2}), 1);
  add_softmax(&calls, "strided", {2, 3, 1}, strided({2, 3}, {0, 1}), 1);

  add_norms(&calls, "contiguous", {6, 4}, contiguous({2, 3, 4}), 1);
  add_norms(&calls, "contiguous", {2, 12}, contiguous({2, 3, 4}), 2);
  add_norms(&calls, "contiguous", {1, 24}, contiguous({2, 3, 4}), 3);
  add_norms(&calls, "strided", {2, 3}, strided({2, 3}, {6, 1}), 1);

  add_group_norm(&calls, {4, 3, 5}, contiguous({2, 6, 5}), 2);
  add_batch_norm(&calls, "contiguous", contiguous({2, 6, 5}));
  add_batch_norm(&calls, "channels_last", strided({2, 6, 5}, {30, 1, 6}));

  add_unary(&calls, "contiguous", 24, contiguous({2, 3, 4}));
  add_unary(&calls, "contiguous", 1, contiguous({}));
  add_unary(&calls, "contiguous", 24, strided({2, 3, 4}, {12, 1, 3}));
  add_unary(&calls, "contiguous", 6, strided({2, 1, 3}, {3, 77, 1}));
  add_unary(&calls, "strided", 6, strided({2, 3}, {4, 1}));
  add_unary(&calls, "strided", 6, strided({2, 3}, {0, 1}));

  const polyops_tensor rows = contiguous({2, 3}), columns = strided({2, 3}, {1, 2});
  add_binary(&calls, "contiguous", 6, rows, rows);
  add_binary(&calls, "contiguous", 6, columns, columns);
  add_binary(&calls, "contiguous", 6, strided({2, 1, 3}, {3, 77, 1}), contiguous({2, 1, 3}));
  add_binary(&calls, "strided", 6, rows, columns);
  add_binary(&calls, "strided", 6, strided({2, 3}, {4, 1}), strided({2, 3}, {4, 1}));
  add_binary(&calls, "strided", 6, strided({2, 3}, {0, 0}), rows);  // as sum().backward() sends

  add_cat(&calls, "contiguous", {2, 2, 15}, 1, {contiguous({2, 2, 3}), contiguous({2, 3, 3})},
          contiguous({2, 5, 3}));
  add_cat(&calls, "contiguous", {1, 1, 6}, 0, {contiguous({2, 3})}, contiguous({2, 3}));
  const polyops_tensor image = channels_last(contiguous({2, 3, 4, 5}));
  const polyops_tensor images = channels_last(contiguous({2, 6, 4, 5}));
  add_cat(&calls, "contiguous", {2, 40, 6}, 1, {image, image}, images);
  add_cat(&calls, "strided", {2, 40, 6}, 1, {image, contiguous({2, 3, 4, 5})}, images);
  add_cat(&calls, "strided", {2, 1, 12}, 0, {rows, columns}, contiguous({4, 3}));
  add_cat(&calls, "strided", {2, 4, 2}, 1, {contiguous({4, 1}), strided({4, 1}, {3, 1})},
          contiguous({4, 2}));
  add_cat(&calls, "contiguous", {2, 4, 2}, 1, {contiguous({4, 1}), contiguous({4, 1})},
          contiguous({4, 2}));
  add_glu(&calls, "contiguous", {6, 4}, 2, contiguous({2, 3, 4}));
  add_glu(&calls, "contiguous", {1, 24}, 0, contiguous({2, 3, 4}));
  add_glu(&calls, "contiguous", {40, 6}, 1, images);
  add_glu(&calls, "strided", {2, 6}, 1, strided({2, 6}, {8, 1}));
  add_copy(&calls, "rows", {2, 1, 3}, strided({2, 3}, {4, 1}), rows);
  add_copy(&calls, "rows", {2, 1, 12}, strided({2, 3, 4}, {24, 4, 1}), contiguous({2, 3, 4}));
  add_copy(&calls, "transposed", {1, 2, 3}, columns, rows);
  add_copy(&calls, "transposed", {2, 3, 20}, image, contiguous({2, 3, 4, 5}));
  add_copy(&calls, "transposed", {2, 20, 3}, contiguous({2, 3, 4, 5}), image);
  add_copy(&calls, "strided", {2, 1, 3}, strided({2, 3}, {8, 2}), rows);
  add_copy(&calls, "strided", {1, 1, 6}, strided({2, 3}, {0, 0}), rows);
  add_cross_entropy(&calls, "contiguous", contiguous({6, 4}));
  add_cross_entropy(&calls, "strided", strided({6, 4}, {8, 1}));
  add_cross_entropy(&calls, "inner", contiguous({2, 4, 6}));
  add_cross_entropy(&calls, "strided", strided({2, 4, 6}, {24, 1, 4}));
  add_nll_loss(&calls, "contiguous", contiguous({6, 4}));
  add_nll_loss(&calls, "strided", strided({6, 4}, {1, 6}));
  add_nll_loss(&calls, "inner", contiguous({2, 4, 6}));
  polyops_nll_loss_backward_args loss = {};
  loss.grad_src = contiguous({6, 4});
  calls.push_back(call("nll_loss_backward", "contiguous", {6, 4}, loss));
  loss.grad_src = contiguous({2, 4, 6});
  calls.push_back(call("nll_loss_backward", "inner", {12, 4}, loss));

  const auto add_cumsum = [&](const char* layout, const polyops_tensor& t, int32_t dim) {
    const int64_t inner = dim == 0 ? 4 : 1;
    calls.push_back(call("cumsum", layout, {6 / (dim == 0 ? 6 : 1), t.sizes[dim], inner},
                         polyops_cumsum_args{0, dim, t, t}));
  };
  add_cumsum("contiguous", contiguous({6, 4}), 1);
  add_cumsum("inner", contiguous({6, 4}), 0);
  add_cumsum("strided", strided({6, 4}, {8, 2}), 1);
  add_reduction(&calls, "contiguous", {6, 4, 1}, contiguous({6, 4}), 2);
  add_reduction(&calls, "contiguous", {1, 24, 1}, contiguous({6, 4}), 3);
  add_reduction(&calls, "contiguous", {1, 1, 1}, contiguous({}), 0);
  add_reduction(&calls, "inner", {1, 6, 4}, contiguous({6, 4}), 1);
  add_reduction(&calls, "inner", {2, 3, 20}, contiguous({2, 3, 4, 5}), 2);
  add_reduction(&calls, "contiguous", {3, 40, 1}, contiguous({2, 3, 4, 5}), 13);
  add_reduction(&calls, "inner", {1, 40, 3}, image, 13);
  add_reduction(&calls, "strided", {6, 4, 1}, strided({6, 4}, {8, 2}), 2);
  add_extreme(&calls, "contiguous", {6, 4, 1}, contiguous({6, 4}), 1);
  add_extreme(&calls, "contiguous", {1, 1, 1}, contiguous({}), 0);
  add_extreme(&calls, "inner", {2, 3, 20}, contiguous({2, 3, 4, 5}), 1);
  add_extreme(&calls, "strided", {6, 4, 1}, strided({6, 4}, {8, 2}), 1);
  add_index_select(&calls, "contiguous", {1, 7, 4}, contiguous({6, 4}), 0);
  add_index_select(&calls, "contiguous", {2, 7, 4}, contiguous({2, 6, 4}), 1);
  add_index_select(&calls, "strided", {1, 7, 4}, strided({6, 4}, {9, 1}), 0);
  add_gather(&calls, "contiguous", {6, 3, 1}, contiguous({6, 4}), contiguous({6, 3}));
  add_gather(&calls, "contiguous", {6, 3, 2}, contiguous({6, 4, 2}), strided({6, 3, 2}, {3, 1, 0}));
  add_gather(&calls, "inner", {6, 3, 2}, contiguous({6, 4, 2}), contiguous({6, 3, 2}));
  add_gather(&calls, "strided", {6, 3, 1}, strided({6, 4}, {1, 6}), contiguous({6, 3}));
  add_index_add(&calls, "contiguous", {7, 6, 4}, contiguous({6, 4}), 0, false);
  add_index_add(&calls, "rows", {7, 6, 4}, contiguous({1, 6, 4}), 1, true);
  add_index_add(&calls, "inner", {7, 6, 8}, contiguous({2, 6, 4}), 1, true);
  const polyops_tensor table = contiguous({6, 4});
  calls.push_back(call(
      "index_put", "rows", {7, 6, 4},
      polyops_index_put_args{0, 1, table, {contiguous({7}), contiguous({7})}, contiguous({7, 4})}));
  add_scatter_add(&calls, "contiguous", {2, 7, 6, 4}, strided({2, 7, 4}, {7, 1, 0}), false);
  add_scatter_add(&calls, "rows", {2, 7, 6, 4}, strided({2, 7, 4}, {7, 1, 0}), true);
  add_scatter_add(&calls, "inner", {2, 7, 6, 4}, contiguous({2, 7, 4}), true);
  calls.push_back(call("embedding_backward", "contiguous", {12, 5, 4},
                       polyops_embedding_backward_args{0, 0, -1, contiguous({12, 4}),
                                                       contiguous({12}), contiguous({5, 4})}));

  const polyops_tensor lhs = contiguous({2, 3, 4}), rhs = contiguous({2, 4, 5});
  const polyops_tensor lhs_t = strided({2, 3, 4}, {12, 1, 3}),
                       rhs_t = strided({2, 4, 5}, {20, 1, 4});
  add_gemm(&calls, "nn", lhs, rhs);
  add_gemm(&calls, "nt", lhs, rhs_t);
  add_gemm(&calls, "tn", lhs_t, rhs);
  add_gemm(&calls, "tt", lhs_t, rhs_t);
  add_gemm(&calls, "strided", strided({2, 3, 4}, {24, 8, 2}), rhs);
  add_gemm(&calls, "strided", lhs_t, strided({2, 4, 5}, {40, 10, 2}));
  add_gemm_pack(&calls, "nn", rhs);
  add_gemm_pack(&calls, "nt", rhs_t);
  add_gemm_pack(&calls, "strided", strided({2, 4, 5}, {40, 10, 2}));

  const polyops_tensor small = contiguous({2, 3, 4, 5}), large = contiguous({2, 3, 8, 15});
  add_upsample(&calls, "contiguous", small, large);
  add_upsample(&calls, "channels_last", channels_last(small), channels_last(large));
  add_upsample(&calls, "strided", strided({2, 3, 4, 5}, {60, 20, 1, 4}),
               strided({2, 3, 8, 15}, {360, 120, 1, 8}));

  add_attention(&calls, "plain", false, false);
  add_attention(&calls, "causal", true, false);
  add_attention(&calls, "mask", false, true);

  add_convolution(&calls, "pointwise", {});
  add_convolution(&calls, "dense", {.stride = 2});  // takes columns out of src
  add_convolution(&calls, "dense", {.taps = 3});
  add_convolution(&calls, "dense", {.channels = 1, .taps = 5, .stride = 2});
  add_convolution(&calls, "depthwise", {.groups = 6, .channels = 1, .filters = 1, .taps = 3});
  add_convolution(&calls, "depthwise", {.groups = 6, .channels = 1, .filters = 2, .taps = 3});
  add_convolution(&calls, "depthwise", {.groups = 6, .channels = 1, .filters = 2});
  add_convolution(&calls, "grouped", {.groups = 2, .taps = 3});
  add_convolution(&calls, "grouped", {.groups = 2});
  add_convolution_of_rows(&calls, "pointwise", 1, {36, 9, 1});
  add_convolution_of_rows(&calls, "pointwise_last", 1, {36, 1, 4});
  add_convolution_of_rows(&calls, "dense", 3, {28, 7, 1});
  add_convolution_of_rows(&calls, "dense_last", 3, {28, 1, 4});
  add_convolution_of_rows(&calls, "dense", 9, {4, 1, 1});  // one result: neither, both

  add_pools(&calls, "contiguous", contiguous({2, 3, 5, 7}));
  add_pools(&calls, "channels_last", channels_last(contiguous({2, 3, 5, 7})));
  add_pools(&calls, "strided", strided({2, 3, 5, 7}, {210, 70, 14, 2}));
  add_pools_3d(&calls, "contiguous", contiguous({2, 3, 5, 7, 4}));
  add_pools_3d(&calls, "channels_last", strided({2, 3, 5, 7, 4}, {420, 1, 84, 12, 3}));
  add_pools_3d(&calls, "strided", strided({2, 3, 5, 7, 4}, {840, 280, 56, 8, 2}));
  return calls;
}

TEST(OpList, GatesSeeLayoutAndSizesOfACall) {
  std::set<std::string> ops;
  std::map<std::string, std::set<std::string>> layouts;
  for (const Call& c : all_calls()) {
    SCOPED_TRACE(c.op + " " + c.layout + " " + ::testing::PrintToString(c.sizes));
    const KernelOp* op = find_kernel_op(c.op);
    ASSERT_NE(op, nullptr);
    ASSERT_EQ(c.args.size(), op->args_size);
    ASSERT_EQ(c.sizes.size(), op->size_names.size());
    const GateKey key = op->gate_key(c.args.data());
    EXPECT_EQ(key.dtype, POLYOPS_FLOAT32);
    EXPECT_EQ(key.layout, c.layout);
    // Gates compare layouts by address, so it must be the list's own string.
    EXPECT_EQ(std::count(op->layouts.begin(), op->layouts.end(), key.layout), 1);
    for (size_t i = 0; i < kMaxGateSizes; ++i) {
      EXPECT_EQ(key.sizes[i], i < c.sizes.size() ? c.sizes[i] : 0) << "size " << i;
    }
    layouts[c.op].insert(c.layout);
  }
  for (const KernelOp& op : kernel_ops()) {
    EXPECT_EQ(layouts[op.name], std::set<std::string>(op.layouts.begin(), op.layouts.end()))
        << op.name << " has layouts that no call above has";
  }
}

TEST(OpList, GatesSeeTheDtype) {
  for (const int32_t dtype : {POLYOPS_FLOAT64, POLYOPS_BFLOAT16, POLYOPS_FLOAT16}) {
    const polyops_relu_args args = relu_args(10, dtype);
    EXPECT_EQ(find_kernel_op("relu")->gate_key(&args).dtype, dtype);
  }
}

TEST(OpList, KernelOpsAreWellFormed) {
  std::set<std::string> names;
  for (const KernelOp& op : kernel_ops()) {
    SCOPED_TRACE(op.name);
    EXPECT_TRUE(names.insert(op.name).second) << "twice";
    EXPECT_EQ(find_kernel_op(op.name), &op);
    const bool backward = std::string(op.name).ends_with("_backward");
    EXPECT_STREQ(op.direction, backward ? "backward" : "forward");
    EXPECT_FALSE(op.layouts.empty());
    EXPECT_FALSE(op.size_names.empty());
    EXPECT_LE(op.size_names.size(), static_cast<size_t>(kMaxGateSizes));
  }
  EXPECT_EQ(find_kernel_op("mm"), nullptr);
  EXPECT_EQ(find_kernel_op(""), nullptr);
}

TEST(OpList, PublicOpsAreSortedAndServedByKernelOps) {
  std::set<std::string> served;
  std::string last;
  for (const PublicOp& op : public_ops()) {
    EXPECT_LT(last, op.name);
    last = op.name;
    EXPECT_EQ(public_ops()[public_op_index(op.name)].name, op.name);
    EXPECT_FALSE(op.kernel_ops.empty());
    for (const char* kernel_op : op.kernel_ops) {
      EXPECT_NE(find_kernel_op(kernel_op), nullptr) << op.name << ": " << kernel_op;
      served.insert(kernel_op);
    }
  }
  EXPECT_EQ(served.size(), kernel_ops().size()) << "a kernel op that no public op reaches";
  EXPECT_EQ(public_op_index("gemm"), -1);
}

TEST(OpList, NamesForMessages) {
  EXPECT_EQ(join({}), "");
  EXPECT_EQ(join({"a"}), "a");
  EXPECT_EQ(join({"a", "b", "c"}), "a, b, c");
  EXPECT_TRUE(contains(known_public_ops(), "addmm, addmv, "));
  EXPECT_TRUE(contains(known_kernel_ops(), "gemm, gemm_pack, gemm_prepacked, softmax"));
}

}  // namespace
}  // namespace polyops::testing
