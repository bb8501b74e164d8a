// The weights that polyops.freeze() packed, and which product may read which. A pack is looked up
// by the memory that rhs lies in, so that nothing is attached to a module or a tensor, and it counts
// only as long as that memory holds what was packed: same storage, same place, sizes and strides,
// same version of the weight. Writes that torch does not count (.data, numpy, raw pointers) are not
// noticed.
#ifndef POLYOPS_BINDINGS_TORCH_PACKS_H_
#define POLYOPS_BINDINGS_TORCH_PACKS_H_

#include <ATen/core/Tensor.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "select.h"

namespace polyops::torch_binding {

struct Pack {
  at::Tensor bytes;
  const char* format;    // gemm_pack's name of the order
  const OpTable* table;  // of gemm_prepacked on the weight's device
};

struct PackResult {
  int64_t id = 0;                // 0: not packed,
  const char* reason = nullptr;  // and this is why
};

// Packs weight (n, k) as the rhs of x @ weight.t(); what was packed of it before is dropped. Not while
// another thread writes the weight. gated: not if the gates of this chip let no product read a pack.
PackResult pack_weight(const at::Tensor& weight, bool gated);
// Drops the pack; nothing if it is gone already. Calls that use it finish with it.
void drop_pack(int64_t id);
// Bytes of a pack that still counts; nothing once it was dropped or its weight has changed or died.
std::optional<int64_t> pack_bytes(int64_t id);

// For pack_of() alone.
std::shared_ptr<const Pack> search_packs(const at::Tensor& rhs);
extern std::atomic<int64_t> pack_count;

inline bool any_packs() { return pack_count.load(std::memory_order_relaxed) != 0; }

// The pack of a rhs (k, n), if there is one. A load and a branch while nothing is frozen.
inline std::shared_ptr<const Pack> pack_of(const at::Tensor& rhs) {
  return any_packs() ? search_packs(rhs) : nullptr;
}

}  // namespace polyops::torch_binding

#endif  // POLYOPS_BINDINGS_TORCH_PACKS_H_
