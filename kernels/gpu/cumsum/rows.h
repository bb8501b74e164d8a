// Rows. A team of lanes, up to a wave, takes a row from its beginning to its end, kScanPacks packs
// of each lane in flight; a lane's pack begins with the sum of what is left of it. Few long rows
// fall into chunks, a wave each: what these begin with, they add up from the sums of chunks that a
// launch before left.
#ifndef POLYOPS_GPU_CUMSUM_ROWS_H_
#define POLYOPS_GPU_CUMSUM_ROWS_H_

#include "division.h"
#include "gpu.h"
#include "layout.h"
#include "reduce.h"
#include "reduction/rows.h"
#include "row.h"

namespace polyops::gpu {
namespace {

constexpr int kScanThreads = 256, kScanThreadsLog2 = 8;
constexpr int kScanPacks = 4;
constexpr int64_t kMostScanChunks = 2048;  // of a row, since each reads the sums of those before it
constexpr int64_t kLeastScanChunk = 4096;  // elements

template <class T, class U>
struct ScanRows {
  const T* src;
  U* dst;
  Walk<2> kept;  // dst, src
  uint32_t slices, chunks;
  Division by_chunks;
  int32_t n, part;  // elements of a row; of each of its chunks but the last
  int32_t team_log2;
  bool aligned;        // rows, and chunks of them, begin with whole packs
  const float* parts;  // sums of chunks, if there are several of a row
};

// Sums of the lanes before this one, in its team; what comes in becomes the team's.
template <int kSums>
GPU_DEVICE void sum_before(float (&x)[kSums], int lane, int lanes, float (&before)[kSums]) {
#pragma unroll
  for (int k = 0; k < kSums; ++k) before[k] = 0;
#pragma unroll 1
  for (int mask = 1; mask < lanes; mask *= 2) {
#pragma unroll
    for (int k = 0; k < kSums; ++k) {
      const float other = shuffle_xor(x[k], mask);
      if ((lane & mask) != 0) before[k] += other;
      x[k] += other;
    }
  }
}

// A few elements, less than a pack, of which each lane has one.
template <class T, class U>
GPU_DEVICE void scan_single(const T* src, U* dst, int count, int lane, int lanes, float* carry) {
  const float x = lane < count ? widen(src[lane]) : 0.0f;
  float total[1] = {x}, before[1];
  sum_before(total, lane, lanes, before);
  if (lane < count) dst[lane] = narrow<U>(*carry + before[0] + x);
  *carry += total[0];
}

template <class T, class U>
GPU_DEVICE void scan_pack(const Cut<T>& cut, U* dst, bool fits, const Words& words, int at,
                          float start) {
  float x[kPack<T>];
  unpack<T>(words, x);
#pragma unroll
  for (int j = 1; j < kPack<T>; ++j) x[j] += x[j - 1];
#pragma unroll
  for (int j = 0; j < kPack<T>; ++j) x[j] += start;
  store_pack(cut, dst, fits, at, x);
}

// Packs first, first + step, ... of a row; 0 where there is none.
template <class T>
GPU_DEVICE void load_turn(const Cut<T>& cut, const T* row, int32_t first, int32_t step,
                          Words (&words)[kScanPacks]) {
#pragma unroll
  for (int k = 0; k < kScanPacks; ++k) {
    words[k] = {};
    const int32_t at = first + k * step;
    if (at < cut.whole) words[k] = load_words(row + cut.of_pack(at));
  }
}

// n elements. What teams of a wave do is alike for all, though their rows may be shorter than
// `longest`, or cut otherwise unless they are `aligned`.
template <class T, class U>
GPU_DEVICE void scan_run(const T* src, U* dst, int32_t n, int32_t longest, bool aligned, bool whole,
                         int lane, int lanes, float carry) {
  const Cut<T> cut(src, n);
  const bool fits = cut.fits(dst);
  if (!aligned) scan_single(src, dst, cut.head, lane, lanes, &carry);
  const int32_t most = longest / kPack<T>;
  for (int32_t first = 0; first < most; first += kScanPacks * lanes) {
    Words words[kScanPacks];
    load_turn(cut, src, first + lane, lanes, words);
    float total[kScanPacks], before[kScanPacks];
#pragma unroll
    for (int k = 0; k < kScanPacks; ++k) total[k] = fold_pack<Sum, T>(words[k]);
    sum_before(total, lane, lanes, before);
#pragma unroll
    for (int k = 0; k < kScanPacks; ++k) {
      scan_pack(cut, dst, fits, words[k], first + lane + k * lanes, carry + before[k]);
      carry += total[k];
    }
  }
  if (whole) return;
  const int32_t tail = cut.of_pack(cut.whole);
  scan_single(src + tail, dst + tail, cut.n - tail, lane, lanes, &carry);
}

template <class T, class U>
GPU_KERNEL(kScanThreads)
scan_rows(const GPU_CONSTANT ScanRows<T, U> c) {
  await_earlier();
  const int lanes = 1 << c.team_log2, lane = thread_id() & (lanes - 1);
  const auto task = static_cast<uint32_t>(block_id() << (kScanThreadsLog2 - c.team_log2)) +
                    static_cast<uint32_t>(thread_id() >> c.team_log2);
  const uint32_t slice = c.by_chunks.quotient(task), chunk = task - slice * c.chunks;
  const bool ours = slice < c.slices;
  int64_t at[2] = {};
  float carry = 0;
  if (ours) c.kept.offsets(slice, at);
  if (c.parts != nullptr) {
    const float* parts = c.parts + int64_t{slice} * c.chunks;
    if (ours) carry = fold_run<Sum>(parts, static_cast<int32_t>(chunk), lane, lanes);
    carry = sum_of_lanes(carry, lanes);
  }
  const int32_t first = static_cast<int32_t>(chunk) * c.part;
  const int32_t n = !ours ? 0 : c.n - first < c.part ? c.n - first : c.part;
  scan_run(c.src + at[1] + first, c.dst + at[0] + first, n, c.part, c.aligned,
           c.aligned && c.n % kPack<T> == 0, lane, lanes, carry);
}

// Elements of a chunk: all of a row's, where there are rows enough.
template <class T>
int64_t scan_part(const LinesLayout& of) {
  const int64_t slices = of.kept.numel();
  if (slices >= kManyWaves / 2 || of.n <= 2 * kLeastScanChunk) return of.n;
  int64_t chunks = kManyWaves / slices;
  if (chunks > kMostScanChunks) chunks = kMostScanChunks;
  if (chunks > of.n / kLeastScanChunk) chunks = of.n / kLeastScanChunk;
  return divide_up(divide_up(of.n, chunks), 64) * 64;
}

template <class T>
size_t scan_rows_scratch(const LinesLayout& of) {
  const int64_t chunks = divide_up(of.n, scan_part<T>(of));
  return chunks == 1 ? 0 : static_cast<size_t>(of.kept.numel() * chunks) * sizeof(float);
}

template <class T>
int sum_row_chunks(const LinesLayout& of, const T* src, int64_t part, float* parts,
                   const polyops_context* ctx) {
  const auto chunks = static_cast<uint32_t>(divide_up(of.n, part));
  const auto n = static_cast<int32_t>(of.n);
  const RowParts rows = {0,        n,      static_cast<int32_t>(part), chunks,           chunks,
                         1,        chunks, Division(chunks),           Division(chunks), kWaveLog2,
                         kWaveLog2};
  const RowsCall<T> call = {src, of.kept, static_cast<uint32_t>(of.kept.numel()), rows, {}, parts};
  return launch_fold_rows<Sum>(call, ctx);
}

template <class T, class U>
int launch_scan_rows(const LinesLayout& of, const T* src, U* dst, const polyops_context* ctx) {
  const int64_t part = scan_part<T>(of), chunks = divide_up(of.n, part);
  float* parts = nullptr;
  if (chunks > 1) {
    parts = static_cast<float*>(ctx->scratch);
    const int status = sum_row_chunks(of, src, part, parts, ctx);
    if (status != POLYOPS_OK) return status;
  }
  int team = kPack<T> == 8 ? 3 : 2;  // no fewer lanes than there may be single elements
  while (team < kWaveLog2 && int64_t{kScanPacks} * kPack<T> << team < part) ++team;
  if (chunks > 1) team = kWaveLog2;
  const ScanRows<T, U> call = {src,
                               dst,
                               of.kept,
                               static_cast<uint32_t>(of.kept.numel()),
                               static_cast<uint32_t>(chunks),
                               Division(static_cast<uint32_t>(chunks)),
                               static_cast<int32_t>(of.n),
                               static_cast<int32_t>(part),
                               team,
                               rows_aligned(of.kept, 1, src, kPack<T>),
                               parts};
  const int64_t blocks = divide_up(of.kept.numel() * chunks, kScanThreads >> team);
  return gpu::launch(scan_rows<T, U>, {blocks, kScanThreads}, ctx, call);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CUMSUM_ROWS_H_
