// Calls of elementwise ops, and of those that copy.
#include <deque>

#include "gate_calls.h"
#include "polyops/ops/activation.h"
#include "polyops/ops/cat.h"
#include "polyops/ops/copy.h"
#include "polyops/ops/gelu.h"
#include "polyops/ops/glu.h"
#include "polyops/ops/relu.h"

namespace polyops::testing {
namespace {

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

void add_cat(std::vector<Call>* calls, const char* layout, std::vector<int64_t> sizes, int32_t dim,
             std::vector<polyops_tensor> srcs, const polyops_tensor& dst) {
  static std::deque<std::vector<polyops_tensor>> lists;  // which the arguments point to
  lists.push_back(std::move(srcs));
  const auto count = static_cast<int64_t>(lists.back().size());
  calls->push_back(call("cat", layout, std::move(sizes),
                        polyops_cat_args{0, dim, count, lists.back().data(), dst}));
}

void add_glu(std::vector<Call>* calls, const char* layout, std::vector<int64_t> sizes, int32_t dim,
             const polyops_tensor& t) {
  calls->push_back(call("glu", layout, sizes, polyops_glu_args{0, dim, t, t}));
  calls->push_back(call("glu_backward", layout, sizes, polyops_glu_backward_args{0, dim, t, t, t}));
}

void add_copy(std::vector<Call>* calls, const char* layout, std::vector<int64_t> sizes,
              const polyops_tensor& src, const polyops_tensor& dst) {
  calls->push_back(call("copy", layout, std::move(sizes), polyops_copy_args{0, 0, src, dst}));
}

}  // namespace

std::vector<Call> element_calls() {
  std::vector<Call> calls;
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
  return calls;
}

}  // namespace polyops::testing
