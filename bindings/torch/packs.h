// The weights that polyops.freeze() packed, and which call may read which. A pack is looked up by
// the memory that the weight lies in, so that nothing is attached to a module or a tensor, and it
// counts only as long as that memory holds what was packed: same storage, same place, sizes and
// strides, same version of the weight. Writes that torch does not count (.data, numpy, raw
// pointers) are not noticed.
#ifndef POLYOPS_BINDINGS_TORCH_PACKS_H_
#define POLYOPS_BINDINGS_TORCH_PACKS_H_

#include <ATen/core/Tensor.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "polyops/pack.h"
#include "select.h"

namespace polyops::torch_binding {

struct Pack {
  at::Tensor memory;
  polyops_pack content;
  const OpTable* table;  // of what reads it, on the weight's device
  int64_t groups;        // of a convolution
};

struct PackResult {
  int64_t id = 0;                // 0: not packed,
  const char* reason = nullptr;  // and this is why
};

// What may keep a weight from being packed, beside that no kernel can.
struct PackTerms {
  bool gated;         // not if the gates of this chip let no call read a pack
  int64_t max_bytes;  // nor if it takes more
};

// Of a convolution module: one value for each spatial dimension.
struct PackWindow {
  c10::IntArrayRef stride, padding, dilation;
  int64_t groups;
};

// Packs a weight (n, k) as the rhs of x @ weight.t(), or one of a convolution. What was packed of
// it before is dropped. Not while another thread writes the weight.
PackResult pack_matrix(const at::Tensor& weight, const PackTerms& terms);
PackResult pack_convolution(const at::Tensor& weight, const PackWindow& window,
                            const PackTerms& terms);
// Drops the pack; nothing if it is gone already. Calls that use it finish with it.
void drop_pack(int64_t id);
// Bytes of a pack that still counts; nothing once it was dropped or its weight has changed or died.
std::optional<int64_t> pack_bytes(int64_t id);

// For pack_of() alone.
std::shared_ptr<const Pack> search_packs(const at::Tensor& weight);
extern std::atomic<int64_t> pack_count;

inline bool any_packs() { return pack_count.load(std::memory_order_relaxed) != 0; }

// The pack of a product's rhs (k, n) or a convolution's weight, if there is one. A load and a
// branch while nothing is frozen.
inline std::shared_ptr<const Pack> pack_of(const at::Tensor& weight) {
  return any_packs() ? search_packs(weight) : nullptr;
}

}  // namespace polyops::torch_binding

#endif  // POLYOPS_BINDINGS_TORCH_PACKS_H_
