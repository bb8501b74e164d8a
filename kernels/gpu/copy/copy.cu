// copy: copies bits between layouts. Bound: memory, each element read and written once.
//
// By what lies next to each other: where that is one dimension in both tensors, rows;
// where it is another in each, tiles that are turned over, or runs where one of the two is
// short, of whole packs in registers; else, and where tiles would be mostly air, a result that is
// one run is gathered pack by pack. Tensors that both lie in one order without gaps are one copy of
// memory, which is stock's.
#include "copy/few.h"
#include "copy/gather.h"
#include "copy/interleave.h"
#include "copy/launch.h"
#include "copy/narrow.h"
#include "copy/rows.h"
#include "copy/turn.h"
#include "polyops/ops/copy.h"
#include "row.h"
#include "table.h"

namespace polyops::gpu {
namespace {

enum class Way { kRun, kRows, kTiles, kNarrow, kInterleaved, kGather, kNone };

// Tiles that are emptier read more than they need.
constexpr double kMostWaste = 4;

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
    const int64_t bytes = walk.sizes[0] * width;
    return dense && bytes < kShortRow && bytes % 16 != 0 ? Way::kGather : Way::kRows;
  }
  const int x = turned_dimension(walk);
  const bool fills = x != 0 && fills_tiles(walk, x, width);
  const bool whole = walk.sizes[0] * width % 16 == 0;
  if (!fills && is_narrow(walk, x, width)) return Way::kNarrow;
  if (!(fills && whole) && is_interleaved(walk, x, kMostInterleaved / width)) {
    return Way::kInterleaved;
  }
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
int launch_chunks(const Rows* copies, int count, const polyops_context* ctx) {
  const auto group = make_row_group<kAligned ? 1 : kMostTogether>(copies, count);
  const int64_t teams = int64_t{group.rows} * group.chunks.divisor;
  return gpu::launch(copy_chunks<T, kAligned>, {row_blocks(teams, group.lane_bits), kRowThreads},
                     ctx, group);
}

template <class T, bool kAligned>
int launch_rows(const Rows& rows, const polyops_context* ctx) {
  if (rows.by_chunks) return launch_chunks<T, kAligned>(&rows, 1, ctx);
  const int64_t teams = (int64_t{rows.rows} + kRowPacks - 1) / kRowPacks;
  return gpu::launch(copy_short_rows<T, kAligned>, {row_blocks(teams, rows.lane_bits), kRowThreads},
                     ctx, rows);
}

// The same copy in elements as long as a row, if rows are no longer than an element may be and all
// of them begin at multiples of that.
void join_rows(const polyops_copy_args& a, Walk<2>* walk, int64_t* width) {
  const int64_t bytes = walk->sizes[0] * *width;
  if (walk->strides[0][0] != 1 || walk->strides[1][0] != 1) return;
  if (walk->sizes[0] == 1 || (bytes != 2 && bytes != 4 && bytes != 8)) return;
  uint64_t places =
      reinterpret_cast<uintptr_t>(a.src.data) | reinterpret_cast<uintptr_t>(a.dst.data);
  Walk<2> joined = {};
  joined.rank = walk->rank - 1;
  for (int d = 0; d < joined.rank; ++d) {
    joined.sizes[d] = walk->sizes[d + 1];
    for (int t = 0; t < 2; ++t) {
      places |= static_cast<uint64_t>(walk->strides[t][d + 1] * *width);
      joined.strides[t][d] = walk->strides[t][d + 1] / walk->sizes[0];
    }
  }
  if (places % static_cast<uint64_t>(bytes) != 0 || way_of(joined, bytes) == Way::kNone) return;
  *walk = joined;
  *width = bytes;
}

template <class T, int kFew>
int launch_few(const Few& f, bool together, const polyops_context* ctx) {
  return gpu::launch(together ? copy_together<T, kFew> : copy_apart<T, kFew>,
                     {few_blocks(f), kFewThreads}, ctx, f);
}

// False if that is not how the tensors lie.
template <class T>
bool launch_few(const polyops_copy_args& a, const Walk<2>& walk, const polyops_context* ctx,
                int* status) {
  const int x = turned_dimension(walk);
  Few f;
  for (const bool together : {true, false}) {
    if (x == 0 || !make_few<T>(walk, x, together, a.src.data, a.dst.data, &f)) continue;
    switch (walk.sizes[together ? 0 : x]) {
      case 2:
        *status = launch_few<T, 2>(f, together, ctx);
        return true;
      case 3:
        *status = launch_few<T, 3>(f, together, ctx);
        return true;
      default:
        *status = launch_few<T, 4>(f, together, ctx);
        return true;
    }
  }
  return false;
}

template <class T>
int launch_as(const polyops_copy_args& a, const Walk<2>& walk, const polyops_context* ctx) {
  if constexpr (sizeof(T) == 2 || sizeof(T) == 4) {
    int status;
    if (launch_few<T>(a, walk, ctx, &status)) return status;
  }
  switch (way_of(walk, sizeof(T))) {
    case Way::kRows: {
      bool aligned;
      const Rows rows = make_rows(walk, sizeof(T), a.src.data, a.dst.data, &aligned);
      return aligned ? launch_rows<uint64_t, true>(rows, ctx) : launch_rows<T, false>(rows, ctx);
    }
    case Way::kTiles: {
      const Tiles tiles = make_tiles<T>(walk, turned_dimension(walk), a.src.data, a.dst.data);
      const auto kernel = !tiles.of_packs   ? copy_tiles<T, false>
                          : !tiles.to_packs ? copy_tiles<T, true>
                                            : copy_aligned_tiles<T>;
      return gpu::launch(kernel, {tile_count(tiles), kTileThreads<T>}, ctx, tiles);
    }
    case Way::kNarrow: {
      const Narrow narrow = make_narrow<T>(walk, turned_dimension(walk), a.src.data, a.dst.data);
      return gpu::launch(copy_narrow<T>, {tile_count(narrow.tiles), kNarrowThreads}, ctx, narrow);
    }
    case Way::kInterleaved: {
      const Narrow few = make_interleaved<T>(walk, turned_dimension(walk), a.src.data, a.dst.data);
      return gpu::launch(copy_interleaved<T>, {tile_count(few.tiles), kNarrowThreads}, ctx, few);
    }
    default: {
      const int64_t blocks = gather_blocks(walk.numel(), kPack<T>, kGatherPacks<T>);
      return gpu::launch(copy_gathered<T>, {blocks, kGatherThreads}, ctx,
                         make_gather(walk, a.src.data, a.dst.data));
    }
  }
}

// f.operator()<T>() for a type of so many bytes.
template <class F>
int with_width(int64_t width, F f) {
  switch (width) {
    case 1:
      return f.template operator()<uint8_t>();
    case 2:
      return f.template operator()<uint16_t>();
    case 4:
      return f.template operator()<uint32_t>();
    default:
      return f.template operator()<uint64_t>();
  }
}

int copy(const void* data, const polyops_context* ctx) {
  return launch_copy(*static_cast<const polyops_copy_args*>(data), ctx);
}

}  // namespace

