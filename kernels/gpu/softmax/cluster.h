// Rows that a block would fill a multiprocessor with, and few rows: a cluster of blocks per row,
// each of which holds its packs in registers, so that the row is read once. Blocks are small, and
// those of other rows on the same multiprocessor load while these store. The blocks meet once, each
// mailing what it has of the row to the others: a barrier of the cluster would wait for all of a
// thread's accesses under way, too. Of a copy on an H200, by one block
// and by clusters: bfloat16 rows of 131072 70 and 79 %, their gradient 68 and 90 %; of 65536 77 and
// 93 %.
#ifndef POLYOPS_GPU_SOFTMAX_CLUSTER_H_
#define POLYOPS_GPU_SOFTMAX_CLUSTER_H_

#include "backward.h"
#include "forward.h"
#include "reduce.h"
#include "row.h"
#include "runs.h"

namespace polyops::gpu {
namespace {

constexpr int kClusterThreads = 512;
// Of many packs a thread: registers for two blocks of 320 threads, eight of which hold a row of
// 151936.
constexpr int cluster_bound(bool many) { return many ? kClusterThreads * 5 / 4 : kClusterThreads; }

template <class Op, int kPacks, class T, class U>
GPU_KERNEL(cluster_bound(kPacks > kRowPacks))
softmax_cluster(ForwardRows<T, U> p) {
  await_earlier();
  GPU_SHARED(float, shared, 2 * kMostWaves);
  GPU_SHARED(Mailbox, box, 1);
  GPU_SHARED(float, tables, 4 * kMostCluster);
  open_mailbox(box);
  cluster_arrive();
  const int lane = cluster_rank() * block_threads() + thread_id();
  const int lanes = cluster_blocks() * block_threads();
  int64_t at[2];
  p.walk.offsets(static_cast<uint32_t>(block_id()) / cluster_blocks(), at);
  const T* src = p.src + at[0];
  U* dst = p.dst + at[1];
  const Cut<T> cut(src, p.n);
  const int packs = p.n / kPack<T>;
  Words words[kPacks];
  float ends[1];
  load_row(cut, src, lane, lanes, kMinusInf, words);
  load_ends(cut, src, lane, lanes, kMinusInf, ends);
  MaxSum sum;
  absorb<T>(words, lanes, packs, &sum);
  absorb_ends(ends, &sum);
  sum = merge_block(sum, shared);
  ClusterTable<2> table = {box, tables};
  cluster_wait();
  sum = merge_cluster(sum, &table);
  const typename Op::template Normalize<U> normalize(sum);
  store_normalized(normalize, cut, dst, lane, lanes, packs, words);
  store_normalized_ends(normalize, cut, dst, lane, lanes, ends);
}

template <class Op, int kPacks, class T, class U>
GPU_KERNEL(cluster_bound(kPacks == 2 * kGradientPacks))
softmax_backward_cluster(BackwardRows<T, U> p) {
  await_earlier();
  GPU_SHARED(float, shared, kMostWaves);
  GPU_SHARED(Mailbox, box, 1);
  GPU_SHARED(float, tables, 2 * kMostCluster);
  open_mailbox(box);
  cluster_arrive();
  const int lane = cluster_rank() * block_threads() + thread_id();
  const int lanes = cluster_blocks() * block_threads();
  int64_t at[3];
  p.walk.offsets(static_cast<uint32_t>(block_id()) / cluster_blocks(), at);
  const T* grad_row = p.grad + at[0];
  const T* y_row = p.y + at[1];
  U* out = p.out + at[2];
  const Cut<T> cut(grad_row, p.n);
  const int packs = p.n / kPack<T>;
  Words grad[kPacks], y[kPacks];
  GradientEnds<Op, T, 1> ends;
  load_row(cut, grad_row, lane, lanes, 0.0f, grad);
  load_row(cut, y_row, lane, lanes, 0.0f, y);
  float sum = ends.load(cut, grad_row, y_row, lane, lanes);
  sum = sum_of_block(sum + sum_terms<Op, T>(grad, y, lanes, packs), shared);
  ClusterTable<1> table = {box, tables};
  float sums[1] = {sum};
  cluster_wait();
  sum_cluster(sums, &table);
  sum = sums[0];
  store_gradient<Op>(sum, cut, out, lane, lanes, packs, grad, y);
  ends.store(sum, cut, out, lane, lanes);
}

// Up to here one block per row is as fast, if there are rows enough. Twice as far forward in
// float32, which takes half as many exps (rows of 32768: 96 % of copy by blocks, 88 % by clusters).
template <class T>
constexpr int kBlockPacks = sizeof(T) == 4 ? 8192 : 4096;
constexpr int kBackwardBlockPacks = 4096;

// Blocks per row, and threads in each; one block: no cluster.
struct RowCluster {
  int blocks, threads;
};

inline RowCluster cluster_for(int64_t packs, int block_packs, uint32_t rows, int threads,
                              int packs_per_thread, const polyops_context* ctx) {
  const int most = most_cluster(ctx);
  int blocks = 1;
  if (packs > block_packs) {
    while (blocks < most && packs > int64_t{blocks} * threads * packs_per_thread) blocks *= 2;
  }
  // Few rows leave multiprocessors idle.
  while (blocks < most && int64_t{rows} * 2 * blocks <= multiprocessors(ctx) &&
         packs > int64_t{blocks} * 64 * packs_per_thread) {
    blocks *= 2;
  }
  if (packs > int64_t{blocks} * kClusterThreads * packs_per_thread) blocks = 1;
  return {blocks, block_for((packs + blocks - 1) / blocks, packs_per_thread)};
}

// Rows beyond what a part of a wave has. A vocabulary of 151936 or 256000 in float32 is more than 8
// blocks hold by kRowPacks packs a thread.
template <class Op, class T, class U>
int launch_long_rows(const ForwardRows<T, U>& p, const polyops_context* ctx) {
  const auto cluster_of = [&](int packs_per_thread) {
    return cluster_for(p.n / kPack<T>, kBlockPacks<T>, p.rows, kClusterThreads / 2,
                       packs_per_thread, ctx);
  };
  const auto launch_for = [&](auto kernel, const RowCluster& c) {
    return gpu::launch(kernel, {int64_t{p.rows} * c.blocks, c.threads, 0, c.blocks}, ctx, p);
  };
  const RowCluster c = cluster_of(kRowPacks);
  if (c.blocks > 1) return launch_for(softmax_cluster<Op, kRowPacks, T, U>, c);
  const RowCluster most = cluster_of(2 * kRowPacks);
  if (most.blocks > 1) return launch_for(softmax_cluster<Op, 2 * kRowPacks, T, U>, most);
  return launch_for(softmax_block<Op, T, U>, c);
}

// The same with half the packs, for there are two tensors to hold; what more packs would take fills
// a block's registers.
template <class Op, class T, class U>
int launch_long_backward_rows(const BackwardRows<T, U>& p, const polyops_context* ctx) {
  int status = POLYOPS_OK;
  const auto launched = [&]<int kPacks>() {
    const RowCluster c =
        cluster_for(p.n / kPack<T>, kBackwardBlockPacks, p.rows, kClusterThreads, kPacks, ctx);
    if (c.blocks == 1) return false;
    status = gpu::launch(softmax_backward_cluster<Op, kPacks, T, U>,
                         {int64_t{p.rows} * c.blocks, c.threads, 0, c.blocks}, ctx, p);
    return true;
  };
  if (launched.template operator()<kGradientPacks>() ||
      launched.template operator()<2 * kGradientPacks>() ||
      launched.template operator()<3 * kGradientPacks>()) {
    return status;
  }
  return gpu::launch(softmax_backward_block<Op, T, U>,
                     {p.rows, block_for(p.n / kPack<T>, kGradientPacks)}, ctx, p);
}

template <class Op, class T, class U>
int launch_rows(const ForwardRows<T, U>& p, const polyops_context* ctx) {
  int status;
  if (launch_runs<T, U>(softmax_runs<Op, T, U>, p, p.walk, ctx, &status)) return status;
  const int packs = p.n / kPack<T>;
  if (packs <= 16) return launch_team<Op, 4, 4>(p, 2, ctx);
  if (packs <= 32) return launch_team<Op, 4, 8>(p, 3, ctx);
  if (packs <= 64) return launch_team<Op, 4, 16>(p, 4, ctx);
  if (packs <= 128) return launch_team<Op, 4, 16>(p, 5, ctx);
  if (packs <= 256) return launch_team<Op, 8, 32>(p, 5, ctx);
  return launch_long_rows<Op>(p, ctx);
}

template <class Op, class T, class U>
int launch_backward_rows(const BackwardRows<T, U>& p, const polyops_context* ctx) {
  int status;
  if (launch_runs<T, U>(softmax_backward_runs<Op, T, U>, p, p.walk, ctx, &status)) return status;
  const int packs = p.n / kPack<T>;
  if (packs <= 16) return launch_backward_team<Op, 4>(p, 2, ctx);
  if (packs <= 32) return launch_backward_team<Op, 8>(p, 3, ctx);
  if (packs <= 64) return launch_backward_team<Op, 16>(p, 4, ctx);
  if (packs <= 128) return launch_backward_team<Op, 16>(p, 5, ctx);
  return launch_long_backward_rows<Op>(p, ctx);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_SOFTMAX_CLUSTER_H_
