// The gradients for rows whose elements do not lie next to each other, where backward_tiles.h does
// not take them: those tensors are copied into the workspace first, turned over by tiles, or from
// there to grad_src, and the kernels for contiguous rows do the rest. Bound: memory, 3 elements
// moved per element and 2 for each tensor that is copied. Few elements are not worth another
// launch.
#ifndef POLYOPS_GPU_LAYER_NORM_BACKWARD_COPIED_H_
#define POLYOPS_GPU_LAYER_NORM_BACKWARD_COPIED_H_

#include "backward_launch_tiles.h"
#include "copy/launch.h"

namespace polyops::gpu {
namespace {

constexpr int64_t kFewestCopied = 1 << 16;  // elements
constexpr size_t kCopyAlignment = 256;

// Of a call: the same one of copies, and how they are made. scratch: null where it is only asked.
template <class Norm>
struct CopiedRows {
  typename Norm::BackwardArgs call;
  polyops_copy_args src, grad_dst, grad_src;  // without a size: none
  bool takes = true;
  size_t bytes;

  CopiedRows(const typename Norm::BackwardArgs& a, char* scratch)
      : call(a), src(), grad_dst(), grad_src(), bytes(backward_scratch<Norm>(&a, 0)) {
    const int first = a.src.rank - a.normalized_rank;
    make_contiguous(&call.src, first, scratch, &src);
    make_contiguous(&call.grad_dst, first, scratch, &grad_dst);
    if (polyops_is_present(&a.grad_src)) {
      make_contiguous(&call.grad_src, first, scratch, &grad_src);
      const polyops_tensor copy = grad_src.dst;
      grad_src.dst = grad_src.src;
      grad_src.src = copy;
    }
    int copies = 0;
    for (const polyops_copy_args* each : {&src, &grad_dst, &grad_src}) {
      if (each->struct_size == 0) continue;
      ++copies;
      takes = takes && copy_takes(*each);
    }
    takes = takes && copies > 0 && polyops_numel(&a.src) >= kFewestCopied;
  }

 private:
  // Of rows that are no run of memory: t becomes a copy of it, `args` what makes that.
  void make_contiguous(polyops_tensor* t, int first, char* scratch, polyops_copy_args* args) {
    if (make_walk<1>({t}, Order::kDimensions, first, t->rank).is_run()) return;
    args->struct_size = sizeof *args;
    args->src = *t;
    const size_t begin = (bytes + kCopyAlignment - 1) / kCopyAlignment * kCopyAlignment;
    int64_t n = 1;
    for (int d = t->rank - 1; d >= 0; --d) {
      t->strides[d] = n;
      n *= t->sizes[d];
    }
    t->data = scratch == nullptr ? nullptr : scratch + begin;
    args->dst = *t;
    bytes = begin + static_cast<size_t>(n * polyops_dtype_size(t->dtype));
  }
};

template <class Norm>
size_t backward_copied_scratch(const void* p, int32_t threads) {
  const CopiedRows<Norm> rows(*static_cast<const typename Norm::BackwardArgs*>(p), nullptr);
  const size_t bytes = rows.takes ? rows.bytes : backward_strided_scratch<Norm>(p, threads);
  const size_t tiled =
      backward_tiles_scratch<Norm>(*static_cast<const typename Norm::BackwardArgs*>(p));
  return bytes > tiled ? bytes : tiled;
}

template <class Norm>
int backward_copied(const void* p, const polyops_context* ctx) {
  const auto& a = *static_cast<const typename Norm::BackwardArgs*>(p);
  const int tiled = launch_backward_tiles<Norm>(a, ctx);
  if (tiled != POLYOPS_DECLINED) return tiled;
  const CopiedRows<Norm> rows(a, static_cast<char*>(ctx->scratch));
  if (!rows.takes) return backward_anywhere<Norm>(p, ctx);
  int status = POLYOPS_OK;
  const auto copy = [&](const polyops_copy_args& args) {
    if (status == POLYOPS_OK && args.struct_size != 0) status = launch_copy(args, ctx);
  };
  copy(rows.src);
  copy(rows.grad_dst);
  if (status == POLYOPS_OK) status = backward_contiguous<Norm>(&rows.call, ctx);
  copy(rows.grad_src);
  return status;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_BACKWARD_COPIED_H_
