// cat: copies bits. Bound: memory, each element read and written once; one launch for 38 inputs, or
// for 12 whose dimensions merge into more than three. Large inputs that lie otherwise than the
// result, whose rows would be single elements, are each one launch of copy's kernels; so are, four
// at a time, larger ones whose rows begin anywhere in their 16 bytes, for copy finds a row once for
// all its packs.
#include "copy.h"
#include "copy/launch.h"
#include "interleave.h"
#include "pieces.h"
#include "polyops/ops/cat.h"
#include "row.h"
#include "table.h"

namespace polyops::gpu {
namespace {

const char* cat_supports(const void* data) {
  const auto& a = *static_cast<const polyops_cat_args*>(data);
  if (polyops_dtype_size(a.dst.dtype) == 0) return "dtype";
  if (polyops_numel(&a.dst) > kMostElements) return "size";
  int64_t together = 0;
  for (int64_t i = 0; i < a.count; ++i) {
    const polyops_tensor& src = a.srcs[i];
    if (src.dtype != a.dst.dtype) return "dtype";
    if (src.rank != a.dst.rank) return "shape";
    for (int d = 0; d < src.rank; ++d) {
      if (d != a.dim && src.sizes[d] != a.dst.sizes[d]) return "shape";
    }
    together += src.sizes[a.dim];
  }
  return together == a.dst.sizes[a.dim] ? nullptr : "shape";
}

// Where an input goes that begins at that place along dim.
polyops_tensor slab_of(const polyops_cat_args& a, const polyops_tensor& src, int64_t begin) {
  polyops_tensor slab = a.dst;
  slab.sizes[a.dim] = src.sizes[a.dim];
  slab.data = static_cast<char*>(a.dst.data) +
              begin * a.dst.strides[a.dim] * polyops_dtype_size(a.dst.dtype);
  return slab;
}

// Bytes of an input from which on it goes apart from the others: by a launch of its own if it is
// turned over, or, if its rows are long and begin anywhere, with all such, of that many together.
constexpr int64_t kApart = 2 << 20;
constexpr int64_t kRowsLaunch = 16 << 20;

enum class Way { kPieces, kTurned, kShifted };

Way way_of(const polyops_tensor& src, const polyops_tensor& slab) {
  if (polyops_numel(&src) * polyops_dtype_size(src.dtype) < kApart) return Way::kPieces;
  const polyops_copy_args args = {sizeof(polyops_copy_args), 0, src, slab};
  if (copy_turns(args)) return Way::kTurned;
  return copy_shifts_rows(args) ? Way::kShifted : Way::kPieces;
}

// Whether what is kShifted is worth a launch.
bool launches_shifted(const polyops_cat_args& a) {
  const int64_t row = polyops_numel(&a.dst) / a.dst.sizes[a.dim];
  int64_t begin = 0, bytes = 0;
  for (int64_t i = 0; i < a.count; begin += a.srcs[i++].sizes[a.dim]) {
    const polyops_tensor& src = a.srcs[i];
    if (way_of(src, slab_of(a, src, begin)) != Way::kShifted) continue;
    bytes += row * src.sizes[a.dim] * polyops_dtype_size(src.dtype);
  }
  return bytes >= kRowsLaunch;
}

// Whether launch_apart() copies the input. slab: where it goes.
bool goes_apart(const polyops_tensor& src, const polyops_tensor& slab, bool shifted) {
  const Way way = way_of(src, slab);
  return way == Way::kTurned || (shifted && way == Way::kShifted);
}

int launch_apart(const polyops_cat_args& a, bool shifted_too, const polyops_context* ctx) {
  constexpr int kMostShifted = 32;
  polyops_copy_args shifted[kMostShifted];
  int count = 0;
  int64_t begin = 0;
  for (int64_t i = 0; i < a.count; begin += a.srcs[i++].sizes[a.dim]) {
    const polyops_tensor slab = slab_of(a, a.srcs[i], begin);
    if (!goes_apart(a.srcs[i], slab, shifted_too)) continue;
    const polyops_copy_args args = {sizeof(polyops_copy_args), 0, a.srcs[i], slab};
    int status = POLYOPS_OK;
    if (copy_turns(args)) {
      status = launch_copy(args, ctx);
    } else {
      shifted[count++] = args;
      if (count == kMostShifted) {
        status = launch_shifted_rows(shifted, count, ctx);
        count = 0;
      }
    }
    if (status != POLYOPS_OK) return status;
  }
  return count == 0 ? POLYOPS_OK : launch_shifted_rows(shifted, count, ctx);
}

// The inputs that launch_apart() leaves.
template <class T, int kLevels>
int launch_pieces(const polyops_cat_args& a, bool shifted_apart, const polyops_context* ctx) {
  Pieces<kLevels> all;
  all.count = 0;
  uint32_t blocks = 0;
  int64_t begin = 0;
  bool aligned = true;
  for (int64_t i = 0; i < a.count; begin += a.srcs[i++].sizes[a.dim]) {
    const polyops_tensor slab = slab_of(a, a.srcs[i], begin);
    if (!goes_apart(a.srcs[i], slab, shifted_apart)) {
      all.first_block[all.count] = blocks;
      Piece<kLevels>& p = all.piece[all.count++];
      make_piece(a.srcs[i], slab, &p);
      blocks += divide(&p, sizeof(T));
      aligned = aligned && p.aligned != 0;
    }
    const bool more = i + 1 < a.count && all.count < Pieces<kLevels>::kMost;
    if (more || all.count == 0) continue;
    const int status = gpu::launch(aligned ? cat_aligned_pieces<kLevels> : cat_pieces<T, kLevels>,
                                   {blocks, kCatThreads}, ctx, all);
    if (status != POLYOPS_OK) return status;
    all.count = 0;
    blocks = 0;
    aligned = true;
  }
  return POLYOPS_OK;
}

// False if that is not what the inputs are.
template <class T, int kInputs>
bool launch_interleaved(const polyops_cat_args& a, const polyops_context* ctx, int* status) {
  if (a.count != kInputs) return false;
  Piece<2> pieces[kInputs];
  for (int i = 0; i < kInputs; ++i) {
    if (a.srcs[i].sizes[a.dim] != 1) return false;
    if (!make_piece(a.srcs[i], slab_of(a, a.srcs[i], i), &pieces[i])) return false;
  }
  Interleaved<kInputs> call;
  if (!interleaves<T>(pieces, &call)) return false;
  *status =
      gpu::launch(cat_interleaved<T, kInputs>, {blocks_for(call.packs), kCatThreads}, ctx, call);
  return true;
}

template <class T>
int launch_as(const polyops_cat_args& a, const polyops_context* ctx) {
  int status;
  if constexpr (sizeof(T) > 1) {
    if (launch_interleaved<T, 2>(a, ctx, &status)) return status;
  }
  if constexpr (sizeof(T) == 2 || sizeof(T) == 4) {
    if (launch_interleaved<T, 4>(a, ctx, &status)) return status;
  }
  const bool shifted_apart = launches_shifted(a);
  status = launch_apart(a, shifted_apart, ctx);
  if (status != POLYOPS_OK) return status;
  bool few = true;
  for (int64_t i = 0; few && i < a.count; ++i) {
    Piece<2> p;
    few = make_piece(a.srcs[i], slab_of(a, a.srcs[i], 0), &p);
  }
  return few ? launch_pieces<T, 2>(a, shifted_apart, ctx)
             : launch_pieces<T, POLYOPS_MAX_RANK>(a, shifted_apart, ctx);
}

int cat(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_cat_args*>(data);
  switch (polyops_dtype_size(a.dst.dtype)) {
    case 1:
      return launch_as<uint8_t>(a, ctx);
    case 2:
      return launch_as<uint16_t>(a, ctx);
    case 4:
      return launch_as<uint32_t>(a, ctx);
    default:
      return launch_as<uint64_t>(a, ctx);
  }
}

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(cat, POLYOPS_GPU_KERNEL("cat", "cat", cat_supports, nullptr, cat))
