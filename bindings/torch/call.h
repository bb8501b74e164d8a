// One call of a wrapped overload: choose a kernel, then run it. Or decline, and stock runs.
#ifndef POLYOPS_BINDINGS_TORCH_CALL_H_
#define POLYOPS_BINDINGS_TORCH_CALL_H_

#include <ATen/core/Tensor.h>

#include "select.h"

namespace polyops::torch_binding {

// An overload on one device. Lives as long as the process.
struct Slot {
  const char* overload;  // "aten::_softmax.out"
  int op;                // index into public_ops()
  c10::DeviceType device;
  OpTable* table;  // the candidates of its kernel op on that device
};

class Call {
 public:
  // fingerprint: of the call's arguments.
  Call(const Slot& slot, uint64_t fingerprint);

  // Whether this thread found before that no kernel takes such a call, and nothing changed since;
  // counted. Declining then costs 0.1 us, not 0.25 (0.4 where the caches were swept before).
  bool declined_before();

  // Counts the call as declined and returns false, so that an attempt can end with it.
  bool decline(const char* reason);

  // Whether another op of the same device and public op takes args. Counts nothing.
  bool takes(const char* kernel_op, const void* args) const;

  // Picks the kernel for args, whose outputs have no data yet. False: none takes it; counted, and
  // remembered if that holds for every call with this fingerprint.
  bool choose(const void* args, bool remember = true);
  // The same from another op's table. False: none takes it, and nothing is counted.
  bool choose_from(const OpTable& table, const void* args);

  // Runs it once the outputs are there. False: every candidate declined and nothing was written;
  // counted. Throws c10::Error when a kernel fails.
  bool launch(const void* args, const at::Tensor& output);

 private:
  bool run(const void* args, c10::Device device);
  void observe_hit(const void* args) const;

  const Slot& slot_;
  const OpTable* table_ = nullptr;  // that choice_ comes from
  Choice choice_;
  int threads_;
  uint64_t fingerprint_;  // of all that a choice rests on
};

}  // namespace polyops::torch_binding

#endif  // POLYOPS_BINDINGS_TORCH_CALL_H_
