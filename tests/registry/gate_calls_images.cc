// Calls of convolutions, pools and upsampling.
#include <deque>
#include <utility>

#include "gate_calls.h"
#include "polyops/ops/adaptive_max_pool.h"
#include "polyops/ops/convolution.h"
#include "polyops/ops/max_pool3d.h"
#include "polyops/ops/pool2d.h"
#include "polyops/ops/pool3d.h"
#include "polyops/ops/upsample.h"

namespace polyops::testing {
namespace {

// Of an image of 5 by 7, which keeps its size; channels and filters are those of one group.
struct Convolution {
  int64_t groups = 1, channels = 3, filters = 4, taps = 1, stride = 1;
};

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

}  // namespace

std::vector<Call> image_calls() {
  std::vector<Call> calls;
  const polyops_tensor small = contiguous({2, 3, 4, 5}), large = contiguous({2, 3, 8, 15});
  add_upsample(&calls, "contiguous", small, large);
  add_upsample(&calls, "channels_last", channels_last(small), channels_last(large));
  add_upsample(&calls, "strided", strided({2, 3, 4, 5}, {60, 20, 1, 4}),
               strided({2, 3, 8, 15}, {360, 120, 1, 8}));
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

}  // namespace polyops::testing
