// What a block has of a group whose gradient is taken in shared memory (backward_held.h): units, and their
// sums.
#ifndef POLYOPS_GPU_GROUP_NORM_BACKWARD_UNITS_H_
#define POLYOPS_GPU_GROUP_NORM_BACKWARD_UNITS_H_

#include "backward.h"
#include "division.h"
#include "held_plan.h"
#include "piece.h"

namespace polyops::gpu {
namespace {

struct HeldUnits {
  int32_t count;          // of a block, at most
  int32_t pieces, parts;  // of a unit; units of a channel
  int32_t strip, strips;  // pieces of one; of a unit
  int team;
  int32_t places;  // of groups: 1 or 2
  Division by_pieces, by_parts;
};

// What a block has, in shared memory, of one group.
template <class T, int kWide>
struct HeldGradient {
  Piece<T, kWide>*grad, *src;
  float* sums;     // [grad x_hat / rstd, grad][strips]
  float* weights;  // of the units, in two places in turn
  int32_t first, units, strips;

  GPU_DEVICE HeldGradient(Words* memory, const HeldUnits& shape, int32_t all) {
    const int64_t rank = cluster_rank();
    first = static_cast<int32_t>(all * rank / cluster_blocks());
    units = static_cast<int32_t>(all * (rank + 1) / cluster_blocks()) - first;
    strips = units * shape.strips;
    grad = reinterpret_cast<Piece<T, kWide>*>(memory);
    src = grad + shape.count * shape.pieces;
    sums = reinterpret_cast<float*>(grad + 2 * shape.places * shape.count * shape.pieces);
    weights = sums + 2 * shape.count * shape.strips;
  }
  // To the places of the turn after this one, or back.
  GPU_DEVICE void turn(const HeldUnits& shape, bool back) {
    weights += back ? -shape.count : shape.count;
    if (shape.places == 1) return;
    const int32_t step = 2 * shape.count * shape.pieces;
    grad += back ? -step : step;
    src += back ? -step : step;
  }
};

template <class T, int kWide>
GPU_DEVICE void copy_piece(Piece<T, kWide>* to, const T* from) {
  if constexpr (kWide == 1) {
    to->load(from);
  } else {
    copy_16_later(to, from);
  }
}

// Each sum in two parts, which do not wait for each other.
template <class T, int kWide>
GPU_DEVICE void add_products(const Piece<T, kWide>& grad, const Piece<T, kWide>& src, float mean,
                             float (&products)[2], float (&sums)[2]) {
  float g[kWide], x[kWide];
  grad.get(g);
  src.get(x);
#pragma unroll
  for (int j = 0; j < kWide; ++j) {
    products[j % 2] = fmaf(g[j], x[j] - mean, products[j % 2]);
    sums[j % 2] += g[j];
  }
}

// Every strip by a team, whose lanes come along for the shuffles.
template <class T, int kWide>
GPU_DEVICE void sum_strips(const HeldGradient<T, kWide>& held, const HeldUnits& shape, float mean) {
  const int lane = thread_id() & (shape.team - 1), teams = block_threads() / shape.team;
  for (int32_t first = 0; first < held.strips; first += teams) {
    const int32_t strip = first + thread_id() / shape.team;
    const bool ours = strip < held.strips;
    float products[2] = {}, sums[2] = {};
    const int32_t at = strip * shape.strip;
#pragma unroll 2
    for (int32_t k = lane; ours && k < shape.strip; k += shape.team) {
      add_products(held.grad[at + k], held.src[at + k], mean, products, sums);
    }
    float both[2] = {products[0] + products[1], sums[0] + sums[1]};
    sum_lanes(both, shape.team);
    if (!ours || lane != 0) continue;
    held.sums[strip] = both[0];
    held.sums[held.strips + strip] = both[1];
  }
}

// Of the block: sums of weight grad and weight grad x_hat. A unit's sums take the place of those of its
// first strip.
template <class T, int kWide>
GPU_DEVICE void sum_units(const HeldGradient<T, kWide>& held, const HeldUnits& shape, float rstd,
                          float (&sums)[2]) {
  for (int32_t u = thread_id(); u < held.units; u += block_threads()) {
    float* const products = held.sums + u * shape.strips;
    float* const grads = products + held.strips;
    float product = products[0], sum = grads[0];
#pragma unroll 1
    for (int32_t i = 1; i < shape.strips; ++i) {
      product += products[i];
      sum += grads[i];
    }
    products[0] = product *= rstd;
    grads[0] = sum;
    sums[0] = fmaf(held.weights[u], sum, sums[0]);
    sums[1] = fmaf(held.weights[u], product, sums[1]);
  }
}

// The units' sums to the workspace, each by the thread that took them.
template <class T, int kWide>
GPU_DEVICE void store_units(const GroupGradient<T>& call, const HeldGradient<T, kWide>& held,
                            const HeldUnits& shape, int32_t row) {
  const int32_t all = call.groups * call.width;
  for (int32_t u = thread_id(); u < held.units; u += block_threads()) {
    auto channel = static_cast<uint32_t>(held.first + u);
    const auto part = static_cast<int32_t>(take_remainder(shape.by_parts, &channel));
    const int64_t to = int64_t{row / call.groups} * shape.parts + part;
    float* out = call.sums + to * 2 * all + row % call.groups * call.width + channel;
    out[0] = held.sums[u * shape.strips];
    out[all] = held.sums[held.strips + u * shape.strips];
  }
}

template <class T, int kWide>
GPU_DEVICE void load_weights(const GroupGradient<T>& call, const HeldGradient<T, kWide>& held,
                             const HeldUnits& shape, int32_t row) {
  for (int32_t u = thread_id(); u < held.units; u += block_threads()) {
    const auto channel =
        static_cast<int32_t>(shape.by_parts.quotient(static_cast<uint32_t>(held.first + u)));
    held.weights[u] = call.weight.data == nullptr
                          ? 1.0f
                          : load_value<T>(call.weight, row % call.groups * call.width + channel);
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_GROUP_NORM_BACKWARD_UNITS_H_
