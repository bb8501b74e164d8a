// layer_norm and rms_norm of rows beyond what a block holds in registers: a cluster of blocks does,
// each a section of the row, as forward_rows.h. Blocks of other rows on the same multiprocessor
// load while these wait for each other, or store.
#ifndef POLYOPS_GPU_LAYER_NORM_FORWARD_SECTIONS_H_
#define POLYOPS_GPU_LAYER_NORM_FORWARD_SECTIONS_H_

#include "forward_cluster.h"
#include "forward_rows.h"

namespace polyops::gpu {
namespace {

// elements: of the sections of a row, but the last. few: rows, which find the parameters in no
// cache.
template <class Norm, class T, class P>
GPU_KERNEL(kRowThreads, row_blocks(kRowPacks))
forward_sections(ForwardCall<Norm, T, P> call, int32_t elements, bool few) {
  await_earlier();
  GPU_SHARED(float, shared, 2 * kMomentsShared);
  GPU_SHARED(Mailbox, box, 1);
  GPU_SHARED(float, tables, 2 * kPosted<Norm> * kMostCluster);
  const Section section = section_of_cluster(elements, call.n);
  const uint32_t row = static_cast<uint32_t>(block_id()) / static_cast<uint32_t>(cluster_blocks());
  int64_t at[2];
  call.rows.offsets(row, at);
  const int packs = section.n / kPack<T>;
  const Share<T> of(Cut<T>(packs), thread_id(), block_threads(), packs / block_threads());
  Part<T, kRowPacks> x;
  load_packs<false>(of, call.src + at[0] + section.begin, &x);
  open_mailbox(box);
  cluster_arrive();
  const auto parameters = parameters_of(call, section, call.src, nullptr);
  if (few) prefetch_parameters(parameters, of);
  constexpr bool kAhead = Norm::kParameters * kPack<T> <= 8;  // registers
  PackParameters<kAhead, ParametersOf<Norm, T, P>> of_packs;
  of_packs.open(parameters, of);
  ClusterTable<kPosted<Norm>> table = {box, tables};
  const auto count = static_cast<float>(section.n);
  cluster_wait();
  const Moments m = row_moments<Norm>(
      &x, of, false, shared, call.inv_n, call.eps, [&](float pivot, float(&sums)[2], float* room) {
        const Spread spread = combine<Norm>(pivot, sums, of, room, reciprocal_fast(count));
        return merge_cluster<Norm>(spread, count, call.inv_n, &table);
      });
  if (of.lane == 0 && section.begin == 0) store_moments(call, row, m);
  store_row<Norm>(x.packs, m, parameters, call.dst + at[1] + section.begin, of, &of_packs);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_FORWARD_SECTIONS_H_
