// aten::mm, addmm, bmm, baddbmm, addmv and dot in all their forms. nn.Linear, matmul, einsum, mv
// and vdot end here.
#include "polyops/ops/gemm.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/addmm_cpu_dispatch.h>
#include <ATen/ops/addmv_cpu_dispatch.h>
#include <ATen/ops/baddbmm_cpu_dispatch.h>
#include <ATen/ops/bmm_cpu_dispatch.h>
#include <ATen/ops/dot_cpu_dispatch.h>
#include <ATen/ops/mm_cpu_dispatch.h>
#include <c10/core/Scalar.h>

#include "aten/table.h"
#include "torch/allocate.h"
#include "torch/context.h"
#include "torch/packs.h"
#include "torch/view.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

constexpr at::Tensor* kNoOut = nullptr;

// lhs and rhs of a product of matrices (rank 2), of batches of them (rank 3), of a matrix and a
// vector (rank 1), or of two vectors (rank 0).
const char* describe_product(const at::Tensor& lhs, const at::Tensor& rhs, int64_t rank,
                             polyops_gemm_args* args) {
  if (!same_kind(lhs, rhs)) return "mixed dtypes or devices";
  const int64_t lhs_rank = rank < 2 ? rank + 1 : rank;
  if (lhs.dim() != lhs_rank || rhs.dim() != (rank < 2 ? 1 : rank) ||
      lhs.size(lhs_rank - 1) != rhs.size(rank < 2 ? 0 : rank - 2) ||
      (rank == 3 && lhs.size(0) != rhs.size(0))) {
    return "shape";
  }
  if (const char* reason = describe(lhs, &args->lhs)) return reason;
  if (const char* reason = describe(rhs, &args->rhs)) return reason;
  // One long chain of sums, where stock has many: up to 4 times its error.
  if (rank == 0 && !(lhs.is_contiguous() && rhs.is_contiguous())) return "layout";
  args->struct_size = sizeof *args;
  args->reserved = 0;
  args->alpha = 1;
  args->beta = 0;
  args->addend = absent();
  return nullptr;
}

// in_place: the addend is the result, which is described anyway.
const char* describe_addend(const at::Tensor& addend, const at::Scalar& beta,
                            const at::Scalar& alpha, const at::Tensor& lhs, at::IntArrayRef sizes,
                            bool in_place, polyops_gemm_args* args) {
  if (beta.isComplex() || alpha.isComplex()) return "complex alpha or beta";
  if (!same_kind(addend, lhs)) return "mixed dtypes or devices";
  args->alpha = alpha.toDouble();
  args->beta = beta.toDouble();
  if (in_place && args->beta == 0) return nullptr;
  polyops_tensor view;
  if (const char* reason = describe(addend, &view)) return reason;
  if (!expand(&view, sizes)) return "shape";
  if (args->beta != 0) args->addend = view;
  return nullptr;
}

// One attempt for every form. addend: nullptr for mm and bmm. out: nullptr for functional forms;
// may be the addend itself.
struct Product {
  const at::Tensor* addend;
  const at::Tensor& lhs;
  const at::Tensor& rhs;
  int64_t rank;
  const at::Scalar* beta = nullptr;
  const at::Scalar* alpha = nullptr;

