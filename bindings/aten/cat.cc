// aten::cat. torch.stack, hstack, vstack and their kin end here.
#include "polyops/ops/cat.h"

#include <ATen/core/IListRef.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat_cpu_dispatch.h>
#include <c10/core/MemoryFormat.h>
#include <c10/util/SmallVector.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "aten/table.h"
#include "torch/allocate.h"
#include "torch/view.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

// Of tensors, one of them with elements: what stock concatenates.
struct Parts {
  c10::SmallVector<polyops_tensor, 16> views;
  c10::SmallVector<const at::Tensor*, 16> tensors;
  const at::Tensor* first = nullptr;  // that is not skipped
  std::optional<c10::MemoryFormat> format;
  c10::SmallVector<int64_t, POLYOPS_MAX_RANK> sizes;  // of the result
  int32_t dim = 0;
};

// A tensor of one dimension without elements goes with everything.
bool is_skipped(const at::Tensor& tensor) { return tensor.dim() == 1 && tensor.numel() == 0; }

bool same_but_for(c10::IntArrayRef a, c10::IntArrayRef b, int64_t dim) {
  if (a.size() != b.size()) return false;
  for (int64_t d = 0; d < static_cast<int64_t>(a.size()); ++d) {
    if (d != dim && a[d] != b[d]) return false;
  }
  return true;
}

// The format that all tensors suggest, skipped ones too; contiguous if they differ.
void suggest(const at::Tensor& tensor, std::optional<c10::MemoryFormat>* format) {
  const c10::MemoryFormat own = tensor.suggest_memory_format();
  *format = format->value_or(own) == own ? own : c10::MemoryFormat::Contiguous;
}

const char* add_first(const at::Tensor& tensor, int64_t dim, Parts* parts) {
  const int64_t rank = tensor.dim();
  if (dim < -rank || dim >= rank) return "dim";
  parts->dim = static_cast<int32_t>(dim < 0 ? dim + rank : dim);
  parts->first = &tensor;
  parts->sizes.assign(tensor.sizes().begin(), tensor.sizes().end());
  parts->sizes[parts->dim] = 0;
  return nullptr;
}

// Of one without elements there is nothing to copy, but it may have a name.
const char* describe_part(const at::Tensor& tensor, Parts* parts) {
  polyops_tensor view;
  const char* reason = describe_as(tensor, dtype_of_bits(tensor.scalar_type()), &view);
  if (tensor.numel() == 0) {
    return reason == nullptr || std::string_view(reason) == "empty" ? nullptr : reason;
  }
  if (reason != nullptr) return reason;
  parts->views.push_back(view);
  parts->tensors.push_back(&tensor);
  return nullptr;
}

const char* add(const at::Tensor& tensor, int64_t dim, Parts* parts) {
  if (!tensor.defined()) return "undefined tensor";
  if (tensor.dim() == 0) return "scalar";
  suggest(tensor, &parts->format);
  if (is_skipped(tensor)) return describe_part(tensor, parts);
  if (parts->first == nullptr) {
    if (const char* reason = add_first(tensor, dim, parts)) return reason;
  }
  if (!same_but_for(tensor.sizes(), parts->sizes, parts->dim)) return "shape";
  parts->sizes[parts->dim] += tensor.size(parts->dim);
  return describe_part(tensor, parts);
}

const char* collect(const at::ITensorListRef& tensors, int64_t dim, Parts* parts) {
  const at::Tensor* any = nullptr;
  for (const at::Tensor& tensor : tensors) {
    if (any != nullptr && !same_kind(tensor, *any)) return "mixed dtypes or devices";
    if (const char* reason = add(tensor, dim, parts)) return reason;
    any = &tensor;
  }
  return parts->tensors.empty() ? "empty" : nullptr;
}

void describe_result(const Parts& parts, polyops_cat_args* args) {
  args->struct_size = sizeof *args;
  args->dim = parts.dim;
  args->count = static_cast<int64_t>(parts.views.size());
  args->srcs = parts.views.data();
  args->dst = parts.views[0];
  for (int32_t d = 0; d < args->dst.rank; ++d) args->dst.sizes[d] = parts.sizes[d];
}

void set_strides(c10::MemoryFormat format, polyops_tensor* view) {
  const c10::IntArrayRef sizes(view->sizes, view->rank);
  if (format == c10::MemoryFormat::Contiguous) {
    int64_t stride = 1;
    for (int32_t d = view->rank - 1; d >= 0; --d) {
      view->strides[d] = stride;
      stride *= sizes[d];
    }
    return;
  }
  const auto strides = format == c10::MemoryFormat::ChannelsLast
                           ? c10::get_channels_last_strides_2d(sizes)
                           : c10::get_channels_last_strides_3d(sizes);
  std::copy(strides.begin(), strides.end(), view->strides);
}

bool run(Call& call, Parts* parts, polyops_cat_args* args, const at::Tensor& out) {
  for (size_t i = 0; i < parts->tensors.size(); ++i) {
    set_input(&parts->views[i], *parts->tensors[i]);
  }
  set_output(&args->dst, out);
  return call.launch(args, out);
}

std::optional<at::Tensor> cat(Call& call, const at::ITensorListRef& tensors, int64_t dim) {
  Parts parts;
  if (const char* reason = collect(tensors, dim, &parts)) {
    call.decline(reason);
    return std::nullopt;
  }
  polyops_cat_args args;
  describe_result(parts, &args);
  set_strides(*parts.format, &args.dst);
  if (!call.choose(&args)) return std::nullopt;
  at::Tensor out = allocate(*parts.first, parts.sizes, parts.first->scalar_type(), *parts.format);
  if (!run(call, &parts, &args, out)) return std::nullopt;
  return out;
}

bool cat_out(Call& call, const at::ITensorListRef& tensors, int64_t dim, at::Tensor& out) {
  Parts parts;
  if (const char* reason = collect(tensors, dim, &parts)) return call.decline(reason);
  const at::Tensor& first = *parts.first;
  if (const char* reason = check_out(out, parts.sizes, first)) return call.decline(reason);
  for (const at::Tensor& tensor : tensors) {
    if (shares_storage(out, tensor)) return call.decline("out shares memory with an input");
  }
  polyops_cat_args args;
  describe_result(parts, &args);
  if (const char* reason = describe_as(out, args.dst.dtype, &args.dst)) return call.decline(reason);
  return call.choose(&args) && run(call, &parts, &args, out);
}

}  // namespace

std::vector<Overload> cat_overloads() {
  return {
      {"cat", "cat", "cat", wrap(cat, at::cpu::cat)},
      {"cat.out", "cat", "cat", wrap(cat_out, at::cpu::cat_outf)},
  };
}

}  // namespace polyops::torch_binding
