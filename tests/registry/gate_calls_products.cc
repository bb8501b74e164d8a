// Calls of products of matrices and of attention.
#include <deque>

#include "gate_calls.h"
#include "polyops/ops/attention.h"
#include "polyops/ops/gemm.h"

namespace polyops::testing {
namespace {

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

}  // namespace

std::vector<Call> product_calls() {
  std::vector<Call> calls;
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
  add_attention(&calls, "plain", false, false);
  add_attention(&calls, "causal", true, false);
  add_attention(&calls, "mask", false, true);
  return calls;
}

}  // namespace polyops::testing
