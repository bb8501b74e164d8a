// gemm_onednn__torch: bfloat16 nn.Linear by mkldnn::_linear_pointwise, oneDNN's inner product,
// where stock's addmm takes oneDNN's matmul. On Zen 4 it gains up to 1.08x (few columns) and loses
// down to 0.91x (one row), so all depends on its gates. The op returns a new tensor: the copy into
// dst costs 2-3 %.
#include "torch/torch_family.h"

#include <ATen/Context.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/List.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/ScalarTypeToTypeMeta.h>

#include <exception>
#include <optional>

#include "loader.h"
#include "polyops/ops/gemm.h"

namespace polyops::torch_binding {
namespace {

using LinearPointwise = at::Tensor(const at::Tensor&, const at::Tensor&,
                                   const std::optional<at::Tensor>&, c10::string_view,
                                   c10::List<std::optional<at::Scalar>>,
                                   std::optional<c10::string_view>);

const std::optional<c10::OperatorHandle>& linear_pointwise() {
  static const auto* handle = new std::optional<c10::OperatorHandle>(
      c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""}));
  return *handle;
}

bool is_row_major(const polyops_tensor& t) {
  return t.strides[2] == 1 && (t.sizes[1] == 1 || t.strides[1] == t.sizes[2]);
}

const char* supports(const void* data) {
  const auto& args = *static_cast<const polyops_gemm_args*>(data);
  if (args.lhs.dtype != POLYOPS_BFLOAT16) return "dtype";
  const polyops_tensor& rhs = args.rhs;
  const bool transposed =
      rhs.strides[1] == 1 && (rhs.sizes[2] == 1 || rhs.strides[2] == rhs.sizes[1]);
  if (args.lhs.sizes[0] != 1 || !transposed || !is_row_major(args.lhs) || !is_row_major(args.dst)) {
    return "layout";
  }
  if (args.alpha != 1) return "alpha";
  if (polyops_is_present(&args.addend)) {
    const bool bias = args.addend.strides[1] == 0 && args.addend.strides[2] == 1;
    if (args.beta != 1 || !bias) return "addend";
  }
  return nullptr;
}

at::Tensor view(const polyops_tensor& t, at::IntArrayRef sizes) {
  return at::from_blob(t.data, sizes, at::TensorOptions().dtype(at::kBFloat16));
}

void multiply(const polyops_gemm_args& args) {
  const at::AutoDispatchBelowADInplaceOrView below_autograd;
  const int64_t m = args.dst.sizes[1], n = args.dst.sizes[2], k = args.lhs.sizes[2];
  std::optional<at::Tensor> bias;
  if (polyops_is_present(&args.addend)) bias = view(args.addend, {n});
  view(args.dst, {m, n})
      .copy_(linear_pointwise()->typed<LinearPointwise>().call(
          view(args.lhs, {m, k}), view(args.rhs, {n, k}), bias, "none",
          c10::List<std::optional<at::Scalar>>(), ""));
}

int launch(const void* data, const polyops_context*) {
  if (!at::globalContext().userEnabledMkldnn()) return POLYOPS_DECLINED;
  try {
    multiply(*static_cast<const polyops_gemm_args*>(data));
    return POLYOPS_OK;
  } catch (const std::exception& e) {
    set_error(e.what());
    return POLYOPS_ERROR;
  }
}

std::string& chip_name() {
  static auto* name = new std::string;
  return *name;
}

const char* chip() { return chip_name().c_str(); }
const char* features() { return "mkldnn"; }
int probe(char*, size_t) { return 1; }

constexpr polyops_kernel kKernels[] = {
    {sizeof(polyops_kernel), "gemm", "gemm_onednn__torch", "", supports, nullptr, launch}};
constexpr polyops_backend kBackend = {sizeof(polyops_backend),
                                      POLYOPS_ABI_VERSION,
                                      "torch",
                                      "cpu",
                                      probe,
                                      chip,
                                      features,
                                      nullptr,
                                      nullptr,
                                      kKernels,
                                      std::size(kKernels)};

}  // namespace

const polyops_backend* torch_family(const std::string& cpu_chip) {
  if (!at::globalContext().hasMKLDNN() || !linear_pointwise()) return nullptr;
  chip_name() = cpu_chip;
  return &kBackend;
}

}  // namespace polyops::torch_binding
