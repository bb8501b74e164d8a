// How a call of convolution is cut into slices.
#ifndef POLYOPS_ONEDNN_CONVOLUTION_PLAN_H_
#define POLYOPS_ONEDNN_CONVOLUTION_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "convolution_slice.h"

namespace polyops::onednn {

// A call without its data.
struct CallKey {
  int64_t batch, threads;
  SliceKey whole;  // one image and all filters; parts = 1

  double products() const;  // multiply-adds of one image
  bool has_pack() const { return whole.pack.dtype != 0; }
};

// Slices alike, but for where they begin.
struct Kind {
  SliceKey key;
  dnnl::memory::desc packed;  // empty without a pack
  size_t layout;              // of its weights

  const dnnl::memory::desc* pack() const { return packed.is_zero() ? nullptr : &packed; }
};

// Rows of the first spatial dimension.
struct Band {
  int64_t first_in, first_out;
  size_t kind;
};

// An order of the weights that some kinds want.
struct WeightLayout {
  enum class Source { kPack, kPlain, kCopy } source;
  size_t kind;        // whose `arrange` makes the copy
  size_t offset;      // of the copy in the scratch that threads share
  size_t part_bytes;  // from one part of the filters to the next
};

struct Plan {
  int64_t parts = 1;
  std::vector<Band> bands;
  std::vector<Kind> kinds;
  std::vector<WeightLayout> layouts;
  size_t shared_bytes = 0;                             // copies of weights
  size_t src_bytes = 0, dst_bytes = 0, own_bytes = 0;  // of each thread; the last: all together

  int64_t units_of_image() const { return parts * static_cast<int64_t>(bands.size()); }
};

// Makes the primitives of all kinds on the calling thread, which keeps them. Throws dnnl::error.
std::shared_ptr<Plan> plan_of(const CallKey& key);

}  // namespace polyops::onednn

#endif  // POLYOPS_ONEDNN_CONVOLUTION_PLAN_H_
