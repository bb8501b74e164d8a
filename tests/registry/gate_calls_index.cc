// Calls of ops that read or add where an index says.
#include "gate_calls.h"
#include "polyops/ops/embedding.h"
#include "polyops/ops/gather.h"
#include "polyops/ops/index_add.h"
#include "polyops/ops/index_put.h"
#include "polyops/ops/index_select.h"
#include "polyops/ops/scatter_add.h"

namespace polyops::testing {
namespace {

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

}  // namespace

std::vector<Call> index_calls() {
  std::vector<Call> calls;
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
  return calls;
}

}  // namespace polyops::testing
