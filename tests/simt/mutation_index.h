// Calls that reach every barrier of embedding_backward, gather, index_add and scatter_add.
#ifndef POLYOPS_TESTS_SIMT_MUTATION_INDEX_H_
#define POLYOPS_TESTS_SIMT_MUTATION_INDEX_H_

#include <string_view>

#include "mutation_case.h"
#include "polyops/ops/embedding.h"
#include "polyops/ops/gather.h"
#include "polyops/ops/index_add.h"
#include "polyops/ops/scatter_add.h"

namespace polyops::testing {
namespace {

// Few of them; with two rows next to each other that shares divide; sorted by one block, with more
// bins than threads, and in two passes; by several blocks, of two tiles each; with rows of which a
// block finishes two; by so many that a launch of its own adds up their counts.
struct Table {
  int64_t lookups, rows, width;
};
const std::initializer_list<Table> kTables = {{120, 3, 256},  {70, 60, 4},    {300, 3, 256},
                                              {2100, 500, 1}, {300, 1500, 4}, {8300, 700, 1},
                                              {8300, 12, 1},  {132000, 3, 1}};

Calls embedding_backward() {
  Calls all = {"embedding_backward", {}};
  for (const Table& t : kTables) {
    all.calls.push_back([t](const polyops_kernel& kernel) {
      const Buffer grad = random({t.lookups, t.width}, 1);
      const Buffer result(POLYOPS_FLOAT32, {t.rows, t.width});
      Buffer index(POLYOPS_INT64, {t.lookups});
      index.fill([&](int64_t i) { return i * 7919 % 8191 % t.rows; });
      const polyops_embedding_backward_args args = {sizeof args,  0, -1, grad.view(), index.view(),
                                                    result.view()};
      return run(kernel, args, {&result});
    });
  }
  return all;
}

// In place, too.
Calls index_add() {
  Calls all = {"index_add", {}};
  const auto add = [&](const Table& t, bool in_place) {
    all.calls.push_back([t, in_place](const polyops_kernel& kernel) {
      const Buffer src = random({t.lookups, t.width}, 1);
      const Buffer self = random({t.rows, t.width}, 2), other(POLYOPS_FLOAT32, {t.rows, t.width});
      const Buffer& result = in_place ? self : other;
      Buffer index(POLYOPS_INT64, {t.lookups});
      index.fill([&](int64_t i) { return i * 7919 % 8191 % t.rows; });
      const polyops_index_add_args args = {
          sizeof args, 0, self.view(), index.view(), src.view(), result.view(), 1, in_place, 0};
      return run(kernel, args, {&result});
    });
  };
  for (const Table& t : kTables) add(t, false);
  add({300, 3, 256}, true);
  add({8300, 700, 1}, true);
  return all;
}

// By turns: more lines than one to a wave, one in chunks, and one with many places, where no lanes
// meet but 0 and 9, so that only the order of that sum shows what they missed. The other kernel is
// index_add's.
Calls scatter_add() {
  Calls all = {"scatter_add", {}};
  for (const Table& t : {Table{300, 4, 30}, Table{2500, 1, 70}, Table{1024, 1, 1500}}) {
    all.calls.push_back([t](const polyops_kernel& kernel) -> Result {
      if (std::string_view(kernel.name).find("turns") == std::string_view::npos) return {-1, {}};
      const Buffer src = random({t.rows, t.lookups}, 1), self = random({t.rows, t.width}, 2);
      const Buffer result(POLYOPS_FLOAT32, {t.rows, t.width});
      Buffer index(POLYOPS_INT64, {t.rows, t.lookups});
      index.fill([&](int64_t i) {
        if (t.width > t.lookups) return i % 64 == 0 || i % 64 == 9 ? 7 : 8 + i;
        return i * 7919 % 8191 % t.width;
      });
      const polyops_scatter_add_args args = {
          sizeof args, 1, self.view(), index.view(), src.view(), result.view(), 0, 0};
      return run(kernel, args, {&result});
    });
  }
  return all;
}

Calls gather() {
  return {"gather", {[](const polyops_kernel& kernel) {
            const Buffer src = random({2, 300}, 1), result(POLYOPS_FLOAT32, {2, 300});
            Buffer index(POLYOPS_INT64, {2, 300});
            index.fill([](int64_t i) { return i * 7919 % 300; });
            const polyops_gather_args args = {sizeof args, 1, src.view(), index.view(),
                                              result.view()};
            return run(kernel, args, {&result});
          }}};
}

}  // namespace
}  // namespace polyops::testing

#endif  // POLYOPS_TESTS_SIMT_MUTATION_INDEX_H_
