#include "torch/call.h"

#include <ATen/Parallel.h>
#include <c10/core/DeviceGuard.h>
#include <c10/util/Exception.h>

#include "loader.h"
#include "stats.h"
#include "torch/context.h"
#include "torch/fingerprint.h"
#include "torch/patch.h"

namespace polyops::torch_binding {
namespace {

struct Declined {
  uint64_t fingerprint = 0;
  const char* reason = nullptr;
};

// Where a thread remembers that call, or another that falls on the same place.
Declined& place_of(uint64_t fingerprint) {
  constexpr int kBits = 8;
  thread_local Declined declined[1 << kBits];
  return declined[fingerprint >> (64 - kBits)];
}

}  // namespace

Call::Call(const Slot& slot, uint64_t fingerprint)
    : slot_(slot),
      threads_(slot.device == c10::kCPU ? available_threads() : 1),
      fingerprint_(Fingerprint(&slot, choices_version(), threads_, fingerprint).value()) {}

bool Call::declined_before() {
  const Declined& known = place_of(fingerprint_);
  return known.fingerprint == fingerprint_ && !decline(known.reason);
}

bool Call::decline(const char* reason) {
  count_declined(slot_.op, reason);
  if (observed()) observe({slot_.overload, nullptr, reason, {}, 0});
  return false;
}

bool Call::takes(const char* kernel_op, const void* args) const {
  const OpTable& table =
      registry().table(c10::DeviceTypeName(slot_.device, /*lower_case=*/true), kernel_op);
  return select(table, args, threads_).candidate != nullptr;
}

bool Call::choose(const void* args, bool remember) {
  if (slot_.device != c10::kCPU) {
    registry().ensure_probed(c10::DeviceTypeName(slot_.device, /*lower_case=*/true));
  }
  if (choose_from(*slot_.table, args)) return true;
  if (remember) place_of(fingerprint_) = {fingerprint_, choice_.reason};
  return decline(choice_.reason);
}

bool Call::choose_from(const OpTable& table, const void* args) {
  table_ = &table;
  choice_ = select(table, args, threads_);
  return choice_.candidate != nullptr;
}

bool Call::launch(const void* args, const at::Tensor& output) {
  if (slot_.device == c10::kCPU) return run(args, output.device());
  const c10::DeviceGuard guard(output.device());
  return run(args, output.device());
}

bool Call::run(const void* args, c10::Device device) {
  for (;;) {
    const polyops_kernel& kernel = *choice_.candidate->kernel;
    const size_t bytes = kernel.scratch_bytes == nullptr ? 0 : kernel.scratch_bytes(args, threads_);
    Scratch scratch(device, bytes);
    const polyops_context context = make_context(device, threads_, scratch.data());
    switch (kernel.launch(args, &context)) {
      case POLYOPS_OK:
        count_hit(slot_.op, kernel.name);
        if (observed()) observe_hit(args);
        return true;
      case POLYOPS_DECLINED:
        break;
      default:
        TORCH_CHECK(false, "polyops: ", kernel.name, ": ", last_error());
    }
    choice_ = select(*table_, args, threads_, choice_.candidate);
    if (choice_.candidate == nullptr) return decline(choice_.reason);
  }
}

void Call::observe_hit(const void* args) const {
  observe({slot_.overload, choice_.candidate->kernel->name, nullptr, table_->op().gate_key(args),
           threads_});
}

}  // namespace polyops::torch_binding
