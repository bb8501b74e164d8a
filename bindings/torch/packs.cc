#include "torch/packs.h"

#include <ATen/ops/empty.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/TensorImpl.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <mutex>
#include <shared_mutex>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "loader.h"
#include "polyops/ops/convolution.h"
#include "polyops/ops/gemm.h"
#include "torch/context.h"
#include "torch/patch.h"
#include "torch/view.h"

namespace polyops::torch_binding {

std::atomic<int64_t> pack_count{0};

namespace {

// A weight as it was when it was packed.
struct Watched {
  const c10::TensorImpl* weight;  // its address alone
  c10::VariableVersion versions;  // its own: a view made below autograd has another
  uint32_t version;

  bool is_unchanged() const { return versions.current_version() == version; }
};

struct Entry {
  int64_t id;
  // Kept so that no other storage can come to the same address.
  c10::weak_intrusive_ptr<c10::StorageImpl> storage;
  const void* memory;   // of the storage
  polyops_tensor view;  // as the call sees it, without data
  // Weights tied by .data are one memory, but torch counts the changes of each apart.
  std::vector<Watched> watched;
  std::shared_ptr<const Pack> pack;

  bool counts() const {
    const auto alive = storage.lock();
    return alive && counts(*alive);
  }
  bool counts(const c10::StorageImpl& alive) const {
    return &alive == storage._unsafe_get_target() && alive.data() == memory &&
           std::ranges::all_of(watched, &Watched::is_unchanged);
  }

