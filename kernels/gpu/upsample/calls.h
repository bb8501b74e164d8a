// What the modes share: which calls are taken, and by which kernels.
#ifndef POLYOPS_GPU_UPSAMPLE_CALLS_H_
#define POLYOPS_GPU_UPSAMPLE_CALLS_H_

#include "launches.h"
#include "polyops/ops/upsample.h"
#include "row.h"
#include "table.h"

namespace polyops::gpu {

KernelList POLYOPS_GPU_CONCAT(upsample_nearest2d, POLYOPS_GPU_TARGET)();

namespace {

// Of both directions: what is read and what is written, and which of them has src's sizes.
struct UpsampleForward {
  using Args = polyops_upsample_args;
  static constexpr bool kBackward = false;
  static const polyops_tensor& in(const Args& a) { return a.src; }
  static const polyops_tensor& out(const Args& a) { return a.dst; }
  static const polyops_tensor& small(const Args& a) { return a.src; }
  static const polyops_tensor& large(const Args& a) { return a.dst; }
};
struct UpsampleBackward {
  using Args = polyops_upsample_backward_args;
  static constexpr bool kBackward = true;
  static const polyops_tensor& in(const Args& a) { return a.grad_dst; }
  static const polyops_tensor& out(const Args& a) { return a.grad_src; }
  static const polyops_tensor& small(const Args& a) { return a.grad_src; }
  static const polyops_tensor& large(const Args& a) { return a.grad_dst; }
};

// Dimension 2 or 3.
template <class Mode, class Direction>
Axis axis_of(const typename Direction::Args& args, int d) {
  const int64_t from = Direction::small(args).sizes[d], to = Direction::large(args).sizes[d];
  const double factor = args.factors[d - 2];
  Axis axis = {static_cast<int>(from), static_cast<int>(to), 0, 0, 0.5f};
  if constexpr (Mode::kTaps == 1) {
    axis.shift = args.exact != 0 ? 0.5f : 0.0f;
    if (Direction::kBackward) {
      axis.scale = factor > 0 ? static_cast<float>(factor)
                              : static_cast<float>(to) / static_cast<float>(from);
      axis.inverse = axis.scale;
      return axis;
    }
  } else if (args.align_corners != 0) {
    axis.shift = 0;
    if (to > 1) axis.scale = static_cast<float>(from - 1) / static_cast<float>(to - 1);
    axis.inverse = 1 / axis.scale;
    return axis;
  }
  axis.scale = factor > 0 ? static_cast<float>(1 / factor)
                          : static_cast<float>(from) / static_cast<float>(to);
  axis.inverse = 1 / axis.scale;
  return axis;
}

inline bool is_channels_last(const polyops_tensor& t) {
  polyops_tensor moved = t;
  for (int d = 1; d < 4; ++d) {
    moved.sizes[d] = t.sizes[d % 3 + 1];
    moved.strides[d] = t.strides[d % 3 + 1];
  }
  return polyops_is_contiguous(&moved) != 0;
}

// A factor that the sizes belie can lead beyond src's end, where stock's bilinear reads what is
// there.
template <class Mode, class Direction>
bool reaches_beyond(const typename Direction::Args& args) {
  for (int d = 2; Mode::kTaps > 1 && d < 4; ++d) {
    const Axis axis = axis_of<Mode, Direction>(args, d);
    const float last = fmaf(axis.scale, static_cast<float>(axis.to - 1) + axis.shift, -axis.shift);
    if (!(last < static_cast<float>(axis.from))) return true;
  }
  return false;
}

template <class Direction>
bool keeps_sizes(const typename Direction::Args& args) {
  const polyops_tensor &small = Direction::small(args), &large = Direction::large(args);
  return small.sizes[2] == large.sizes[2] && small.sizes[3] == large.sizes[3];
}

template <class Mode, class Direction>
const char* upsample_supports(const typename Direction::Args& args) {
  const polyops_tensor &in = Direction::in(args), &out = Direction::out(args);
  if (!has_type(in.dtype) || out.dtype != in.dtype) return "dtype";
  if (in.rank != 4 || out.rank != 4) return "rank";
  for (int d = 0; d < 2; ++d) {
    if (in.sizes[d] != out.sizes[d]) return "shape";
  }
  if (polyops_numel(&in) > kMostElements || polyops_numel(&out) > kMostElements) return "size";
  return !keeps_sizes<Direction>(args) && reaches_beyond<Mode, Direction>(args) ? "scale" : nullptr;
}

template <class Mode, class Direction>
const char* planes_supports(const void* data) {
  const auto& args = *static_cast<const typename Direction::Args*>(data);
  if (const char* reason = upsample_supports<Mode, Direction>(args)) return reason;
  const bool taken = polyops_is_contiguous(&Direction::in(args)) != 0 &&
                     polyops_is_contiguous(&Direction::out(args)) != 0;
  return taken ? nullptr : "layout";
}

template <class Mode, class Direction>
const char* channels_supports(const void* data) {
  const auto& args = *static_cast<const typename Direction::Args*>(data);
  if (const char* reason = upsample_supports<Mode, Direction>(args)) return reason;
  const bool taken =
      is_channels_last(Direction::in(args)) && is_channels_last(Direction::out(args));
  return taken ? nullptr : "layout";
}

template <class T, class Mode, class Direction>
Image<T> image_of(const typename Direction::Args& args) {
  const polyops_tensor &in = Direction::in(args), &out = Direction::out(args);
  return {static_cast<const T*>(in.data),    static_cast<T*>(out.data),
          axis_of<Mode, Direction>(args, 2), axis_of<Mode, Direction>(args, 3),
          static_cast<int>(in.sizes[1]),     static_cast<int>(in.sizes[0] * in.sizes[1])};
}

// Copies of src's bits, of a nearest place.
template <bool kPlanes>
int copy_nearest(const polyops_upsample_args& args, const polyops_context* ctx) {
  const auto with_bits = [&]<class T>() {
    const Image<T> image = image_of<T, Nearest, UpsampleForward>(args);
    return kPlanes ? forward_planes<Nearest>(image, ctx) : forward_channels<Nearest>(image, ctx);
  };
  return args.src.dtype == POLYOPS_FLOAT32 ? with_bits.template operator()<uint32_t>()
                                           : with_bits.template operator()<uint16_t>();
}

// The same of everything, where sizes stay: by upsample_nearest2d's kernels.
template <class Direction>
int copy_all(const typename Direction::Args& args, const polyops_context* ctx) {
  const polyops_upsample_args same = {sizeof same,         0, 0, 0, {}, Direction::in(args),
                                      Direction::out(args)};
  return launch_as(POLYOPS_GPU_CONCAT(upsample_nearest2d, POLYOPS_GPU_TARGET)(),
                   "upsample_nearest2d", same, ctx);
}

template <bool kPlanes, class Mode, class Direction>
int upsample_launch(const void* data, const polyops_context* ctx) {
  const auto& args = *static_cast<const typename Direction::Args*>(data);
  if constexpr (Mode::kTaps == 1 && !Direction::kBackward) {
    return copy_nearest<kPlanes>(args, ctx);
  } else {
    if (keeps_sizes<Direction>(args)) return copy_all<Direction>(args, ctx);
    return with_type(Direction::in(args).dtype, [&]<class T>() {
      const Image<T> image = image_of<T, Mode, Direction>(args);
      if constexpr (!Direction::kBackward) {
        return kPlanes ? forward_planes<Mode>(image, ctx) : forward_channels<Mode>(image, ctx);
      } else if constexpr (kPlanes) {
        return backward_planes<Mode>(image, ctx);
      } else {
        const bool packs = image.channels % kPack<T> == 0 && is_aligned(image, 16);
        return packs ? backward_channels<Mode, T, kPack<T>>(image, ctx)
                     : backward_channels<Mode, T, 1>(image, ctx);
      }
    });
  }
}

}  // namespace
}  // namespace polyops::gpu

// The kernels of a kernel op, in the order in which they are tried.
#define POLYOPS_GPU_UPSAMPLE(op, Mode, Direction)                                           \
  POLYOPS_GPU_KERNEL(op, op "_planes", (planes_supports<Mode, Direction>), nullptr,         \
                     (upsample_launch<true, Mode, Direction>)),                             \
      POLYOPS_GPU_KERNEL(op, op "_channels", (channels_supports<Mode, Direction>), nullptr, \
                         (upsample_launch<false, Mode, Direction>))

#endif  // POLYOPS_GPU_UPSAMPLE_CALLS_H_
