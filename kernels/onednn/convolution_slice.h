// What one thread does of a convolution at a time: a band of one image's rows, by all filters or by
// a part of them. src and dst are copied into and from another order where oneDNN wants another
// one.
#ifndef POLYOPS_ONEDNN_CONVOLUTION_SLICE_H_
#define POLYOPS_ONEDNN_CONVOLUTION_SLICE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>

#include "polyops/ops/convolution.h"
#include "runtime.h"

namespace polyops::onednn {

// One spatial dimension; before and after are its paddings.
struct Side {
  int64_t in, out, taps, stride, dilation, before, after;

  // From the first tap to the last.
  int64_t reach() const { return taps == 0 ? 0 : dilation * (taps - 1); }
};

// The three orders of what has channels and pixels: dense with either of both innermost.
enum Order : int64_t { kPlanes, kLast };

// A weight as it was packed: oneDNN is asked again for the order, and says the same.
struct WeightKey {
  int64_t dtype, spatial, groups, channels, filters;  // of each group
  int64_t order;                                      // of the images to come
  Side side[POLYOPS_MAX_SPATIAL];                     // taps and window; the rest is 0
};

struct SliceKey {
  int64_t dtype, spatial, groups, channels, filters;  // of each group, of this part
  int64_t bias;
  Side side[POLYOPS_MAX_SPATIAL];
  int64_t src_order, dst_order, weight_order;
  // Of what the slice is cut from: elements between two channels of planes, or two pixels.
  int64_t src_step, dst_step;
  int64_t parts;   // with a pack: into how many its filters are cut
  WeightKey pack;  // 0 without one
};

struct Slice {
  dnnl::memory::desc weights;           // as convolve reads them
  bool weights_in_place = false;        // which is how they lie
  size_t src_bytes = 0, dst_bytes = 0;  // of the copies; 0 for none
  size_t scratchpad_bytes = 0;          // the largest of all steps
  Step convolve;                        // src, weights, dst, bias
  Step take, arrange, give;             // of src, of weights, of dst
};

// Kept by the calling thread. packed: how the part of the pack lies; nullptr without one. Throws
// dnnl::error.
std::shared_ptr<Slice> slice_of(const SliceKey& key, const dnnl::memory::desc* packed);

// The order of all filters together.
dnnl::memory::desc packed_weights(const WeightKey& key);

// How the first of so many equal parts of the filters lies; the others follow. Empty if filters
// cannot be told apart like that.
dnnl::memory::desc part_of_weights(const WeightKey& key, const dnnl::memory::desc& all,
                                   int64_t parts);

// Dense weights of those filters.
dnnl::memory::desc plain_weights(const WeightKey& key, Order order);

}  // namespace polyops::onednn

#endif  // POLYOPS_ONEDNN_CONVOLUTION_SLICE_H_
