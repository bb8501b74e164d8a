#include "convolution_slice.h"

#include <algorithm>

#include "cache.h"

namespace polyops::onednn {
namespace {

using Dims = dnnl::memory::dims;
using Desc = dnnl::memory::desc;
using Tag = dnnl::memory::format_tag;

// Sizes (items, channels, spatial...) of images that lie in that order. step: elements from one
// channel to the next in planes, from one pixel to the next otherwise.
Desc image_desc(const Dims& sizes, dnnl::memory::data_type type, int64_t order, int64_t step) {
  Dims strides(sizes.size());
  int64_t stride = order == kLast ? step : 1;
  for (size_t d = sizes.size() - 1; d >= 2; --d) {
    strides[d] = stride;
    stride *= sizes[d];
  }
  strides[1] = order == kLast ? 1 : step;
  strides[0] = order == kLast ? stride : step * sizes[1];
  return {sizes, type, strides};
}

Desc any(const Dims& sizes, dnnl::memory::data_type type) { return {sizes, type, Tag::any}; }

// What oneDNN takes without a copy wherever channels are innermost.
Desc dense_last(const Dims& sizes, dnnl::memory::data_type type) {
  return image_desc(sizes, type, kLast, sizes[1]);
}

Dims weight_sizes(int64_t groups, int64_t filters, int64_t channels, const Side* side,
                  int64_t spatial) {
  Dims sizes = {filters, channels};
  if (groups > 1) sizes.insert(sizes.begin(), groups);
  for (int64_t d = 0; d < spatial; ++d) sizes.push_back(side[d].taps);
  return sizes;
}

// Dense, the taps of a channel or the channels of a tap innermost.
Desc weight_desc(const Dims& sizes, bool grouped, dnnl::memory::data_type type, int64_t order) {
  const size_t channel = grouped ? 2 : 1;
  Dims strides(sizes.size());
  int64_t stride = 1;
  const auto lay = [&](size_t d) {
    strides[d] = stride;
    stride *= sizes[d];
  };
  if (order == kLast) lay(channel);
  for (size_t d = sizes.size() - 1; d > channel; --d) lay(d);
  if (order != kLast) lay(channel);
  for (size_t d = channel; d-- > 0;) lay(d);
  return {sizes, type, strides};
}

using Convolution = dnnl::convolution_forward::primitive_desc;

Convolution describe(const SliceKey& key, const Desc& src, const Desc& weights, const Desc& dst,
                     const Desc& bias) {
  Dims strides, dilations, before, after;
  for (int64_t d = 0; d < key.spatial; ++d) {
    strides.push_back(key.side[d].stride);
    dilations.push_back(key.side[d].dilation - 1);
    before.push_back(key.side[d].before);
    after.push_back(key.side[d].after);
  }
  Convolution desc(engine(), dnnl::prop_kind::forward_inference,
                   dnnl::algorithm::convolution_direct, src, weights, bias, dst, strides, dilations,
                   before, after, plain_attributes());
  refuse_reference(desc.impl_info_str());
  return desc;
}

struct Images {
  Dims src, dst;
};

Images image_sizes(const SliceKey& key) {
  Images sizes = {{1, key.groups * key.channels}, {1, key.groups * key.filters}};
  for (int64_t d = 0; d < key.spatial; ++d) {
    sizes.src.push_back(key.side[d].in);
    sizes.dst.push_back(key.side[d].out);
  }
  return sizes;
}

Desc bias_desc(const SliceKey& key, dnnl::memory::data_type type) {
  if (key.bias == 0) return {};
  return {{key.groups * key.filters}, type, Tag::a};
}

// Its own choice of orders where both images lie in planes; else channels innermost, as at least
// one of them lies.
Convolution choose(const SliceKey& key, const Desc* packed) {
  const auto type = type_of(static_cast<int32_t>(key.dtype));
  const Images sizes = image_sizes(key);
  const bool planes = key.src_order == kPlanes && key.dst_order == kPlanes;
  const Desc weights =
      packed != nullptr
          ? *packed
          : any(weight_sizes(key.groups, key.filters, key.channels, key.side, key.spatial), type);
  return describe(key, planes ? any(sizes.src, type) : dense_last(sizes.src, type), weights,
                  planes ? any(sizes.dst, type) : dense_last(sizes.dst, type),
                  bias_desc(key, type));
}

Slice make_slice(const SliceKey& key, const Desc* packed) {
  const auto type = type_of(static_cast<int32_t>(key.dtype));
  const Images sizes = image_sizes(key);
  const Convolution chosen = choose(key, packed);
  const dnnl::primitive_attr attributes = plain_attributes();
  Slice slice;
  slice.weights = chosen.weights_desc();
  slice.convolve = key.bias != 0 ? Step(dnnl::convolution_forward(chosen),
                                        {{DNNL_ARG_SRC, chosen.src_desc()},
                                         {DNNL_ARG_WEIGHTS, chosen.weights_desc()},
                                         {DNNL_ARG_DST, chosen.dst_desc()},
                                         {DNNL_ARG_BIAS, chosen.bias_desc()}},
                                        chosen.scratchpad_desc())
                                 : Step(dnnl::convolution_forward(chosen),
                                        {{DNNL_ARG_SRC, chosen.src_desc()},
                                         {DNNL_ARG_WEIGHTS, chosen.weights_desc()},
                                         {DNNL_ARG_DST, chosen.dst_desc()}},
                                        chosen.scratchpad_desc());
  const Desc src = image_desc(sizes.src, type, key.src_order, key.src_step);
  if (src != chosen.src_desc()) {
    slice.src_bytes = chosen.src_desc().get_size();
    slice.take = reorder_step(src, chosen.src_desc(), attributes);
  }
  const Desc dst = image_desc(sizes.dst, type, key.dst_order, key.dst_step);
  if (dst != chosen.dst_desc()) {
    slice.dst_bytes = chosen.dst_desc().get_size();
    slice.give = reorder_step(chosen.dst_desc(), dst, attributes);
  }
  if (packed == nullptr) {
    const Desc weights =
        weight_desc(weight_sizes(key.groups, key.filters, key.channels, key.side, key.spatial),
                    key.groups > 1, type, key.weight_order);
    slice.weights_in_place = weights == slice.weights;
    if (!slice.weights_in_place) slice.arrange = reorder_step(weights, slice.weights, attributes);
  }
  for (const Step* step : {&slice.convolve, &slice.take, &slice.arrange, &slice.give}) {
    slice.scratchpad_bytes = std::max(slice.scratchpad_bytes, step->scratchpad_bytes());
  }
  return slice;
}

// A layer of medium size under those weights.
SliceKey usual_slice(const WeightKey& key) {
  SliceKey slice = {};
  slice.dtype = key.dtype;
  slice.spatial = key.spatial;
  slice.groups = key.groups;
  slice.channels = key.channels;
  slice.filters = key.filters;
  slice.bias = 1;
  slice.src_order = slice.dst_order = key.order;
  constexpr int64_t kSizes[] = {256, 28, 12};  // of one, two and three dimensions
  for (int64_t d = 0; d < key.spatial; ++d) {
    Side& side = slice.side[d];
    side = key.side[d];
    side.out = kSizes[key.spatial - 1];
    const int64_t needs = (side.out - 1) * side.stride + side.reach() + 1;
    side.in = std::max<int64_t>(1, needs - side.before - side.after);
    side.out = (side.in + side.before + side.after - side.reach() - 1) / side.stride + 1;
  }
  return slice;
}

}  // namespace

std::shared_ptr<Slice> slice_of(const SliceKey& key, const Desc* packed) {
  thread_local Cache<SliceKey, Slice> slices;
  return slices.get(key, [&] { return make_slice(key, packed); });
}

Desc packed_weights(const WeightKey& key) {
  thread_local Cache<WeightKey, Desc> orders;
  return *orders.get(key, [&] { return choose(usual_slice(key), nullptr).weights_desc(); });
}

Desc plain_weights(const WeightKey& key, Order order) {
  return weight_desc(weight_sizes(key.groups, key.filters, key.channels, key.side, key.spatial),
                     key.groups > 1, type_of(static_cast<int32_t>(key.dtype)), order);
}

Desc part_of_weights(const WeightKey& key, const Desc& all, int64_t parts) {
  if (parts == 1) return all;
  if (key.groups > 1 || key.filters % parts != 0) return {};
  const Dims strides = all.get_strides();
  if (std::max_element(strides.begin(), strides.end()) != strides.begin()) return {};
  Dims sizes = all.get_dims();
  sizes[0] /= parts;
  const Desc part = all.submemory_desc(sizes, Dims(sizes.size(), 0), /*allow_empty=*/true);
  if (part.get(true) == nullptr || part.get_size() * parts != all.get_size()) return {};
  return part;
}

}  // namespace polyops::onednn
