#include "convolution_call.h"

#include "runtime.h"

namespace polyops::onednn {
namespace {

bool one_dtype(const polyops_convolution_args& a) {
  const int32_t dtype = a.dst.dtype;
  const bool bias = polyops_is_present(&a.bias) == 0 || a.bias.dtype == dtype;
  return a.src.dtype == dtype && a.weight.dtype == dtype && bias;
}

void read_sides(const polyops_convolution_args& a, SliceKey* key) {
  for (int d = 0; d < a.src.rank - 2; ++d) {
    Side& side = key->side[d];
    side = {a.src.sizes[d + 2],
            a.dst.sizes[d + 2],
            a.weight.sizes[d + 2],
            a.window.stride[d],
            a.window.dilation[d],
            a.window.padding[d],
            0};
    side.after = (side.out - 1) * side.stride + side.reach() + 1 - side.in - side.before;
  }
}

int64_t step_of(const polyops_tensor& image, int64_t order) {
  if (order == kLast) return image.sizes[1];
  int64_t pixels = 1;
  for (int d = 2; d < image.rank; ++d) pixels *= image.sizes[d];
  return pixels;
}

}  // namespace

bool order_of(const polyops_tensor& t, int64_t* order) {
  for (const Order candidate : {kLast, kPlanes}) {
    int64_t stride = 1;
    bool dense = true;
    const auto lies = [&](int d) {
      dense &= t.sizes[d] == 1 || t.strides[d] == stride;
      stride *= t.sizes[d];
    };
    if (candidate == kLast) lies(1);
    for (int d = t.rank - 1; d >= 2; --d) lies(d);
    if (candidate == kPlanes) lies(1);
    lies(0);
    *order = candidate;
    if (dense) return true;
  }
  return false;
}

const char* read(const polyops_convolution_args& a, int64_t threads, CallKey* call) {
  *call = {};
  SliceKey& key = call->whole;
  if (!one_dtype(a) || type_of(a.dst.dtype) == dnnl::memory::data_type::undef) return "dtype";
  if (!order_of(a.src, &key.src_order) || !order_of(a.dst, &key.dst_order) ||
      !order_of(a.weight, &key.weight_order)) {
    return "layout";
  }
  key.bias = polyops_is_present(&a.bias);
  if (key.bias != 0 && a.bias.sizes[0] != 1 && a.bias.strides[0] != 1) return "layout";
  call->batch = a.src.sizes[0];
  call->threads = threads;
  key.dtype = a.dst.dtype;
  key.spatial = a.src.rank - 2;
  key.groups = a.groups;
  key.channels = a.weight.sizes[1];
  key.filters = a.weight.sizes[0] / a.groups;
  key.parts = 1;
  read_sides(a, &key);
  // oneDNN has a mere reference of windows that miss the image, and bands of rows want none either.
  for (const Side& side : key.side) {
    if (side.before > side.reach()) return "padding";
  }
  key.src_step = step_of(a.src, key.src_order);
  key.dst_step = step_of(a.dst, key.dst_order);
  return nullptr;
}

// A 1 x 1 filter is dense either way; what one tap is from the next tells how its module was laid
// out.
WeightKey weight_key(const polyops_convolution_pack_args& args) {
  WeightKey key = {};
  key.dtype = args.weight.dtype;
  key.spatial = args.weight.rank - 2;
  key.groups = args.groups;
  key.channels = args.weight.sizes[1];
  key.filters = args.weight.sizes[0] / args.groups;
  order_of(args.weight, &key.order);
  if (args.weight.strides[args.weight.rank - 1] != key.channels) key.order = kPlanes;
  for (int64_t d = 0; d < key.spatial; ++d) {
    key.side[d].taps = args.weight.sizes[d + 2];
    key.side[d].stride = args.window.stride[d];
    key.side[d].dilation = args.window.dilation[d];
    key.side[d].before = key.side[d].after = args.window.padding[d];
  }
  return key;
}

}  // namespace polyops::onednn
