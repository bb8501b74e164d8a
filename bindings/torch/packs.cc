#include "torch/packs.h"

#include <ATen/ops/empty.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/TensorImpl.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>
#include <utility>

#include "loader.h"
#include "polyops/ops/gemm.h"
#include "torch/context.h"
#include "torch/patch.h"
#include "torch/view.h"

namespace polyops::torch_binding {

std::atomic<int64_t> pack_count{0};

namespace {

struct Entry {
  int64_t id;
  // Kept so that no other storage can come to the same address.
  c10::weak_intrusive_ptr<c10::StorageImpl> storage;
  const void* memory;             // of the storage
  polyops_tensor rhs;             // as a product sees it: (1, k, n)
  c10::VariableVersion versions;  // the weight's own: a view made below autograd has another
  uint32_t version;
  std::shared_ptr<const Pack> pack;

  bool counts() const {
    const auto alive = storage.lock();
    return alive && counts(*alive);
  }
  bool counts(const c10::StorageImpl& alive) const {
    return &alive == storage._unsafe_get_target() && alive.data() == memory &&
           versions.current_version() == version;
  }

  bool is_of(const at::Tensor& tensor) const {
    return tensor.dim() == 2 && dtype_of(tensor.scalar_type()) == rhs.dtype &&
           tensor.size(0) == rhs.sizes[1] && tensor.size(1) == rhs.sizes[2] &&
           tensor.stride(0) == rhs.strides[1] && tensor.stride(1) == rhs.strides[2] &&
           !tensor.is_conj() && !tensor.is_neg();
  }
};

// By the address of the weight's first element. Leaked, like all that outlives the interpreter.
struct Packs {
  std::shared_mutex mutex;
  std::unordered_map<const void*, Entry> by_data;
  int64_t last_id = 0;

  // With the lock held alone.
  template <class Which>
  void erase_if(const Which& which) {
    std::erase_if(by_data, [&](const auto& item) { return which(item.second); });
    pack_count.store(static_cast<int64_t>(by_data.size()), std::memory_order_relaxed);
  }
};

Packs& packs() {
  static auto* instance = new Packs;
  return *instance;
}

const char* cannot_pack(const at::Tensor& weight) {
  if (weight.layout() != c10::kStrided || weight.dim() != 2) return "not a dense matrix";
  if (weight.is_inference()) return "made in inference mode, where torch counts no changes";
  if (weight.is_conj() || weight.is_neg() || weight.numel() == 0) return "layout";
  return nullptr;
}

const char* nobody_reads(const OpTable& readers, bool gated) {
  if (readers.candidates().empty()) return "no kernel of this device reads packed weights";
  const auto is_shut = [](const Candidate& candidate) { return candidate.shut; };
  return gated && std::ranges::all_of(readers.candidates(), is_shut) ? kNotMeasured : nullptr;
}

// The first of the family that knows the dtype. It has no gate: which products read what it wrote is
// decided by theirs.
const polyops_kernel* packer_for(const OpTable& packers, const polyops_gemm_pack_args& args,
                                 const char** reason) {
  for (const Candidate& candidate : packers.candidates()) {
    *reason = candidate.kernel->supports(&args);
    if (*reason == nullptr) return candidate.kernel;
  }
  return nullptr;
}

}  // namespace

PackResult pack_weight(const at::Tensor& weight, bool gated) {
  if (const char* reason = cannot_pack(weight)) return {0, reason};
  const at::Tensor rhs = weight.detach().t();
  const std::string device = c10::DeviceTypeName(weight.device().type(), /*lower_case=*/true);
  registry().ensure_probed(device);

  polyops_gemm_pack_args args = {};
  args.struct_size = sizeof args;
  if (const char* reason = describe(rhs, &args.rhs)) return {0, reason};
  prepend_dimension(&args.rhs);
  const OpTable& readers = registry().table(device, "gemm_prepacked");
  if (const char* reason = nobody_reads(readers, gated)) return {0, reason};
  const char* reason = "no kernel of this device packs weights";
  const polyops_kernel* packer = packer_for(registry().table(device, "gemm_pack"), args, &reason);
  if (packer == nullptr) return {0, reason};

  // Before the weight is read: what changes from here on is noticed.
  const c10::VariableVersion versions = weight.unsafeGetTensorImpl()->version_counter();
  const uint32_t version = versions.current_version();
  auto pack = std::make_shared<Pack>();
  const int64_t bytes = polyops_gemm_packed_bytes(&args.rhs);
  pack->bytes = at::empty({bytes}, weight.options().dtype(at::kByte).requires_grad(false));
  pack->table = &readers;
  set_input(&args.rhs, rhs);
  args.packed = pack->bytes.mutable_data_ptr();
  args.format = &pack->format;
  const c10::OptionalDeviceGuard guard(weight.device());
  const polyops_context context = make_context(weight.device(), available_threads(), nullptr);
  const int status = packer->launch(&args, &context);
  TORCH_CHECK(status != POLYOPS_ERROR, "polyops: ", packer->name, ": ", last_error());
  if (status != POLYOPS_OK) return {0, "declined by its kernel"};

  const auto* data = rhs.const_data_ptr();
  args.rhs.data = nullptr;
  std::lock_guard lock(packs().mutex);
  const int64_t id = ++packs().last_id;
  packs().by_data.insert_or_assign(
      data, Entry{id, rhs.storage().getWeakStorageImpl(), rhs.storage().data(), args.rhs, versions,
                  version, std::move(pack)});
  packs().erase_if([](const Entry& e) { return !e.counts(); });
  choices_changed();
  return {id, nullptr};
}

void drop_pack(int64_t id) {
  std::lock_guard lock(packs().mutex);
  packs().erase_if([id](const Entry& e) { return e.id == id || !e.counts(); });
}

std::optional<int64_t> pack_bytes(int64_t id) {
  std::lock_guard lock(packs().mutex);
  packs().erase_if([](const Entry& e) { return !e.counts(); });
  for (const auto& [data, e] : packs().by_data) {
    if (e.id == id) return e.pack->bytes.numel();
  }
  return std::nullopt;
}

// Waits for nobody: a product goes on without the pack while somebody else changes the packs, and so
// does every product in the child of a fork that happened meanwhile.
std::shared_ptr<const Pack> search_packs(const at::Tensor& rhs) {
  {
    const std::shared_lock lock(packs().mutex, std::try_to_lock);
    if (!lock.owns_lock()) return nullptr;
    const auto it = packs().by_data.find(rhs.const_data_ptr());
    if (it == packs().by_data.end()) {
      // A weight that lies elsewhere now (model.to(), weight.data = ...) is not found anymore, and
      // its pack would stay: look after them now and then.
      thread_local int misses = 0;
      if (++misses % 256 != 0) return nullptr;
    } else if (it->second.counts(*rhs.storage().unsafeGetStorageImpl())) {
      return it->second.is_of(rhs) ? it->second.pack : nullptr;
    }
  }
  const std::unique_lock lock(packs().mutex, std::try_to_lock);
  if (lock.owns_lock()) packs().erase_if([](const Entry& e) { return !e.counts(); });
  return nullptr;
}

}  // namespace polyops::torch_binding
