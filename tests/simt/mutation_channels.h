// Calls that reach every barrier of group_norm and batch_norm.
#ifndef POLYOPS_TESTS_SIMT_MUTATION_CHANNELS_H_
#define POLYOPS_TESTS_SIMT_MUTATION_CHANNELS_H_

#include "mutation_case.h"
#include "polyops/ops/batch_norm.h"
#include "polyops/ops/group_norm.h"

namespace polyops::testing {
namespace {

// Groups of a block each, of a cluster, several of those one after the other, and split over
// several blocks; planes likewise.
const std::vector<Sizes> kImages = {{4, 4, 300},   {1, 2, 9000}, {1, 2, 20001},
                                    {5, 2, 13000}, {1, 4500, 8}, {1, 2, 45000}};

Calls group_norm() {
  Calls all = {"group_norm", {}};
  for (const Sizes& sizes : kImages) {
    all.calls.push_back([sizes](const polyops_kernel& kernel) {
      const Buffer src = random(sizes, 1), dst(POLYOPS_FLOAT32, sizes);
      const Buffer mean(POLYOPS_FLOAT32, {sizes[0], 1}), rstd(POLYOPS_FLOAT32, {sizes[0], 1});
      const polyops_group_norm_args args = {sizeof args, 1,           1e-5,
                                            src.view(),  absent(),    absent(),
                                            dst.view(),  mean.view(), rstd.view()};
      return run(kernel, args, {&dst, &mean, &rstd});
    });
  }
  return all;
}

Calls group_norm_backward() {
  Calls all = {"group_norm_backward", {}};
  for (const Sizes& sizes : kImages) {
    all.calls.push_back([sizes](const polyops_kernel& kernel) {
      const Buffer grad = random(sizes, 1), src = random(sizes, 2), weight = random({sizes[1]}, 3);
      const Buffer mean = random({sizes[0], 1}, 4), rstd = random({sizes[0], 1}, 5);
      const Buffer grad_src(POLYOPS_FLOAT32, sizes);
      const Buffer grad_weight(POLYOPS_FLOAT32, {sizes[1]}), grad_bias(POLYOPS_FLOAT32, {sizes[1]});
      const polyops_group_norm_backward_args args = {sizeof args,        1,
                                                     grad.view(),        src.view(),
                                                     mean.view(),        rstd.view(),
                                                     weight.view(),      grad_src.view(),
                                                     grad_weight.view(), grad_bias.view()};
      return run(kernel, args, {&grad_src, &grad_weight, &grad_bias});
    });
  }
  return all;
}

// Planes, and channels next to each other; held in shared memory, by one channel and by more, one
// tile after the other, and not; by a grid at once.
struct Images {
  Sizes sizes, strides = {};
};
const std::vector<Images> kBatches = {{{40, 2, 300}},
                                      {{4, 5, 4700}},
                                      {{41, 4, 49}},
                                      {{9, 28, 49}},
                                      {{3, 5, 301}},
                                      {{2, 40, 50}, {2000, 1, 40}},
                                      {{2, 20, 50}, {1000, 1, 20}},
                                      {{1, 128, 700}, {89600, 1, 128}}};

Calls batch_norm() {
  Calls all = {"batch_norm", {}};
  for (const Images& images : kBatches) {
    all.calls.push_back([images](const polyops_kernel& kernel) {
      const Sizes channels = {images.sizes[1]};
      const Buffer src = random(images.sizes, 1, images.strides);
      const Buffer dst(POLYOPS_FLOAT32, images.sizes, images.strides);
      const Buffer mean(POLYOPS_FLOAT32, channels), rstd(POLYOPS_FLOAT32, channels);
      const polyops_batch_norm_args args = {sizeof args, 1,          0.1,         1e-5,
                                            src.view(),  absent(),   absent(),    absent(),
                                            absent(),    dst.view(), mean.view(), rstd.view()};
      return run(kernel, args, {&dst, &mean, &rstd});
    });
  }
  return all;
}

Calls batch_norm_backward() {
  Calls all = {"batch_norm_backward", {}};
  for (const Images& images : kBatches) {
    all.calls.push_back([images](const polyops_kernel& kernel) {
      const Sizes channels = {images.sizes[1]};
      const Buffer grad = random(images.sizes, 1, images.strides);
      const Buffer src = random(images.sizes, 2, images.strides);
      const Buffer mean = random(channels, 3), rstd = random(channels, 4);
      const Buffer grad_src(POLYOPS_FLOAT32, images.sizes, images.strides);
      const Buffer grad_weight(POLYOPS_FLOAT32, channels), grad_bias(POLYOPS_FLOAT32, channels);
      const polyops_batch_norm_backward_args args = {
          sizeof args, 1,        1e-5,     grad.view(),     src.view(),         mean.view(),
          rstd.view(), absent(), absent(), grad_src.view(), grad_weight.view(), grad_bias.view()};
      return run(kernel, args, {&grad_src, &grad_weight, &grad_bias});
    });
  }
  return all;
}

}  // namespace
}  // namespace polyops::testing

#endif  // POLYOPS_TESTS_SIMT_MUTATION_CHANNELS_H_
