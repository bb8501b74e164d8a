// Columns. A thread takes a pack of columns down a chunk of rows, kScanRows of them in flight while
// it adds up those before. Only where columns are few, chunks are several: one launch before sums
// up each, and another turns those sums into what each chunk begins with.
#ifndef POLYOPS_GPU_CUMSUM_COLUMNS_H_
#define POLYOPS_GPU_CUMSUM_COLUMNS_H_

#include "division.h"
#include "gpu.h"
#include "layout.h"
#include "piece.h"
#include "reduction/columns.h"

namespace polyops::gpu {
namespace {

constexpr int kScanColumnThreads = 64;
template <class T>
constexpr int kScanRows = sizeof(T) == 4 ? 8 : 16;
// Threads that keep an H200's 132 multiprocessors' memory busy; and so many that they take less
// time with whole columns than twice with chunks of them.
template <class T>
constexpr int64_t kManyScanThreads = int64_t{132} * (sizeof(T) == 4 ? 512 : 256);
template <class T>
constexpr int64_t kWholeScanThreads = int64_t{132} * (sizeof(T) == 4 ? 192 : 96);
constexpr int64_t kLeastScanRows = 64;  // of a chunk
constexpr int kStartThreads = 1024, kStartAcross = 8;

template <class T, class U>
struct ScanColumns {
  const T* src;
  U* dst;
  Walk<2> outer;  // dst, src
  int64_t dst_stride, src_stride;
  int32_t n, part;  // rows; of each chunk but the last
  uint32_t packs, chunks, tasks;
  Division by_packs, by_chunks;
  const float* starts;  // of each chunk, if there are several
};

template <class T, int kWide>
GPU_DEVICE void load_scan_rows(const T* src, int64_t stride, int32_t rows,
                               Piece<T, kWide> (&pieces)[kScanRows<T>]) {
#pragma unroll
  for (int k = 0; k < kScanRows<T>; ++k) {
    if (k < rows) pieces[k].load(src + k * stride);
  }
}

// Of float32 results, rows are summed up apart first: so few of a long column's sums round each
// other.
template <class T, class U, int kWide>
GPU_DEVICE void scan_rows_of(const Piece<T, kWide> (&pieces)[kScanRows<T>], U* dst,
                             int64_t dst_stride, int32_t rows, float (&sum)[kWide]) {
  constexpr bool kApart = sizeof(U) == sizeof(float);
  float start[kWide], result[kWide];
#pragma unroll
  for (int j = 0; j < kWide; ++j) {
    start[j] = kApart ? sum[j] : 0;
    sum[j] = kApart ? 0 : sum[j];
  }
#pragma unroll
  for (int k = 0; k < kScanRows<T>; ++k) {
    if (k >= rows) break;
    float x[kWide];
    pieces[k].get(x);
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      sum[j] += x[j];
      result[j] = kApart ? start[j] + sum[j] : sum[j];
    }
    Piece<T, kWide>::store(dst + k * dst_stride, result);
  }
#pragma unroll
  for (int j = 0; j < kWide; ++j) sum[j] = result[j];
}

template <class T, class U, int kWide>
GPU_DEVICE void scan_chunk(const T* src, int64_t src_stride, U* dst, int64_t dst_stride,
                           int32_t rows, float (&sum)[kWide]) {
  constexpr int kRows = kScanRows<T>;
  Piece<T, kWide> now[kRows], next[kRows];
  load_scan_rows(src, src_stride, rows, now);
  for (; rows > kRows; rows -= kRows) {
    src += kRows * src_stride;
    load_scan_rows(src, src_stride, rows - kRows, next);
    scan_rows_of(now, dst, dst_stride, kRows, sum);
    dst += kRows * dst_stride;
#pragma unroll
    for (int k = 0; k < kRows; ++k) now[k] = next[k];
  }
  scan_rows_of(now, dst, dst_stride, rows, sum);
}

template <class T, class U, int kWide>
GPU_KERNEL(kScanColumnThreads)
scan_columns(const GPU_CONSTANT ScanColumns<T, U> c) {
  await_earlier();
  auto task = static_cast<uint32_t>(block_id() * kScanColumnThreads) + thread_id();
  if (task >= c.tasks) return;
  const uint32_t column = take_remainder(c.by_packs, &task) * kWide;
  const uint32_t left = task;
  const uint32_t chunk = take_remainder(c.by_chunks, &task);
  int64_t at[2];
  c.outer.offsets(task, at);
  const auto first = static_cast<int32_t>(chunk) * c.part;
  const T* src = c.src + at[1] + column + first * c.src_stride;
  U* dst = c.dst + at[0] + column + first * c.dst_stride;
  float sum[kWide] = {};
  if (c.starts != nullptr) {
    const float* starts = c.starts + (int64_t{left} * c.packs) * kWide + column;
#pragma unroll
    for (int j = 0; j < kWide; ++j) sum[j] = starts[j];
  }
  const int32_t rows = c.n - first < c.part ? c.n - first : c.part;
  scan_chunk(src, c.src_stride, dst, c.dst_stride, rows, sum);
}

// Sums of chunks, in their places what was before each: [outer][chunks][width]. A block takes
// kStartAcross columns; the threads of a column some chunks each.
GPU_KERNEL(kStartThreads)
starts_of_chunks(float* sums, uint32_t chunks, uint32_t width, uint32_t tiles) {
  await_earlier();
  GPU_SHARED(float, shared, kStartThreads);
  constexpr uint32_t kDown = kStartThreads / kStartAcross;
  const auto block = static_cast<uint32_t>(block_id());
  const uint32_t column = block % tiles * kStartAcross + thread_id() % kStartAcross;
  const uint32_t down = thread_id() / kStartAcross, each = (chunks + kDown - 1) / kDown;
  const uint32_t first = down * each;
  const uint32_t end = column >= width ? 0 : first + each < chunks ? first + each : chunks;
  float* mine = sums + int64_t{block / tiles} * chunks * width + column;
  float sum = 0;
#pragma unroll 8
  for (uint32_t i = first; i < end; ++i) sum += mine[int64_t{i} * width];
  shared[thread_id()] = sum;
  barrier();
  sum = 0;
#pragma unroll 8
  for (uint32_t d = 0; d < down; ++d) sum += shared[d * kStartAcross + thread_id() % kStartAcross];
#pragma unroll 8
  for (uint32_t i = first; i < end; ++i) {
    const float x = mine[int64_t{i} * width];
    mine[int64_t{i} * width] = sum;
    sum += x;
  }
}

// Rows of a chunk.
template <class T>
int64_t scan_column_part(const LinesLayout& of, int wide) {
  const int64_t threads = of.kept.numel() * (of.width / wide);
  if (wide == kPack<T> && threads >= kWholeScanThreads<T>) return of.n;
  int64_t chunks = divide_up(kManyScanThreads<T>, threads);
  if (chunks > of.n / kLeastScanRows) chunks = of.n / kLeastScanRows;
  return chunks < 2 ? of.n : divide_up(of.n, chunks);
}

// Whatever the alignment turns out to be.
template <class T>
size_t scan_columns_scratch(const LinesLayout& of) {
  size_t most = 0;
  for (int wide : {1, kPack<T>}) {
    if (of.width % wide != 0) continue;
    const int64_t chunks = divide_up(of.n, scan_column_part<T>(of, wide));
    const size_t bytes = static_cast<size_t>(of.kept.numel() * chunks * of.width) * sizeof(float);
    if (chunks > 1 && bytes > most) most = bytes;
  }
  return most;
}

template <class T>
int start_column_chunks(const LinesLayout& of, const T* src, int wide, int64_t part, float* starts,
                        const polyops_context* ctx) {
  const int64_t chunks = divide_up(of.n, part), outer = of.kept.numel();
  const ColumnsCall<T> call = {src, column_tiles_of(chunks_of(of), wide, part), {}, false, starts};
  const int status = launch_fold_columns<Sum>(call, wide, ctx);
  if (status != POLYOPS_OK) return status;
  const int64_t tiles = divide_up(of.width, kStartAcross);
  return gpu::launch(starts_of_chunks, {outer * tiles, kStartThreads}, ctx, starts,
                     static_cast<uint32_t>(chunks), static_cast<uint32_t>(of.width),
                     static_cast<uint32_t>(tiles));
}

template <class T, class U>
int launch_scan_columns(const LinesLayout& of, const T* src, U* dst, const polyops_context* ctx) {
  const bool packed = in_packs<T>(chunks_of(of), src) && of.strides[0] % kPack<T> == 0 &&
                      rows_aligned(of.kept, 0, dst, kPack<T>);
  const int wide = packed ? kPack<T> : 1;
  const int64_t part = scan_column_part<T>(of, wide), chunks = divide_up(of.n, part);
  float* starts = nullptr;
  if (chunks > 1) {
    starts = static_cast<float*>(ctx->scratch);
    const int status = start_column_chunks(of, src, wide, part, starts, ctx);
    if (status != POLYOPS_OK) return status;
  }
  const int64_t packs = of.width / wide, tasks = of.kept.numel() * chunks * packs;
  const ScanColumns<T, U> call = {src,
                                  dst,
                                  of.kept,
                                  of.strides[0],
                                  of.strides[1],
                                  static_cast<int32_t>(of.n),
                                  static_cast<int32_t>(part),
                                  static_cast<uint32_t>(packs),
                                  static_cast<uint32_t>(chunks),
                                  static_cast<uint32_t>(tasks),
                                  Division(static_cast<uint32_t>(packs)),
                                  Division(static_cast<uint32_t>(chunks)),
                                  starts};
  const auto kernel = packed ? scan_columns<T, U, kPack<T>> : scan_columns<T, U, 1>;
  return gpu::launch(kernel, {divide_up(tasks, kScanColumnThreads), kScanColumnThreads}, ctx, call);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CUMSUM_COLUMNS_H_
