// Which kernel an image gets, and how it is cut into threads.
#ifndef POLYOPS_GPU_UPSAMPLE_LAUNCHES_H_
#define POLYOPS_GPU_UPSAMPLE_LAUNCHES_H_

#include "backward.h"
#include "backward_eighths.h"
#include "backward_groups.h"
#include "backward_tiles.h"
#include "forward.h"
#include "forward_groups.h"
#include "forward_periods.h"
#include "forward_tiles.h"
#include "twice.h"

namespace polyops::gpu {
namespace {

template <class Mode, class Lanes, class T>
int launch_forward(const Image<T>& image, const polyops_context* ctx) {
  const int64_t lanes = Lanes::lanes(image), groups = Lanes::groups(image);
  int rows = Lanes::kRows;
  while (rows > 2 && lanes * groups * (image.rows.to / rows) < enough_threads(ctx)) rows /= 2;
  const Work work = make_work(lanes, groups, image.rows.to, rows);
  return gpu::launch(upsample<Mode, Lanes, T>, shape_of(work), ctx, image, work);
}

template <class T>
bool is_aligned(const Image<T>& image, size_t bytes) {
  return reinterpret_cast<uintptr_t>(image.in) % bytes == 0 &&
         reinterpret_cast<uintptr_t>(image.out) % bytes == 0;
}

// By blocks, or false.
template <class Mode, class T>
bool forward_tiles(const Image<T>& image, const polyops_context* ctx, int* status) {
  constexpr int kWide = Mode::kTaps > 2 ? 4 : kPack<T>;  // by registers
  const bool packs = image.columns.to % kWide == 0 &&
                     reinterpret_cast<uintptr_t>(image.out) % (kWide * sizeof(T)) == 0;
  if constexpr (Mode::kTaps == 2) {
    if (!packs && forward_periods(image, ctx, status)) return true;
  }
  return packs ? forward_tiles<Mode, PackResults<T, kWide>>(image, ctx, status)
               : forward_tiles<Mode, SingleResults<T>>(image, ctx, status);
}

// T: bits of Nearest.
template <class Mode, class T>
int forward_planes(const Image<T>& image, const polyops_context* ctx) {
  if constexpr (Mode::kTaps > 1) {
    int status = POLYOPS_OK;
    if constexpr (Mode::kTaps > 2) {
      if (forward_groups<Mode>(image, ctx, &status)) return status;
    }
    if (forward_tiles<Mode>(image, ctx, &status)) return status;
    // Of an image that shrinks, neighbouring lanes are to read neighbours.
    return launch_forward<Mode, PlaneLanes<Mode, T, 1, 8 / Mode::kTaps>>(image, ctx);
  } else {
    if (const Twice of = twice_of(image, 0.5f); of.units != 0) {
      return gpu::launch(nearest_twice<T>, shape_of(of), ctx, image.in, image.out, of);
    }
    const auto goes_by = [&](int columns) {
      return image.columns.to % columns == 0 && image.columns.to >= image.columns.from &&
             reinterpret_cast<uintptr_t>(image.out) % (columns * sizeof(T)) == 0;
    };
    if (!goes_by(2)) return launch_forward<Mode, PlaneLanes<Mode, T, 1, 4>>(image, ctx);
    if (!goes_by(4)) return launch_forward<Mode, PlaneLanes<Mode, T, 2, 4>>(image, ctx);
    if (image.planes < 3) return launch_forward<Mode, PlaneLanes<Mode, T, 4, 1>>(image, ctx);
    return launch_forward<Mode, PlaneLanes<Mode, T, 4, 4>>(image, ctx);
  }
}

template <class Mode, class T>
int forward_channels(const Image<T>& image, const polyops_context* ctx) {
  if (image.channels % kPack<T> == 0 && is_aligned(image, 16)) {
    if constexpr (Mode::kTaps > 2) {
      if (has_groups(image.rows, 2) && has_groups(image.columns, 2)) {
        return launch_forward_groups<ChannelColumns<Mode, T, 2>>(image, ctx);
      }
    }
    return launch_forward<Mode, ChannelLanes<Mode, T, kPack<T>>>(image, ctx);
  }
  return launch_forward<Mode, ChannelLanes<Mode, T, 1>>(image, ctx);
}

// With at least `fewest` rows of src to a thread, if that makes enough threads or `always`; else
// false.
template <class Mode, class Sums, class T>
bool launch_backward(const Image<T>& image, const polyops_context* ctx, int fewest, bool always,
                     int* status) {
  const int64_t lanes = Sums::lanes(image), groups = Sums::groups(image);
  int rows = 16;
  const auto threads = [&] { return lanes * groups * ((image.rows.from + rows - 1) / rows); };
  while (rows > fewest && threads() < enough_threads(ctx)) rows /= 2;
  if (!always && threads() < enough_threads(ctx) / 2) return false;
  const Work work = make_work(lanes, groups, image.rows.from, rows);
  if constexpr (Mode::kTaps == 1) {
    *status = gpu::launch(upsample_nearest_backward<Sums, T>, shape_of(work), ctx, image, work);
  } else {
    *status = gpu::launch(upsample_backward<Mode, Sums, T>, shape_of(work), ctx, image, work);
  }
  return true;
}

// Any image, a place to a thread. Of several taps this is for images that shrink, and for what
// cut_columns() declines; it has fewer forms.
template <class Mode, class T, int kChunk>
int backward_places(const Image<T>& image, const polyops_context* ctx) {
  int status = POLYOPS_OK;
  if (launch_backward<Mode, PlaneSums<Mode, T, kChunk, 4>>(image, ctx, 4, false, &status)) {
    return status;
  }
  if constexpr (Mode::kTaps == 1) {
    if (launch_backward<Mode, PlaneSums<Mode, T, kChunk, 2>>(image, ctx, 2, false, &status)) {
      return status;
    }
  }
  launch_backward<Mode, PlaneSums<Mode, T, kChunk, 1>>(image, ctx, 1, true, &status);
  return status;
}

template <class Mode, class T>
int backward_planes(const Image<T>& image, const polyops_context* ctx) {
  if constexpr (Mode::kTaps == 1) {
    if (const Twice of = twice_of(image, 2.0f); of.units != 0) {
      return gpu::launch(nearest_twice_backward<T>, shape_of(of), ctx, image.in, image.out, of);
    }
  }
  // Of Nearest in float32 sums are as stock's, bit for bit, as they have one order.
  if constexpr (Mode::kTaps > 1 || sizeof(T) == 2) {
    using Sums = std::conditional_t<Mode::kTaps == 1, NearestSums, Mode>;
    int status = POLYOPS_OK;
    if constexpr (Mode::kTaps > 1) {
      if (backward_groups<Mode>(image, ctx, &status)) return status;
    }
    const bool packs =
        image.columns.to % kPack<T> == 0 && reinterpret_cast<uintptr_t>(image.in) % 16 == 0;
    if constexpr (Mode::kTaps == 2) {
      if (!packs && backward_eighths(image, ctx, &status)) return status;
    }
    if (packs ? backward_tiles<Sums, PackColumns<T>>(image, ctx, &status)
              : backward_tiles<Sums, SingleColumns<T>>(image, ctx, &status)) {
      return status;
    }
  }
  if constexpr (Mode::kTaps == 1) {
    const bool chunks =
        image.columns.to % 4 == 0 && reinterpret_cast<uintptr_t>(image.in) % (4 * sizeof(T)) == 0;
    if (chunks) return backward_places<Mode, T, 4>(image, ctx);
  }
  return backward_places<Mode, T, 1>(image, ctx);
}

template <class Mode, class T, int kChannels>
int backward_channels(const Image<T>& image, const polyops_context* ctx) {
  int status = POLYOPS_OK;
  if constexpr (Mode::kTaps == 2 && kChannels > 1) {
    if (has_groups(image.rows, 2) && has_groups(image.columns, 2)) {
      return launch_groups<ChannelGroups<Mode, T, 2>>(image, ctx);
    }
  }
  launch_backward<Mode, ChannelSums<Mode, T, kChannels>>(image, ctx, 1, true, &status);
  return status;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_UPSAMPLE_LAUNCHES_H_
