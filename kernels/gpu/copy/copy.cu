// copy: copies bits between layouts. Bound: memory, each element read and written once.
//
// By what lies next to each other: where that is one dimension in both tensors, rows;
// where it is another in each, tiles that are turned over, or runs where the source's is
// short; else, and where tiles would be mostly air, a result that is one run is gathered pack by pack. Tensors that both lie in one order
// without gaps are one copy of memory, which is stock's.
#include "copy/gather.h"
#include "copy/narrow.h"
#include "copy/rows.h"
#include "copy/turn.h"
#include "polyops/ops/copy.h"
#include "row.h"
#include "table.h"

namespace polyops::gpu {
namespace {

enum class Way { kRun, kRows, kTiles, kNarrow, kGather, kNone };

// Tiles that are emptier read more than they need.
constexpr double kMostWaste = 4;

// Elements of the result's rows, from which on they are taken from a run of the source.
constexpr int64_t kLongRow = 256;

template <class T>
bool fills_tiles(const Walk<2>& walk, int x) {
  return best_shape<T>(walk.sizes[x], walk.sizes[0], 0).waste < kMostWaste;
}

bool fills_tiles(const Walk<2>& walk, int x, int64_t width) {
  switch (width) {
    case 1:
      return fills_tiles<uint8_t>(walk, x);
    case 2:
      return fills_tiles<uint16_t>(walk, x);
    case 4:
      return fills_tiles<uint32_t>(walk, x);
    default:
      return fills_tiles<uint64_t>(walk, x);
  }
}

Way way_of(const Walk<2>& walk, int64_t width) {
  if (walk.is_run()) return Way::kRun;
  const bool dense = is_dense_result(walk);
  if (walk.strides[0][0] == 1 && walk.strides[1][0] == 1) {
    return dense && walk.sizes[0] * width < kShortRow ? Way::kGather : Way::kRows;
  }
  const int x = turned_dimension(walk);
  const bool fills = x != 0 && fills_tiles(walk, x, width);
  // Short rows of the result are gathered, or a block would have few packs of them.
  if (!fills && is_narrow(walk, x, width) && walk.sizes[0] >= kLongRow) return Way::kNarrow;
  if (fills || (x != 0 && !dense)) return Way::kTiles;
  return dense ? Way::kGather : Way::kNone;
}

const char* copy_supports(const void* data) {
  const auto& a = *static_cast<const polyops_copy_args*>(data);
  const int64_t width = polyops_dtype_size(a.dst.dtype);
  if (width == 0 || a.src.dtype != a.dst.dtype) return "dtype";
  if (a.src.rank != a.dst.rank) return "shape";
  for (int d = 0; d < a.dst.rank; ++d) {
    if (a.src.sizes[d] != a.dst.sizes[d]) return "shape";
    if (a.dst.sizes[d] != 1 && a.dst.strides[d] == 0) return "dst overlaps itself";
  }
  if (polyops_numel(&a.dst) > kMostElements) return "size";
  switch (way_of(make_walk<2>({&a.src, &a.dst}), width)) {
    case Way::kRun:
      return "one run of memory";
    case Way::kNone:
      return "layout";
    default:
      return nullptr;
  }
}

template <class T, bool kAligned>
int launch_rows(const Rows& rows, const polyops_context* ctx) {
  return gpu::launch(rows.by_chunks ? copy_chunks<T, kAligned> : copy_short_rows<T, kAligned>,
                     {row_blocks(rows), kRowThreads}, ctx, rows);
}

template <class T>
int launch_as(const polyops_copy_args& a, const polyops_context* ctx) {
  const Walk<2> walk = make_walk<2>({&a.src, &a.dst});
  bool aligned;
  switch (way_of(walk, sizeof(T))) {
    case Way::kRows: {
      const Rows rows = make_rows(walk, sizeof(T), a.src.data, a.dst.data, &aligned);
      return aligned ? launch_rows<uint64_t, true>(rows, ctx) : launch_rows<T, false>(rows, ctx);
    }
    case Way::kTiles: {
      const Tiles tiles =
          make_tiles<T>(walk, turned_dimension(walk), a.src.data, a.dst.data, &aligned);
      return gpu::launch(aligned ? copy_tiles<T, true> : copy_tiles<T, false>,
                         {tile_count(tiles), kTileThreads<T>}, ctx, tiles);
    }
    case Way::kNarrow: {
      const Narrow narrow = make_narrow<T>(walk, turned_dimension(walk), a.src.data, a.dst.data);
      return gpu::launch(copy_narrow<T>, {tile_count(narrow.tiles), kNarrowThreads}, ctx, narrow);
    }
    default: {
      const int64_t blocks = gather_blocks(walk.numel(), kPack<T>, kGatherPacks<T>);
      return gpu::launch(copy_gathered<T>, {blocks, kGatherThreads}, ctx,
                         make_gather(walk, a.src.data, a.dst.data));
    }
  }
}

int copy(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_copy_args*>(data);
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

POLYOPS_GPU_KERNELS(copy, POLYOPS_GPU_KERNEL("copy", "copy", copy_supports, nullptr, copy))
