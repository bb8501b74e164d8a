// Calls of ops over rows: softmax, norms, losses, reductions.
#include <limits>
#include <utility>

#include "gate_calls.h"
#include "polyops/ops/batch_norm.h"
#include "polyops/ops/cross_entropy.h"
#include "polyops/ops/cumsum.h"
#include "polyops/ops/extreme.h"
#include "polyops/ops/group_norm.h"
#include "polyops/ops/layer_norm.h"
#include "polyops/ops/linalg_vector_norm.h"
#include "polyops/ops/nll_loss.h"
#include "polyops/ops/reduction.h"
#include "polyops/ops/rms_norm.h"
#include "polyops/ops/softmax.h"
#include "polyops/ops/var.h"

namespace polyops::testing {
namespace {

// Backward all are one.
bool is_strided(const std::string& layout) { return layout == "rows" || layout == "transposed"; }

void add_softmax(std::vector<Call>* calls, const char* layout, std::vector<int64_t> sizes,
                 const polyops_tensor& t, int32_t dim) {
  for (const char* op : {"softmax", "log_softmax"}) {
    calls->push_back(call(op, layout, sizes, polyops_softmax_args{0, dim, t, t}));
  }
  if (is_strided(layout)) layout = "strided";
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
  if (is_strided(layout)) layout = "strided";
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

// Samples and classes.
std::vector<int64_t> labelled(const polyops_tensor& src) {
  return {src.sizes[0] * (src.rank == 3 ? src.sizes[2] : 1), src.sizes[1]};
}

void add_nll_loss(std::vector<Call>* calls, const char* layout, const polyops_tensor& src) {
  polyops_nll_loss_args args = {};
  args.src = src;
  calls->push_back(call("nll_loss", layout, labelled(src), args));
}

void add_cross_entropy(std::vector<Call>* calls, const char* layout, const polyops_tensor& src) {
  polyops_cross_entropy_args args = {};
  args.src = src;
  calls->push_back(call("cross_entropy", layout, labelled(src), args));
  polyops_cross_entropy_backward_args backward = {};
  backward.src = src;
  calls->push_back(call("cross_entropy_backward", layout, labelled(src), backward));
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
  sizes.push_back(0);
  const double inf = std::numeric_limits<double>::infinity();
  for (const auto& [order, kind] : {std::pair{1.0, 1}, {2.0, 2}, {inf, 3}, {-inf, 3}, {0.5, 4}}) {
    sizes.back() = kind;
    calls->push_back(call("linalg_vector_norm", layout, sizes,
                          polyops_vector_norm_args{0, dims, order, src, args.dst}));
  }
  sizes.pop_back();
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

}  // namespace

std::vector<Call> row_calls() {
  std::vector<Call> calls;
  const polyops_tensor image = channels_last(contiguous({2, 3, 4, 5}));
  add_softmax(&calls, "contiguous", {6, 4, 1}, contiguous({2, 3, 4}), 2);
  add_softmax(&calls, "contiguous", {1, 1, 1}, contiguous({1}), 0);
  add_softmax(&calls, "contiguous", {2, 3, 1}, contiguous({2, 3, 1, 1}), 1);
  add_softmax(&calls, "inner", {2, 3, 4}, contiguous({2, 3, 4}), 1);
  add_softmax(&calls, "inner", {1, 2, 12}, contiguous({2, 3, 4}), 0);
  add_softmax(&calls, "strided", {2, 3, 1}, strided({2, 3}, {1, 2}), 1);
  add_softmax(&calls, "rows", {2, 3, 1}, strided({2, 3}, {0, 1}), 1);
  add_softmax(&calls, "rows", {2, 3, 1}, strided({2, 3, 1}, {6, 1, 7}), 1);
  add_softmax(&calls, "strided", {2, 3, 4}, strided({2, 3, 4}, {24, 4, 1}), 1);
  add_softmax(&calls, "transposed", {2, 3, 9}, strided({2, 3, 9}, {54, 9, 1}), 1);
  add_softmax(&calls, "strided", {20, 3, 1}, strided({20, 3}, {1, 8}), 1);
  add_softmax(&calls, "transposed", {20, 3, 1}, strided({20, 3}, {1, 20}), 1);
  add_norms(&calls, "contiguous", {6, 4}, contiguous({2, 3, 4}), 1);
  add_norms(&calls, "contiguous", {2, 12}, contiguous({2, 3, 4}), 2);
  add_norms(&calls, "contiguous", {1, 24}, contiguous({2, 3, 4}), 3);
  add_norms(&calls, "rows", {2, 3}, strided({2, 3}, {6, 1}), 1);
  add_norms(&calls, "rows", {2, 12}, strided({2, 3, 4}, {24, 4, 1}), 2);
  add_norms(&calls, "strided", {2, 12}, strided({2, 3, 4}, {24, 8, 1}), 2);
  add_norms(&calls, "strided", {2, 3}, strided({2, 3}, {6, 2}), 1);
  add_norms(&calls, "transposed", {20, 3}, strided({20, 3}, {1, 20}), 1);
  add_group_norm(&calls, {4, 3, 5}, contiguous({2, 6, 5}), 2);
  add_batch_norm(&calls, "contiguous", contiguous({2, 6, 5}));
  add_batch_norm(&calls, "channels_last", strided({2, 6, 5}, {30, 1, 6}));
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
  return calls;
}

}  // namespace polyops::testing