  const char* describe_all(const at::Tensor* out, at::IntArrayRef sizes,
                           polyops_gemm_args* args) const {
    const bool in_place = addend != nullptr && out != nullptr && addend->is_same(*out);
    if (addend != nullptr) {
      if (const char* r = describe_addend(*addend, *beta, *alpha, lhs, sizes, in_place, args)) {
        return r;
      }
    }
    if (out == nullptr) {
      describe_contiguous(sizes, lhs.scalar_type(), &args->dst);
    } else {
      if (const char* reason = check_out(*out, sizes, lhs)) return reason;
      if (shares_storage(*out, lhs) || shares_storage(*out, rhs)) {
        return "out shares memory with an input";
      }
      if (addend != nullptr && !in_place && shares_storage(*out, *addend) &&
          !same_view(*out, *addend)) {
        return "out shares memory with an input";
      }
      if (const char* reason = describe(*out, &args->dst)) return reason;
    }
    if (rank == 0) {  // lhs as a row
      for (polyops_tensor* view : {&args->lhs, &args->dst}) prepend_dimension(view);
    }
    if (rank < 2) {  // vectors as columns
      for (polyops_tensor* view : {&args->rhs, &args->dst}) append_dimension(view);
      if (args->beta != 0) append_dimension(&args->addend);
    }
    if (rank < 3) {
      for (polyops_tensor* view : {&args->lhs, &args->rhs, &args->dst}) prepend_dimension(view);
      if (args->beta != 0) prepend_dimension(&args->addend);
    }
    return nullptr;
  }

  // The result, out itself if there is one; undefined if the call is left to stock.
  at::Tensor attempt(Call& call, const at::Tensor* out) const {
    polyops_gemm_args args;
    const char* reason = describe_product(lhs, rhs, rank, &args);
    if (reason != nullptr) {
      call.decline(reason);
      return {};
    }
    std::array<int64_t, 3> sizes;  // batch, rows, columns: those that the rank has
    size_t count = 0;
    if (rank == 3) sizes[count++] = lhs.size(0);
    if (rank > 0) sizes[count++] = lhs.size(lhs.dim() - 2);
    if (rank > 1) sizes[count++] = rhs.size(rank - 1);
    const at::IntArrayRef shape(sizes.data(), count);
    reason = describe_all(out, shape, &args);
    if (reason != nullptr) {
      call.decline(reason);
      return {};
    }
    // Weights that were packed by polyops.freeze(), if a kernel is the faster for it.
    const std::shared_ptr<const Pack> pack = rank == 2 ? pack_of(rhs) : nullptr;
    polyops_gemm_prepacked_args prepacked;
    const void* chosen = &args;
    if (pack != nullptr) {
      prepacked = {sizeof prepacked, 0, &args, &pack->content};
      if (call.choose_from(*pack->table, &prepacked)) chosen = &prepacked;
    }
    // Of two products alike one may have a pack.
    if (chosen == &args && !call.choose(&args, /*remember=*/!any_packs())) return {};
    // Stock may be much faster at those. Asked only now: the answer takes a walk through two maps.
    if (lhs.scalar_type() == at::kFloat && bf16_products_allowed(lhs.device().type())) {
      call.decline("bfloat16 products are allowed");
      return {};
    }
    at::Tensor result = out == nullptr ? allocate(lhs, shape, lhs.scalar_type()) : *out;
    set_output(&args.dst, result);
    set_input(&args.lhs, lhs);
    set_input(&args.rhs, rhs);
    if (args.beta != 0) set_input(&args.addend, *addend);
    return call.launch(chosen, result) ? result : at::Tensor();
  }

  std::optional<at::Tensor> functional(Call& call) const {
    at::Tensor result = attempt(call, kNoOut);
    return result.defined() ? std::optional(std::move(result)) : std::nullopt;
  }
  bool into(Call& call, const at::Tensor& out) const { return attempt(call, &out).defined(); }
};

template <int kRank>
std::optional<at::Tensor> product(Call& call, const at::Tensor& lhs, const at::Tensor& rhs) {
  return Product{nullptr, lhs, rhs, kRank}.functional(call);
}

template <int kRank>
bool product_out(Call& call, const at::Tensor& lhs, const at::Tensor& rhs, at::Tensor& out) {
  return Product{nullptr, lhs, rhs, kRank}.into(call, out);
}

template <int kRank>
std::optional<at::Tensor> add_product(Call& call, const at::Tensor& self, const at::Tensor& lhs,
                                      const at::Tensor& rhs, const at::Scalar& beta,
                                      const at::Scalar& alpha) {
  return Product{&self, lhs, rhs, kRank, &beta, &alpha}.functional(call);
}