  bool is_of(const at::Tensor& tensor) const {
    const auto rank = static_cast<size_t>(view.rank);
    return dtype_of(tensor.scalar_type()) == view.dtype &&
           tensor.sizes() == c10::IntArrayRef(view.sizes, rank) &&
           tensor.strides() == c10::IntArrayRef(view.strides, rank) && !tensor.is_conj() &&
           !tensor.is_neg();
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
    count();
  }
  void count() const {
    pack_count.store(static_cast<int64_t>(by_data.size()), std::memory_order_relaxed);
  }
};

Packs& packs() {
  static auto* instance = new Packs;
  return *instance;
}

constexpr polyops_convolution_window kNoWindow = {{1, 1, 1}, {0, 0, 0}, {1, 1, 1}};

const char* cannot_pack(const at::Tensor& weight) {
  if (weight.layout() != c10::kStrided) return "not dense";
  if (weight.is_inference()) return "made in inference mode, where torch counts no changes";
  if (weight.is_conj() || weight.is_neg() || weight.numel() == 0) return "layout";
  return nullptr;
}

// Drops what was packed of that memory. Returns the other weights by whose changes a pack of it
// ends.
std::vector<Watched> forget(const void* data, const c10::TensorImpl* weight) {
  std::vector<Watched> others;
  std::lock_guard lock(packs().mutex);
  packs().erase_if([](const Entry& e) { return !e.counts(); });
  if (const auto it = packs().by_data.find(data); it != packs().by_data.end()) {
    others = std::move(it->second.watched);
    packs().by_data.erase(it);
    packs().count();
  }
  std::erase_if(others, [weight](const Watched& w) { return w.weight == weight; });
  return others;
}

// Of the device: who packs and who reads.
struct Tables {
  const OpTable& packers;
  const OpTable& readers;
};

// Whether calls can come to a kernel that reads what the packer wrote: one of the same family and
// instruction set.
bool is_read(const Candidate& packer, const OpTable& readers, bool gated) {
  return std::ranges::any_of(readers.candidates(), [&](const Candidate& reader) {
    return reader.backend == packer.backend &&
           std::string_view(reader.kernel->isa) == packer.kernel->isa && !(gated && reader.shut);
  });
}

// The first that knows such a weight and is read, or the first one's reason. Packers have no gates
// of their own.
template <class Args>
const polyops_kernel* packer_for(const Tables& tables, const Args& args, bool gated,
                                 const char** reason) {
  if (tables.readers.candidates().empty() || tables.packers.candidates().empty()) {
    *reason = "no kernel of this device reads packed weights";
    return nullptr;
  }
  *reason = nullptr;
  for (const Candidate& candidate : tables.packers.candidates()) {
    if (!is_read(candidate, tables.readers, gated)) continue;
    const char* why = candidate.kernel->supports(&args);
    if (why == nullptr) return candidate.kernel;
    if (*reason == nullptr) *reason = why;
  }
  if (*reason == nullptr) *reason = kNotMeasured;
  return nullptr;
}

// The weight as calls see it, and which kernels it is for.
struct Packing {
  const at::Tensor& weight;
  polyops_tensor view;
  Tables tables;
  int64_t groups = 1;
};

Tables tables_of(const at::Tensor& weight, const char* packer, const char* reader) {
  const std::string device = c10::DeviceTypeName(weight.device().type(), /*lower_case=*/true);
  registry().ensure_probed(device);
  return {registry().table(device, packer), registry().table(device, reader)};
}

polyops_tensor& operand(polyops_gemm_pack_args& args) { return args.rhs; }
polyops_tensor& operand(polyops_convolution_pack_args& args) { return args.weight; }

template <class Args>
PackResult pack(const Packing& what, const PackTerms& terms, Args args) {
  const void* data = what.weight.const_data_ptr();
  const c10::TensorImpl* impl = what.weight.unsafeGetTensorImpl();
  // First of all: whoever packs again may have written what torch does not count.
  std::vector<Watched> watched = forget(data, impl);
  const char* reason = nullptr;
  const polyops_kernel* packer = packer_for(what.tables, args, terms.gated, &reason);
  if (packer == nullptr) return {0, reason};

  const auto result = std::make_shared<Pack>();
  polyops_pack& content = result->content;
  content = {};
  args.pack = &content;
  const c10::Device device = what.weight.device();
  const c10::OptionalDeviceGuard guard(device);
  const auto run = [&] {
    const polyops_context context = make_context(device, available_threads(), nullptr);
    const int status = packer->launch(&args, &context);
    TORCH_CHECK(status != POLYOPS_ERROR, "polyops: ", packer->name, ": ", last_error());
    return status == POLYOPS_OK;
  };
  if (!run()) return {0, "declined by its kernel"};
  if (content.bytes > terms.max_bytes) return {0, "over max_bytes"};
  // Before the weight is read: what changes from here on is noticed.
  const c10::VariableVersion versions = impl->version_counter();
  watched.push_back({impl, versions, versions.current_version()});
  result->memory =
      at::empty({content.bytes}, what.weight.options().dtype(at::kByte).requires_grad(false));
  content.data = result->memory.mutable_data_ptr();
  result->table = &what.tables.readers;
  result->groups = what.groups;
  operand(args).data = const_cast<void*>(data);
  if (!run()) return {0, "declined by its kernel"};

  const at::Storage& storage = what.weight.storage();
  std::lock_guard lock(packs().mutex);
  const int64_t id = ++packs().last_id;
  packs().by_data.insert_or_assign(data, Entry{id, storage.getWeakStorageImpl(), storage.data(),
                                               what.view, std::move(watched), result});
  packs().erase_if([](const Entry& e) { return !e.counts(); });
  choices_changed();
  return {id, nullptr};
}

}  // namespace

PackResult pack_matrix(const at::Tensor& weight, const PackTerms& terms) {
  if (const char* reason = cannot_pack(weight)) return {0, reason};
  TORCH_CHECK(weight.dim() == 2, "polyops: a matrix has rank 2, not ", weight.dim());
  Packing what = {weight, {}, tables_of(weight, "gemm_pack", "gemm_prepacked")};
  if (const char* reason = describe(weight.detach().t(), &what.view)) return {0, reason};
  polyops_gemm_pack_args args = {sizeof args, 0, what.view, nullptr};
  prepend_dimension(&args.rhs);
  return pack(what, terms, args);
}

PackResult pack_convolution(const at::Tensor& weight, const PackWindow& window,
                            const PackTerms& terms) {
  if (const char* reason = cannot_pack(weight)) return {0, reason};
  const int64_t spatial = weight.dim() - 2;
  TORCH_CHECK(1 <= spatial && spatial <= POLYOPS_MAX_SPATIAL,
              "polyops: a convolution's weight has ", "rank 3 to 5, not ", weight.dim());
  Packing what = {
      weight, {}, tables_of(weight, "convolution_pack", "convolution_prepacked"), window.groups};
  if (const char* reason = describe(weight, &what.view)) return {0, reason};
  polyops_convolution_pack_args args = {sizeof args, static_cast<int32_t>(window.groups), kNoWindow,
                                        what.view, nullptr};
  const auto count = static_cast<size_t>(spatial);
  for (const auto& [from, to] : {std::pair(window.stride, args.window.stride),
                                 std::pair(window.padding, args.window.padding),
                                 std::pair(window.dilation, args.window.dilation)}) {
    TORCH_CHECK(from.size() == count, "polyops: one value for each of ", count, " dimensions");
    std::ranges::copy(from, to);
  }
  return pack(what, terms, args);
}

void drop_pack(int64_t id) {
  std::lock_guard lock(packs().mutex);
  packs().erase_if([id](const Entry& e) { return e.id == id || !e.counts(); });
}

std::optional<int64_t> pack_bytes(int64_t id) {
  std::lock_guard lock(packs().mutex);
  packs().erase_if([](const Entry& e) { return !e.counts(); });
  for (const auto& [data, e] : packs().by_data) {
    if (e.id == id) return e.pack->content.bytes;
  }
  return std::nullopt;
}

// Waits for nobody: a call goes on without the pack while somebody else changes the packs, and so
// does every call in the child of a fork that happened meanwhile.
std::shared_ptr<const Pack> search_packs(const at::Tensor& weight) {
  {
    const std::shared_lock lock(packs().mutex, std::try_to_lock);
    if (!lock.owns_lock()) return nullptr;
    const auto it = packs().by_data.find(weight.const_data_ptr());
    if (it == packs().by_data.end()) {
      // A weight that lies elsewhere now (model.to(), weight.data = ...) is not found anymore, and
      // its pack would stay: look after them now and then.
      thread_local int misses = 0;
      if (++misses % 256 != 0) return nullptr;
    } else if (it->second.counts(*weight.storage().unsafeGetStorageImpl())) {
      return it->second.is_of(weight) ? it->second.pack : nullptr;
    }
  }
  const std::unique_lock lock(packs().mutex, std::try_to_lock);
  if (lock.owns_lock()) packs().erase_if([](const Entry& e) { return !e.counts(); });
  return nullptr;
}

}  // namespace polyops::torch_binding
