// aten::native_batch_norm, cudnn_batch_norm and their backwards. F.batch_norm and nn.BatchNorm end
// here.
//
// cuDNN's training keeps a reserve for its backward only where it reads channels_last; there its
// forward is left to it, and an empty reserve is as good to either backward.
#include "polyops/ops/batch_norm.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/cudnn_batch_norm_backward_cuda_dispatch.h>
#include <ATen/ops/cudnn_batch_norm_cuda_dispatch.h>
#include <ATen/ops/native_batch_norm_backward_cpu_dispatch.h>
#include <ATen/ops/native_batch_norm_cpu_dispatch.h>

#include <array>

#include "aten/batch_norm_backward.h"
#include "aten/table.h"
#include "torch/allocate.h"
#include "torch/results.h"
#include "torch/view.h"
#include "torch/wrap.h"

// Null where torch's library for such devices is not loaded, which this module does not link.
namespace at::cuda {
extern __attribute__((weak)) decltype(cudnn_batch_norm) cudnn_batch_norm;
extern __attribute__((weak)) decltype(cudnn_batch_norm_backward) cudnn_batch_norm_backward;
}  // namespace at::cuda

namespace polyops::torch_binding {
namespace {

struct Forward {
  const at::Tensor &input, *weight, *bias, *running_mean, *running_var;
  bool training;
  double momentum, eps;
};

// Everything but the outputs. nullptr, or why not.
const char* prepare(const Forward& f, polyops_batch_norm_args* args) {
  if (const char* reason = describe_images(f.input, &args->src)) return reason;
  ChannelViews views(f.input);
  views.add(f.weight, &args->weight);
  views.add(f.bias, &args->bias);
  views.add(f.running_mean, &args->running_mean);
  views.add(f.running_var, &args->running_var);
  if (views.reason() != nullptr) return views.reason();
  if ((f.running_mean == nullptr) != (f.running_var == nullptr)) return "running moments";
  if (!f.training && f.running_mean == nullptr) return "running moments";
  args->struct_size = sizeof *args;
  args->training = f.training ? 1 : 0;
  args->momentum = f.momentum;
  args->eps = f.eps;
  args->dst = args->src;
  args->mean = args->rstd = absent();
  return nullptr;
}

bool run(Call& call, const Forward& f, const at::Tensor& out, const at::Tensor& mean,
         const at::Tensor& rstd, polyops_batch_norm_args* args) {
  set_input(&args->src, f.input);
  set_channels(&args->weight, f.weight);
  set_channels(&args->bias, f.bias);
  const auto running = f.training ? set_running : set_channels;
  running(&args->running_mean, f.running_mean);
  running(&args->running_var, f.running_var);
  set_output(&args->dst, out);
  if (polyops_is_present(&args->mean)) {
    set_output(&args->mean, mean);
    set_output(&args->rstd, rstd);
  }
  return call.launch(args, out);
}

// Elsewhere than on a CPU float32, and also of running moments.
at::ScalarType moments_dtype(const Forward& f) {
  if (!f.input.is_cpu()) return at::kFloat;
  for (const at::Tensor* t : {f.weight, f.bias, f.running_mean}) {
    if (t != nullptr) return t->scalar_type();
  }
  return f.input.scalar_type();
}

std::optional<Three> batch_norm(Call& call, const at::Tensor& input, const OptionalTensor& weight,
                                const OptionalTensor& bias, const OptionalTensor& running_mean,
                                const OptionalTensor& running_var, bool training, double momentum,
                                double eps) {
  const Forward f = {input,
                     present(weight),
                     present(bias),
                     present(running_mean),
                     present(running_var),
                     training,
                     momentum,
                     eps};
  polyops_batch_norm_args args;
  if (const char* reason = prepare(f, &args)) {
    call.decline(reason);
    return std::nullopt;
  }
  const bool keeps = training || !input.is_cpu();
  const int64_t kept = keeps ? input.size(1) : 0;
  if (keeps) {
    describe_contiguous({kept}, moments_dtype(f), &args.mean);
    args.rstd = args.mean;
  }
  if (!call.choose(&args)) return std::nullopt;
  at::Tensor out = input.is_cpu() ? allocate(input, input.sizes(), input.scalar_type(),
                                             input.suggest_memory_format())
                                  : allocate_as(input);
  at::Tensor mean = allocate(input, {kept}, moments_dtype(f));
  at::Tensor rstd = allocate(input, {kept}, moments_dtype(f));
  if (!run(call, f, out, mean, rstd, &args)) return std::nullopt;
  return Three(std::move(out), std::move(mean), std::move(rstd));
}

std::optional<Four> cudnn_batch_norm(Call& call, const at::Tensor& input, const at::Tensor& weight,
                                     const OptionalTensor& bias, const OptionalTensor& running_mean,
                                     const OptionalTensor& running_var, bool training,
                                     double momentum, double eps) {
  const Forward f = {
      input,    &weight, present(bias), present(running_mean), present(running_var), training,
      momentum, eps};
  polyops_batch_norm_args args;
  const char* reason = check_cudnn(input, weight);
  if (!reason && f.bias == nullptr) reason = "undefined tensor";
  if (!reason && training && is_channels_last(input) && !input.is_contiguous()) reason = "reserve";
  if (!reason) reason = prepare(f, &args);
  if (reason) {
    call.decline(reason);
    return std::nullopt;
  }
  const int64_t kept = training ? input.size(1) : 0;
  if (training) {
    describe_contiguous({kept}, at::kFloat, &args.mean);
    args.rstd = args.mean;
  }
  if (!call.choose(&args)) return std::nullopt;
  at::Tensor out =
      allocate(input, input.sizes(), input.scalar_type(), input.suggest_memory_format());
  at::Tensor mean = allocate(input, {kept}, at::kFloat), rstd = allocate(input, {kept}, at::kFloat);
  if (!run(call, f, out, mean, rstd, &args)) return std::nullopt;
  return Four(std::move(out), std::move(mean), std::move(rstd), allocate(input, {0}, at::kByte));
}

}  // namespace

std::vector<Overload> batch_norm_overloads() {
  static constexpr const char kCopies[] = "stock copies the result of the overload that is taken";
  static constexpr const char kExport[] =
      "what torch.export makes of batch_norm; eager code calls others";
  return {
      {"native_batch_norm", "batch_norm", "batch_norm",
       wrap(batch_norm, at::cpu::native_batch_norm)},
      {"native_batch_norm.out", "batch_norm", "batch_norm", nullptr, "rarely called"},
      {"native_batch_norm_backward", "batch_norm", "batch_norm_backward",
       wrap(batch_norm_backward, at::cpu::native_batch_norm_backward)},
      {"native_batch_norm_backward.out", "batch_norm", "batch_norm_backward", nullptr, kCopies},
      {"cudnn_batch_norm", "batch_norm", "batch_norm",
       wrap(cudnn_batch_norm, at::cuda::cudnn_batch_norm)},
      {"cudnn_batch_norm.out", "batch_norm", "batch_norm", nullptr, "rarely called"},
      {"cudnn_batch_norm_backward", "batch_norm", "batch_norm_backward",
       wrap(cudnn_batch_norm_backward, at::cuda::cudnn_batch_norm_backward)},
      {"cudnn_batch_norm_backward.out", "batch_norm", "batch_norm_backward", nullptr, kCopies},
      {"_native_batch_norm_legit", "batch_norm", "batch_norm", nullptr, kExport},
      {"_batch_norm_with_update", "batch_norm", "batch_norm", nullptr, kExport},
      {"batch_norm_backward", "batch_norm", "batch_norm_backward", nullptr, kExport},
  };
}

}  // namespace polyops::torch_binding
