#include "torch/call.h"

#include <ATen/Parallel.h>
#include <c10/core/DeviceGuard.h>
#include <c10/util/Exception.h>

#include "loader.h"
#include "stats.h"
#include "torch/context.h"
#include "torch/patch.h"

namespace polyops::torch_binding {

bool Call::decline(const char* reason) {
  count_declined(slot_.op, reason);
  if (observed()) observe({slot_.overload, nullptr, reason, {}, 0});
  return false;
}

bool Call::takes(const char* kernel_op, const void* args) const {
  const OpTable& table =
      registry().table(c10::DeviceTypeName(slot_.device, /*lower_case=*/true), kernel_op);
  return select(table, args, available_threads()).candidate != nullptr;
}

bool Call::choose(const void* args) {
  if (slot_.device != c10::kCPU) {
    registry().ensure_probed(c10::DeviceTypeName(slot_.device, /*lower_case=*/true));
  }
  return choose_from(*slot_.table, args) || decline(choice_.reason);
}

bool Call::choose_from(const OpTable& table, const void* args) {
  threads_ = available_threads();
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