template <int kRank>
bool add_product_out(Call& call, const at::Tensor& self, const at::Tensor& lhs,
                     const at::Tensor& rhs, const at::Scalar& beta, const at::Scalar& alpha,
                     at::Tensor& out) {
  return Product{&self, lhs, rhs, kRank, &beta, &alpha}.into(call, out);
}

template <int kRank>
bool add_product_inplace(Call& call, at::Tensor& self, const at::Tensor& lhs, const at::Tensor& rhs,
                         const at::Scalar& beta, const at::Scalar& alpha) {
  return Product{&self, lhs, rhs, kRank, &beta, &alpha}.into(call, self);
}

constexpr const char kActivation[] = "stock calls addmm_out's code and then relu_ or gelu_";
constexpr const char kOutDtype[] = "exists for CUDA alone";
constexpr const char kVector[] = "stock calls addmv_";
constexpr const char kVectorOut[] = "stock calls addmv.out";

}  // namespace

std::vector<Overload> gemm_overloads() {
  return {
      {"mm", "mm", "gemm", wrap(product<2>, at::cpu::mm)},
      {"mm.out", "mm", "gemm", wrap(product_out<2>, at::cpu::mm_outf)},
      {"mm.dtype", "mm", "gemm", nullptr, kOutDtype},
      {"mm.dtype_out", "mm", "gemm", nullptr, kOutDtype},
      {"addmm", "addmm", "gemm", wrap(add_product<2>, at::cpu::addmm)},
      {"addmm.out", "addmm", "gemm", wrap(add_product_out<2>, at::cpu::addmm_outf)},
      {"addmm_", "addmm", "gemm", wrap(add_product_inplace<2>, at::cpu::addmm_)},
      {"addmm.dtype", "addmm", "gemm", nullptr, kOutDtype},
      {"addmm.dtype_out", "addmm", "gemm", nullptr, kOutDtype},
      {"_addmm_activation", "addmm", "gemm", nullptr, kActivation},
      {"_addmm_activation.out", "addmm", "gemm", nullptr, kActivation},
      {"addmv", "addmv", "gemm", wrap(add_product<1>, at::cpu::addmv)},
      {"addmv.out", "addmv", "gemm", wrap(add_product_out<1>, at::cpu::addmv_outf)},
      {"addmv_", "addmv", "gemm", wrap(add_product_inplace<1>, at::cpu::addmv_)},
      {"mv", "addmv", "gemm", nullptr, kVector},
      {"mv.out", "addmv", "gemm", nullptr, kVectorOut},
      {"dot", "dot", "gemm", wrap(product<0>, at::cpu::dot)},
      {"dot.out", "dot", "gemm", nullptr, "stock calls dot"},
      {"vdot", "dot", "gemm", nullptr, "stock calls dot, unless they are complex"},
      {"vdot.out", "dot", "gemm", nullptr, "stock calls vdot"},
      {"bmm", "bmm", "gemm", wrap(product<3>, at::cpu::bmm)},
      {"bmm.out", "bmm", "gemm", wrap(product_out<3>, at::cpu::bmm_outf)},
      {"bmm.dtype", "bmm", "gemm", nullptr, kOutDtype},
      {"bmm.dtype_out", "bmm", "gemm", nullptr, kOutDtype},
      {"baddbmm", "baddbmm", "gemm", wrap(add_product<3>, at::cpu::baddbmm)},
      {"baddbmm.out", "baddbmm", "gemm", wrap(add_product_out<3>, at::cpu::baddbmm_outf)},
      {"baddbmm_", "baddbmm", "gemm", wrap(add_product_inplace<3>, at::cpu::baddbmm_)},
      {"baddbmm.dtype", "baddbmm", "gemm", nullptr, kOutDtype},
      {"baddbmm.dtype_out", "baddbmm", "gemm", nullptr, kOutDtype},
  };
}

}  // namespace polyops::torch_binding
