// What a launch of cat copies: of each input its rows, runs of elements that lie next to each other
// in the input and in the result, and where they are. A table of them goes with the kernel's
// arguments, which hold 4 KB; longer lists take several launches.
#ifndef POLYOPS_GPU_CAT_PIECES_H_
#define POLYOPS_GPU_CAT_PIECES_H_

#include <cstdint>

#include "division.h"
#include "gpu.h"
#include "walk.h"

namespace polyops::gpu {
namespace {

constexpr int kCatThreads = 256;
constexpr int kCatPacks = 4;  // of a thread, all loaded before the first is stored
constexpr int kCatItems = kCatThreads * kCatPacks;

// One input. Rows are numbered through up to kLevels dimensions, innermost first; steps are in
// bytes.
template <int kLevels>
struct Piece {
  const char* src;
  char* dst;
  int64_t bytes;  // of a row
  int64_t src_steps[kLevels];
  int64_t dst_steps[kLevels];
  uint32_t sizes[kLevels];
  uint32_t rows;
  uint32_t packs;        // whole packs of a row, at most
  uint32_t by_packs;     // as Division has it
  uint32_t ends;         // places for elements before and behind them; all of a row without packs
  uint32_t pack_blocks;  // the first blocks copy packs, the others ends
  uint8_t by_packs_shift;
  uint8_t levels;
  uint8_t dense;    // no gaps between rows of the input
  uint8_t aligned;  // rows are whole packs, of 16 aligned bytes in the input too

  GPU_DEVICE uint32_t row_of_pack(uint32_t item) const {
    Division by;
    by.factor = by_packs;
    by.shift = by_packs_shift;
    return by.quotient(item);
  }
};

template <int kLevels>
struct Pieces {
  static constexpr int kMost = kLevels == 2 ? 38 : 12;
  int32_t count;
  // Of those that copy an input, the first. They lie together, since each is a miss that a block
  // waits for.
  uint32_t first_block[kMost];
  Piece<kLevels> piece[kMost];
};
static_assert(sizeof(Pieces<2>) <= 4000 && sizeof(Pieces<POLYOPS_MAX_RANK>) <= 4000);

template <int kLevels>
GPU_DEVICE int piece_of(const Pieces<kLevels>& all, uint32_t block) {
  int low = 0, high = all.count;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (all.first_block[middle] <= block) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

struct CatRow {
  const char* src;
  char* dst;
};

template <int kLevels>
GPU_DEVICE CatRow row_of(const Piece<kLevels>& p, uint32_t row) {
  CatRow at = {p.src, p.dst};
  const int outermost = p.levels - 1;
#pragma unroll 1
  for (int d = 0; d < outermost; ++d) {
    const uint32_t next = row / p.sizes[d], place = row - next * p.sizes[d];
    at.src += place * p.src_steps[d];
    at.dst += place * p.dst_steps[d];
    row = next;
  }
  at.src += row * p.src_steps[outermost];
  at.dst += row * p.dst_steps[outermost];
  return at;
}

inline uint32_t blocks_for(int64_t items) {
  return static_cast<uint32_t>((items + kCatItems - 1) / kCatItems);
}

// Below so many bytes a row that packs do not fit goes element by element.
constexpr int64_t kShortRow = 48;

// How many blocks the piece takes, given where its rows are.
template <int kLevels>
uint32_t divide(Piece<kLevels>* p, int width) {
  bool fits = reinterpret_cast<uintptr_t>(p->dst) % 16 == 0 && p->bytes % 16 == 0;
  bool fits_src = reinterpret_cast<uintptr_t>(p->src) % 16 == 0;
  for (int d = 0; d < p->levels; ++d) {
    fits = fits && p->dst_steps[d] % 16 == 0;
    fits_src = fits_src && p->src_steps[d] % 16 == 0;
  }
  p->aligned = fits && fits_src;
  const bool whole = fits || p->bytes >= kShortRow;
  p->packs = whole ? static_cast<uint32_t>(p->bytes / 16) : 0;
  const Division by_packs(p->packs == 0 ? 1 : p->packs);
  p->by_packs = by_packs.factor;
  p->by_packs_shift = static_cast<uint8_t>(by_packs.shift);
  p->ends = fits ? 0 : static_cast<uint32_t>((whole ? 32 : p->bytes) / width);
  p->pack_blocks = blocks_for(int64_t{p->rows} * p->packs);
  return p->pack_blocks + blocks_for(int64_t{p->rows} * p->ends);
}

// False if there are more dimensions than levels. slab: where src goes.
template <int kLevels>
bool make_piece(const polyops_tensor& src, const polyops_tensor& slab, Piece<kLevels>* p) {
  const Walk<2> walk = make_walk<2>({&src, &slab});
  const int64_t width = polyops_dtype_size(src.dtype);
  const bool runs = walk.strides[0][0] == 1 && walk.strides[1][0] == 1;
  const int skipped = runs ? 1 : 0;
  if (walk.rank - skipped > kLevels) return false;
  *p = {};
  p->src = static_cast<const char*>(src.data);
  p->dst = static_cast<char*>(slab.data);
  p->bytes = (runs ? walk.sizes[0] : 1) * width;
  p->levels = static_cast<uint8_t>(walk.rank > skipped ? walk.rank - skipped : 1);
  p->rows = 1;
  int64_t dense_step = p->bytes;
  p->dense = 1;
  for (int d = 0; d < walk.rank - skipped; ++d) {
    p->sizes[d] = static_cast<uint32_t>(walk.sizes[d + skipped]);
    p->src_steps[d] = walk.strides[0][d + skipped] * width;
    p->dst_steps[d] = walk.strides[1][d + skipped] * width;
    if (p->src_steps[d] != dense_step) p->dense = 0;
    dense_step *= p->sizes[d];
    p->rows *= p->sizes[d];
  }
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CAT_PIECES_H_