bool copy_takes(const polyops_copy_args& a) { return copy_supports(&a) == nullptr; }

bool copy_turns(const polyops_copy_args& a) {
  if (copy_supports(&a) != nullptr) return false;
  return way_of(make_walk<2>({&a.src, &a.dst}), polyops_dtype_size(a.dst.dtype)) != Way::kRows;
}

bool copy_shifts_rows(const polyops_copy_args& a) {
  if (copy_supports(&a) != nullptr) return false;
  const Walk<2> walk = make_walk<2>({&a.src, &a.dst});
  const int64_t width = polyops_dtype_size(a.dst.dtype);
  bool aligned;
  return way_of(walk, width) == Way::kRows &&
         make_rows(walk, width, a.src.data, a.dst.data, &aligned).by_chunks && !aligned;
}

int launch_copy(const polyops_copy_args& a, const polyops_context* ctx) {
  Walk<2> walk = make_walk<2>({&a.src, &a.dst});
  int64_t width = polyops_dtype_size(a.dst.dtype);
  join_rows(a, &walk, &width);
  return with_width(width, [&]<class T>() { return launch_as<T>(a, walk, ctx); });
}

int launch_shifted_rows(const polyops_copy_args* copies, int count, const polyops_context* ctx) {
  const int64_t width = polyops_dtype_size(copies[0].dst.dtype);
  const auto rows_of = [&](const polyops_copy_args& a) {
    bool aligned;
    return make_rows(make_walk<2>({&a.src, &a.dst}), width, a.src.data, a.dst.data, &aligned);
  };
  for (int begin = 0, held = 0; begin < count; begin += held) {
    Rows rows[kMostTogether] = {rows_of(copies[begin])};
    for (held = 1; held < kMostTogether && begin + held < count; ++held) {
      rows[held] = rows_of(copies[begin + held]);
      if (rows[held].rows != rows[0].rows) break;
    }
    const int status =
        with_width(width, [&]<class T>() { return launch_chunks<T, false>(rows, held, ctx); });
    if (status != POLYOPS_OK) return status;
  }
  return POLYOPS_OK;
}

}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(copy, POLYOPS_GPU_KERNEL("copy", "copy", copy_supports, nullptr, copy))
