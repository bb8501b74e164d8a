// Calls that reach every barrier of pools.
#ifndef POLYOPS_TESTS_SIMT_MUTATION_POOLS_H_
#define POLYOPS_TESTS_SIMT_MUTATION_POOLS_H_

#include "mutation_case.h"
#include "polyops/ops/adaptive_max_pool.h"
#include "polyops/ops/max_pool3d.h"
#include "polyops/ops/pool2d.h"
#include "polyops/ops/pool3d.h"

namespace polyops::testing {
namespace {

// An image and its results: several planes to a block, one that is cut into slabs, and windows that
// lie side by side.
struct Pool {
  Sizes sizes, results;
  polyops_pool2d_window window;
};
const std::vector<Pool> kPools = {
    {{9, 6, 7, 7}, {9, 6, 7, 7}, {{3, 3}, {1, 1}, {1, 1}, {1, 1}}},
    {{1, 2, 90, 51}, {1, 2, 90, 51}, {{5, 5}, {1, 1}, {2, 2}, {1, 1}}},
    {{9, 6, 7, 7}, {9, 6, 4, 4}, {{3, 3}, {2, 2}, {1, 1}, {1, 1}}},
    {{9, 6, 9, 9}, {9, 6, 2, 2}, {{4, 4}, {4, 4}, {0, 0}, {1, 1}}},
    {{1, 49, 3, 196}, {1, 49, 3, 196}, {{3, 3}, {1, 1}, {1, 1}, {1, 1}}},
};

Calls avg_pool2d() {
  Calls all = {"avg_pool2d", {}};
  for (const Pool& p : kPools) {
    all.calls.push_back([p](const polyops_kernel& kernel) {
      const Buffer src = random(p.sizes, 1), dst(POLYOPS_FLOAT32, p.results);
      const polyops_avg_pool2d_args args = {sizeof args, 1, 0, p.window, src.view(), dst.view()};
      return run(kernel, args, {&dst});
    });
  }
  return all;
}

Calls avg_pool2d_backward() {
  Calls all = {"avg_pool2d_backward", {}};
  for (const Pool& p : kPools) {
    all.calls.push_back([p](const polyops_kernel& kernel) {
      const Buffer grad = random(p.results, 1), grad_src(POLYOPS_FLOAT32, p.sizes);
      const polyops_avg_pool2d_backward_args args = {sizeof args, 1,           0,
                                                     p.window,    grad.view(), grad_src.view()};
      return run(kernel, args, {&grad_src});
    });
  }
  return all;
}

Calls max_pool2d() {
  Calls all = {"max_pool2d", {}};
  for (const Pool& p : kPools) {
    all.calls.push_back([p](const polyops_kernel& kernel) {
      const Buffer src = random(p.sizes, 1), dst(POLYOPS_FLOAT32, p.results);
      const Buffer indices(POLYOPS_INT64, p.results);
      const polyops_max_pool2d_args args = {sizeof args, 0,          p.window,
                                            src.view(),  dst.view(), indices.view()};
      return run(kernel, args, {&dst, &indices});
    });
  }
  // Two columns to a thread.
  all.calls.push_back([](const polyops_kernel& kernel) {
    const polyops_pool2d_window window = {{3, 3}, {2, 2}, {0, 0}, {1, 1}};
    const Sizes sizes = {9, 6, 9, 11}, results = {9, 6, 4, 5};
    const Buffer src = random(sizes, 1, {}, POLYOPS_BFLOAT16), dst(POLYOPS_BFLOAT16, results);
    const Buffer indices(POLYOPS_INT64, results);
    const polyops_max_pool2d_args args = {sizeof args, 0,          window,
                                          src.view(),  dst.view(), indices.view()};
    return run(kernel, args, {&dst, &indices});
  });
  return all;
}

// Of 16 bits, too, where a team of lanes has planes that lie one after the other.
Calls max_pool2d_backward() {
  Calls all = {"max_pool2d_backward", {}};
  const auto add = [&](const Pool& p, int32_t dtype) {
    all.calls.push_back([p, dtype](const polyops_kernel& kernel) {
      const Buffer grad = random(p.results, 1, {}, dtype), grad_src(dtype, p.sizes);
      Buffer indices(POLYOPS_INT64, p.results);
      const int64_t columns = p.results[3], plane = p.results[2] * columns;
      indices.fill([&](int64_t i) {  // in the window, if it does not hang out
        const int64_t row = i % plane / columns, column = i % columns;
        if (p.window.stride[0] == 1) {  // that of several windows
          return static_cast<double>(row / 3 * 3 * columns + column / 3 * 3 + columns + 1);
        }
        return static_cast<double>((row * p.sizes[3] + column) * p.window.stride[0]);
      });
      const polyops_max_pool2d_backward_args args = {sizeof args, p.window, grad.view(),
                                                     indices.view(), grad_src.view()};
      return run(kernel, args, {&grad_src});
    });
  };
  for (const Pool& p : kPools) add(p, POLYOPS_FLOAT32);
  add({{1, 150, 14, 14}, {1, 150, 14, 14}, {{3, 3}, {1, 1}, {1, 1}, {1, 1}}}, POLYOPS_BFLOAT16);
  return all;
}

// Planes one after the other.
Calls avg_pool3d() {
  Calls all = {"avg_pool3d", {}};
  all.calls.push_back([](const polyops_kernel& kernel) {
    const Sizes sizes = {1, 2, 11, 19, 64};
    const Buffer src = random(sizes, 1), dst(POLYOPS_FLOAT32, sizes);
    const polyops_avg_pool3d_args args = {
        sizeof args, 1, 0, {{3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}}, src.view(), dst.view()};
    return run(kernel, args, {&dst});
  });
  return all;
}

// Frames one after the other, and several at a time.
Calls max_pool3d() {
  Calls all = {"max_pool3d", {}};
  for (const int32_t dtype : {POLYOPS_FLOAT32, POLYOPS_BFLOAT16}) {
    all.calls.push_back([=](const polyops_kernel& kernel) {
      const Sizes sizes = {1, 25, 6, 7, 6};
      Buffer src(dtype, sizes);
      src.fill_normal(1);
      const Buffer dst(dtype, sizes), indices(POLYOPS_INT64, sizes);
      const polyops_max_pool3d_args args = {sizeof args,
                                            {{3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}},
                                            src.view(),
                                            dst.view(),
                                            indices.view()};
      return run(kernel, args, {&dst, &indices});
    });
  }
  return all;
}

Calls max_pool3d_backward() {
  Calls all = {"max_pool3d_backward", {}};
  const auto add = [&](const Sizes& sizes, int32_t dtype) {
    all.calls.push_back([sizes, dtype](const polyops_kernel& kernel) {
      const Buffer grad = random(sizes, 1, {}, dtype), grad_src(dtype, sizes);
      const int64_t deep = sizes[2], wide = sizes[4], plane = sizes[3] * wide;
      Buffer indices(POLYOPS_INT64, sizes);
      indices.fill([&](int64_t i) {
        const int64_t frame = i / plane % deep, row = i % plane / wide, column = i % wide;
        const int64_t corner = row / 3 * 3 * wide + column / 3 * 3;
        return static_cast<double>((frame < 3 ? 1 : 3) * plane + corner + wide + 1);
      });
      const polyops_max_pool3d_backward_args args = {sizeof args,
                                                     {{3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}},
                                                     grad.view(),
                                                     indices.view(),
                                                     grad_src.view()};
      return run(kernel, args, {&grad_src});
    });
  };
  add({1, 25, 4, 7, 6}, POLYOPS_FLOAT32);
  add({1, 25, 4, 14, 14}, POLYOPS_BFLOAT16);
  return all;
}

// A window to several waves, one to several parts of a block, and planes in shared memory.
Calls adaptive_max_pool2d() {
  Calls all = {"adaptive_max_pool2d", {}};
  all.calls.push_back([](const polyops_kernel& kernel) {
    const Sizes sizes = {6, 6, 14, 13}, results = {6, 6, 3, 3};
    const Buffer src = random(sizes, 1, {}, POLYOPS_BFLOAT16), dst(POLYOPS_BFLOAT16, results);
    const Buffer indices(POLYOPS_INT64, results);
    const polyops_adaptive_max_pool_args args = {sizeof args, src.view(), dst.view(),
                                                 indices.view()};
    return run(kernel, args, {&dst, &indices});
  });
  const Sizes strides = {8 * 24 * 25, 1, 8 * 25, 8};
  for (const bool last : {false, true}) {
    all.calls.push_back([=](const polyops_kernel& kernel) {
      const Sizes sizes = {1, 8, 24, 25}, results = {1, 8, 1, 1};
      const Buffer src = random(sizes, 1, last ? strides : Sizes());
      const Buffer dst(POLYOPS_FLOAT32, results), indices(POLYOPS_INT64, results);
      const polyops_adaptive_max_pool_args args = {sizeof args, src.view(), dst.view(),
                                                   indices.view()};
      return run(kernel, args, {&dst, &indices});
    });
  }
  return all;
}

// Planes, several to a block and in strips of rows.
Calls adaptive_max_pool2d_backward() {
  Calls all = {"adaptive_max_pool2d_backward", {}};
  for (const Sizes& sizes : {Sizes{9, 9, 12, 16}, Sizes{1, 1, 60, 120}}) {
    all.calls.push_back([=](const polyops_kernel& kernel) {
      const Sizes results = {sizes[0], sizes[1], 2, 2};
      const Buffer grad = random(results, 1), grad_src(POLYOPS_FLOAT32, sizes);
      Buffer indices(POLYOPS_INT64, results);
      const int64_t high = sizes[2] / 2, wide = sizes[3] / 2;
      indices.fill([&](int64_t i) {  // each window's first
        return static_cast<double>(i / 2 % 2 * high * sizes[3] + i % 2 * wide);
      });
      const polyops_adaptive_max_pool_backward_args args = {sizeof args, grad.view(),
                                                            indices.view(), grad_src.view()};
      return run(kernel, args, {&grad_src});
    });
  }
  return all;
}

}  // namespace
}  // namespace polyops::testing

#endif  // POLYOPS_TESTS_SIMT_MUTATION_POOLS_H_
