// layer_norm and rms_norm of rows beyond what a block holds in registers: a cluster of blocks does,
// of a row or two, each a section of them, as forward_rows.h. Blocks of other rows on the same
// multiprocessor load while these wait for each other, or store.
#ifndef POLYOPS_GPU_LAYER_NORM_FORWARD_SECTIONS_H_
#define POLYOPS_GPU_LAYER_NORM_FORWARD_SECTIONS_H_

#include "forward_cluster.h"
#include "forward_rows.h"

namespace polyops::gpu {
namespace {

// elements: of the sections of a row, but the last. kRows: that the cluster takes side by side, so
// that the parameters, which come from the second-level cache, are loaded for all of them once.
// few: rows, which find the parameters in no cache.
template <class Norm, class T, class P, int kRows>
GPU_KERNEL(kRowFitting.threads, kRowFitting.blocks)
forward_sections(ForwardCall<Norm, T, P> call, int32_t elements, bool few) {
  GPU_SHARED(float, shared, 2 * kRows * kMomentsShared);
  GPU_SHARED(Mailbox, box, 1);
  GPU_SHARED(float, tables, 2 * kPosted<Norm> * kMostCluster);
  const Section section = section_of_cluster(elements, call.n);
  const auto walker = static_cast<uint32_t>(block_id()) / static_cast<uint32_t>(cluster_blocks());
  const uint32_t row = walker * kRows;
  const auto left = static_cast<int>(static_cast<uint32_t>(call.row_count) - row);
  const int packs = section.n / kPack<T>;
  const Share<T> of(Cut<T>(packs), thread_id(), block_threads(), packs / block_threads());
  Part<T, kRowPacks / kRows> x[kRows];
  T* dst[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) {  // the last row again, where there is none
    int64_t at[2];
    call.rows.offsets(row + (r < left ? r : 0), at);
    load_packs_once(of, call.src + at[0] + section.begin, &x[r]);
    dst[r] = call.dst + at[1] + section.begin;
  }
  open_mailbox(box);
  cluster_arrive();
  const auto parameters = parameters_of(call, section, call.src, nullptr);
  if (few) prefetch_parameters(parameters, of);
  ClusterTable<kPosted<Norm>> table = {box, tables};
  const auto count = static_cast<float>(section.n);
  cluster_wait();
  Moments m[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    m[r] = row_moments<Norm>(&x[r], of, false, shared + 2 * r * kMomentsShared, call.inv_n,
                             call.eps, [&](float pivot, float(&sums)[2], float* room) {
                               const Spread spread =
                                   combine<Norm>(pivot, sums, of, room, reciprocal_fast(count));
                               return merge_cluster<Norm>(spread, count, call.inv_n, &table);
                             });
    if (of.lane == 0 && section.begin == 0 && r < left) store_moments(call, row + r, m[r]);
  }
  // As far as registers go.
  constexpr bool kEarly = sizeof(T) == sizeof(float) || (kRows == 1 && sizeof(T) == sizeof(P));
  if (parameters.all_given()) {
    store_aligned<true, kEarly, Norm>(x, m, parameters, dst, left, of);
  } else {
    store_aligned<false, false, Norm>(x, m, parameters, dst, left, of);
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_FORWARD_SECTIONS_H_
