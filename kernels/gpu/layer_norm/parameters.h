// weight and bias, or weight alone, of the rows that a block takes: raw in shared memory, in packs
// cut as these rows are, whatever the parameters' own alignment. What finds no room there comes
// from global memory.
#ifndef POLYOPS_GPU_LAYER_NORM_PARAMETERS_H_
#define POLYOPS_GPU_LAYER_NORM_PARAMETERS_H_

#include "layout.h"

namespace polyops::gpu {
namespace {

// Absent ones are 1, and -0, which leaves every sum its bits.
template <class T, class P, int kCount>
struct Parameters {
  static constexpr int kParts = kPack<T> / kPack<P>;  // 16 bytes of parameters per pack
  using Raw = Words[kCount][kParts];                  // a pack's

  const P* given[kCount];  // weight, bias; null: absent
  Words* memory;           // [kCount][kParts][staged]
  int32_t staged;          // packs
  Grid grid;               // of the packs in memory

  GPU_DEVICE static void unpack_all(const Words (&words)[kParts], float (&x)[kPack<T>]) {
#pragma unroll
    for (int i = 0; i < kParts; ++i) {
      float part[kPack<P>];
      unpack<P>(words[i], part);
#pragma unroll
      for (int j = 0; j < kPack<P>; ++j) x[i * kPack<P> + j] = part[j];
    }
  }
  GPU_DEVICE void read(int which, const Grid& of, int32_t pack, Words (&words)[kParts]) const {
    if (given[which] != nullptr) {
      Window<P, kPack<T>>(given[which], of).load(pack, words);
      return;
    }
    const uint32_t bits = fill_bits<P>(which == 0 ? 1.0f : -0.0f);
#pragma unroll
    for (int i = 0; i < kParts; ++i) words[i] = {{bits, bits, bits, bits}};
  }

  GPU_DEVICE bool all_given() const { return given[0] != nullptr && given[kCount - 1] != nullptr; }
  // Of the pack that begins there, of parameters and rows that begin at 16 aligned bytes.
  template <bool kGiven>
  GPU_DEVICE void read_pack(int32_t at, Raw& words) const {
#pragma unroll
    for (int which = 0; which < kCount; ++which) {
      const uint32_t bits = fill_bits<P>(which == 0 ? 1.0f : -0.0f);
#pragma unroll
      for (int i = 0; i < kParts; ++i) {
        words[which][i] = {{bits, bits, bits, bits}};
        if (kGiven || given[which] != nullptr) {
          words[which][i] = load_words(given[which] + at + i * kPack<P>);
        }
      }
    }
  }

  GPU_DEVICE void unpack_pack(int which, const Raw& words, float (&x)[kPack<T>]) const {
    unpack_all(words[which], x);
  }

  GPU_DEVICE int32_t words() const { return kCount * kParts * staged; }
  GPU_DEVICE int32_t place(int which, int part, int32_t pack) const {
    return (which * kParts + part) * staged + pack;
  }

  // By all threads of the block; a barrier follows. kAtOnce: packs' loads at a time, for which few
  // threads, as of a row of 64 lanes, wait as often.
  template <int kAtOnce = 1>
  GPU_DEVICE void stage() const {
    if constexpr (kParts == 1 && kAtOnce > 1) {
#pragma unroll 1
      for (int32_t first = thread_id(); first < staged; first += kAtOnce * block_threads()) {
#pragma unroll
        for (int which = 0; which < kCount; ++which) stage_some<kAtOnce>(which, first);
      }
      return;
    }
#pragma unroll 1
    for (int32_t pack = thread_id(); pack < staged; pack += block_threads()) {
#pragma unroll
      for (int which = 0; which < kCount; ++which) {
        Words words[kParts];
        read(which, grid, pack, words);
#pragma unroll
        for (int i = 0; i < kParts; ++i) memory[place(which, i, pack)] = words[i];
      }
    }
  }

  // Packs first, first + the block's threads, ... of one of them.
  template <int kAtOnce>
  GPU_DEVICE void stage_some(int which, int32_t first) const {
    const int32_t step = block_threads();
    Words words[kAtOnce];
    if (given[which] != nullptr) {
      load_window(Window<P, kPack<P>>(given[which], grid), first, step, words);
    } else {
      const uint32_t bits = fill_bits<P>(which == 0 ? 1.0f : -0.0f);
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) words[k] = {{bits, bits, bits, bits}};
    }
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      const int32_t pack = first + k * step;
      if (pack < staged) memory[place(which, 0, pack)] = words[k];
    }
  }

  // As stage(), if the parameters lie as the rows do by copies, which the caller closes and waits
  // for.
  GPU_DEVICE void stage_later() const {
    bool alike = grid.shift == 0 && grid.n % kPack<T> == 0 && all_given();
    for (const P* p : given) alike = alike && misplaced(p) == 0;
    if (!alike) return stage();
    const int32_t whole = grid.n / kPack<T>;
    for (int32_t pack = thread_id(); pack < staged && pack < whole; pack += block_threads()) {
#pragma unroll
      for (int which = 0; which < kCount; ++which) {
#pragma unroll
        for (int i = 0; i < kParts; ++i) {
          copy_16_later(&memory[place(which, i, pack)],
                        given[which] + pack * kPack<T> + i * kPack<P>);
        }
      }
    }
  }

  // How many packs of a row cut so are in memory.
  GPU_DEVICE int32_t here(const Grid& of) const { return of.shift == grid.shift ? staged : 0; }

  // Of a pack of those in memory, the first 16 bytes of whose first parameter are there.
  GPU_DEVICE void fetch_raw(const Words* first, Words (&words)[kCount][kParts]) const {
#pragma unroll
    for (int which = 0; which < kCount; ++which) {
#pragma unroll
      for (int i = 0; i < kParts; ++i) words[which][i] = first[place(which, i, 0)];
    }
  }
  // Of that pack of the grid, one of those in memory.
  GPU_DEVICE void fetch(int which, int32_t pack, float (&x)[kPack<T>]) const {
    Words words[kParts];
#pragma unroll
    for (int i = 0; i < kParts; ++i) words[i] = memory[place(which, i, pack)];
    unpack_all(words, x);
  }
  // From where it is.
  GPU_DEVICE void load(int which, const Grid& of, int32_t pack, float (&x)[kPack<T>]) const {
    if (pack < here(of)) return fetch(which, pack, x);
    Words words[kParts];
    read(which, of, pack, words);
    unpack_all(words, x);
  }

  // Of the element at that place of the row.
  GPU_DEVICE float one(int which, int32_t at) const {
    const int32_t pack = (at + grid.shift) / kPack<T>, in = (at + grid.shift) % kPack<T>;
    if (pack >= staged) {
      if (given[which] == nullptr) return which == 0 ? 1.0f : -0.0f;
      return widen(given[which][at]);
    }
    const Words& words = memory[place(which, in / kPack<P>, pack)];
    const int byte = in % kPack<P> * static_cast<int>(sizeof(P));
    if constexpr (sizeof(P) == 4) {
      return float_of_bits(words.w[byte / 4]);
    } else {
      float first, second;
      widen2<P>(words.w[byte / 4], &first, &second);
      return byte % 4 == 0 ? first : second;
    }
  }
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_PARAMETERS_H_
