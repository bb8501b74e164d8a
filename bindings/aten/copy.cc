// aten::copy_ of two tensors of one dtype on one device. Tensor.contiguous, clone, reshape and to
// end here, and so does much that no kernel of ours has a part in: other dtypes, other devices,
// memory that is one run. Those are seen before anything else is done.
#include "polyops/ops/copy.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/copy_compositeexplicitautograd_dispatch.h>

#include "aten/table.h"
#include "torch/view.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

// Whether both lie in one order without gaps: stock copies them as memory.
bool is_one_run(const at::Tensor& self, const at::Tensor& src) {
  if (self.is_contiguous()) return src.is_contiguous();
  return self.strides() == src.strides() && self.is_non_overlapping_and_dense();
}

const char* declined_at_once(at::Tensor& self, const at::Tensor& src, bool) {
  if (!same_kind(self, src)) return "mixed dtypes or devices";
  if (self.layout() != c10::kStrided || src.layout() != c10::kStrided) return "layout";
  if (self.sizes() != src.sizes()) return "broadcast";
  return is_one_run(self, src) ? "one run of memory" : nullptr;
}

// Behind the last element. Strides are never negative.
const char* end_of(const polyops_tensor& view, const at::Tensor& tensor) {
  int64_t last = 0;
  for (int32_t d = 0; d < view.rank; ++d) last += (view.sizes[d] - 1) * view.strides[d];
  return static_cast<const char*>(tensor.const_data_ptr()) + (last + 1) * tensor.element_size();
}

// As far as their ends say.
bool may_overlap(const polyops_copy_args& args, const at::Tensor& self, const at::Tensor& src) {
  return static_cast<const char*>(self.const_data_ptr()) < end_of(args.src, src) &&
         static_cast<const char*>(src.const_data_ptr()) < end_of(args.dst, self);
}

bool copy(Call& call, at::Tensor& self, const at::Tensor& src, bool) {
  polyops_copy_args args;
  args.struct_size = sizeof args;
  args.reserved = 0;
  const int32_t dtype = dtype_of_bits(self.scalar_type());
  const char* reason = describe_as(src, dtype, &args.src);
  if (!reason) reason = describe_as(self, dtype, &args.dst);
  if (!reason) reason = check_out(self, src.sizes(), src);
  if (reason) return call.decline(reason);
  if (!call.choose(&args)) return false;
  if (may_overlap(args, self, src)) return call.decline("out shares memory with an input");
  set_output(&args.dst, self);
  set_input(&args.src, src);
  return call.launch(&args, self);
}

}  // namespace

std::vector<Overload> copy_overloads() {
  static constexpr char kCalls[] = "stock's kernel calls copy_, which is taken";
  return {
      {"copy_", "copy", "copy", wrap(copy, at::compositeexplicitautograd::copy_, declined_at_once),
       nullptr, "RegisterCompositeExplicitAutograd"},
      {"copy", "copy", "copy", nullptr, kCalls},
      {"copy.out", "copy", "copy", nullptr, kCalls},
  };
}

}  // namespace polyops::torch_binding
