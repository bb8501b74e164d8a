// How the images of bands.h come into a block's memory, and results from there: planes of some
// neighbouring channels, of as many images as fill a matrix with their bands.
#ifndef POLYOPS_GPU_CONVOLUTION_BAND_TILES_H_
#define POLYOPS_GPU_CONVOLUTION_BAND_TILES_H_

#include <algorithm>

#include "anywhere.h"
#include "division.h"
#include "planes.h"

namespace polyops::gpu {
namespace {

constexpr int kBandRows = 7, kMatrixRows = 16, kUnit = 8;
constexpr int kBandThreads = 128, kBandWaves = kBandThreads / 32;
constexpr int kBandBlocks = 4;  // of a multiprocessor
// Elements around a tile's images that a lane may read, of which it makes nothing.
constexpr int kBandSlack = 48;

struct BandTiles {
  int32_t bands;             // of a plane
  int32_t images, channels;  // of a tile, at most
  int32_t parts;  // tiles of a plane: where they are several, tiles are of one image and channel
  int32_t groups, runs;   // of channels; tiles of a group
  int32_t room;           // of an image in the block's memory
  int32_t area;           // of a tile's images
  int32_t team_bits = 7;  // 2^team_bits threads bring an image
  Division columns;       // pairs of units
  Division of_image;      // bands of a tile

  explicit BandTiles(const Shape& s) : bands(static_cast<int32_t>(ceil_div(s.h.in, kBandRows))) {
    parts = static_cast<int32_t>(ceil_div(bands, kMatrixRows));
    of_image = Division(static_cast<uint32_t>(std::min(bands, kMatrixRows)));
    const auto pairs = static_cast<int32_t>(ceil_div(s.w.in, 2 * kUnit));
    columns = Division(static_cast<uint32_t>(pairs));
    images = std::min(parts > 1 ? 1 : kMatrixRows / bands, s.batch);
    channels = std::min(parts > 1 || pairs > 2 ? 1 : kBandWaves / pairs, s.channels);
    groups = static_cast<int32_t>(ceil_div(s.channels, channels));
    runs = static_cast<int32_t>(ceil_div(s.batch, images)) * parts;
    const int64_t rows = parts > 1 ? kMatrixRows * kBandRows + s.h.taps - 1 : s.h.in;
    room = room_of<uint16_t>(channels * rows * s.w.in);
    area = images * room + kBandSlack;
    while (images << team_bits > kBandThreads) --team_bits;
  }
  size_t bytes(int areas) const {
    return (static_cast<size_t>(area) * areas + kBandSlack) * sizeof(uint16_t);
  }
};

// Rows of the image from `row` on, `rows` of them results; from in_row on, what they read.
struct BandTile {
  int32_t channel, channels, image, images;
  int32_t row, rows, in_row, in_rows;

  GPU_DEVICE BandTile(const Shape& s, const BandTiles& t, int32_t group, int32_t run, int padding) {
    channel = group * t.channels;
    channels = Tile::least(t.channels, s.channels - channel);
    const int32_t part = t.parts > 1 ? run % t.parts : 0;
    image = (t.parts > 1 ? run / t.parts : run) * t.images;
    images = Tile::least(t.images, s.batch - image);
    row = part * (kMatrixRows * kBandRows);
    rows = t.parts > 1 ? Tile::least(kMatrixRows * kBandRows, s.h.in - row) : s.h.in;
    in_row = row > padding ? row - padding : 0;
    in_rows = Tile::least(row + rows + padding, s.h.in) - in_row;
  }
  // The first element of an image, of rows from that one on, and how many elements so many rows
  // are.
  GPU_DEVICE int64_t first(const Shape& s, int32_t of, int32_t from) const {
    return (int64_t{image + of} * s.channels + channel) * s.in() + from * s.w.in;
  }
  GPU_DEVICE int32_t count(const Shape& s, int32_t of_rows) const {
    return channels * of_rows * s.w.in;
  }
};

// Where in the block's memory so many rows, from that one on, begin of an image's channel of a
// tile. They lie there as in p's, in whose packs they come or go.
template <class T>
GPU_DEVICE int32_t place_of(const Shape& s, const BandTiles& t, const BandTile& tile, const T* p,
                            int32_t image, int32_t channel, int32_t row, int32_t rows) {
  return image * t.room + misplaced(p + tile.first(s, image, row)) + channel * rows * s.w.in;
}

// Begins to bring a tile's images: some threads each one.
template <class T>
GPU_DEVICE void fetch_tile(const Shape& s, const BandTiles& t, const BandTile& tile, const T* src,
                           T* memory) {
  const int32_t team = 1 << t.team_bits, image = thread_id() >> t.team_bits;
  if (image >= tile.images) return;
  const T* const first = src + tile.first(s, image, tile.in_row);
  const int32_t count = tile.count(s, tile.in_rows), shift = misplaced(first);
  const int32_t begin = (thread_id() & (team - 1)) * kPack<T> - shift;
  T* const to = memory + image * t.room;
  for (int32_t at = begin; at < count; at += team * kPack<T>) {
    copy_16_later(to + (shift + at), first + at);
  }
}

// A tile's results, which all threads have written.
template <class T>
GPU_DEVICE void store_tile(const Shape& s, const BandTiles& t, const BandTile& tile, T* dst,
                           const T* memory) {
  const int32_t team = 1 << t.team_bits, image = thread_id() >> t.team_bits;
  if (image >= tile.images) return;
  T* const first = dst + tile.first(s, image, tile.row);
  const int32_t count = tile.count(s, tile.rows), shift = misplaced(first);
  const T* const from = memory + image * t.room + shift;
  for (int32_t at = (thread_id() & (team - 1)) * kPack<T> - shift; at < count;
       at += team * kPack<T>) {
    if (at >= 0 && at + kPack<T> <= count) {
      store_words(first + at, load_words(from + at));
      continue;
    }
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) {
      if (static_cast<uint32_t>(at + j) < static_cast<uint32_t>(count))
        first[at + j] = from[at + j];
    }
  }
}

// ---- What is taken so.

constexpr size_t kMostBandBytes = 32 << 10;  // of a tile's images

constexpr int32_t kLeastBandRows = 5;  // fewer fill little of a band

// Images of 16 bits, as their results, that fill a good part of the matrices. Rows are whole words:
// those that are not took 12.5 us on an H200, where tiles took 9.9 on an H100 (bfloat16 32x768x7x7
// by 7x7 taps). By 3x3 taps columns.h is quicker: 22 us and 30 (32x144x56x56, H200).
inline bool has_bands(const Shape& s, int element_bytes) {
  if (element_bytes != 2 || s.h.in < kLeastBandRows || s.w.in % 2 != 0) return false;
  if (s.h.taps != s.w.taps || (s.h.taps != 5 && s.h.taps != 7)) return false;
  for (const Axis* axis : {&s.h, &s.w}) {
    if (axis->stride != 1 || axis->in != axis->out || axis->padding != (axis->taps - 1) / 2) {
      return false;
    }
  }
  const BandTiles t(s);
  return t.bands * t.images >= kMatrixRows / 2 && t.bytes(1) <= kMostBandBytes;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_BAND_TILES_H_
