#include "convolution_plan.h"

#include <algorithm>
#include <iterator>
#include <limits>

#include "cache.h"

namespace polyops::onednn {
namespace {

struct Cut {
  int64_t bands, parts;
};

int64_t elements(const SliceKey& key, int64_t channels, int64_t Side::* size) {
  int64_t n = key.groups * channels;
  for (int64_t d = 0; d < key.spatial; ++d) n *= key.side[d].*size;
  return n;
}

int64_t weights_of(const SliceKey& key) {
  return key.channels * elements(key, key.filters, &Side::taps);
}

// Time of the busiest thread, in multiply-adds.
double cost_of(const CallKey& call, const Cut& cut) {
  constexpr double kCall = 5e4, kCopied = 8, kArranged = 30, kRead = 0.5;  // per primitive, element
  const SliceKey& key = call.whole;
  const Side& side = key.side[0];
  const double rows = static_cast<double>(ceil_div(side.out, cut.bands)) / side.out;
  const double share = rows / cut.parts;
  const bool planes = key.src_order == kPlanes || key.dst_order == kPlanes;
  const double weights = static_cast<double>(weights_of(key)) / cut.parts;
  double unit = kCall + share * call.products() + kRead * weights;
  if (planes) unit += kCopied * rows * elements(key, key.channels, &Side::in);
  if (planes || cut.parts > 1) unit += kCopied * share * elements(key, key.filters, &Side::out);
  const int64_t units = ceil_div(call.batch * cut.bands * cut.parts, call.threads);
  double cost = units * unit;
  if (!call.has_pack()) cost += kArranged * weights * ceil_div(cut.parts, call.threads);
  return cost;
}

// Bands of images that are copied stay in the cache.
int64_t fewest_bands(const SliceKey& key) {
  constexpr int64_t kCopies = 1 << 19;  // elements
  if (key.src_order == kLast && key.dst_order == kLast) return 1;
  const int64_t copied =
      elements(key, key.channels, &Side::in) + elements(key, key.filters, &Side::out);
  return std::min(key.side[0].out, ceil_div(copied, kCopies));
}

Cut choose_cut(const CallKey& call, bool cut_filters) {
  constexpr int64_t kFilters = 16;  // of a part, and what it is a multiple of
  const SliceKey& key = call.whole;
  const int64_t least = fewest_bands(key);
  const int64_t most = std::min(key.side[0].out, least + 2 * call.threads);
  const int64_t most_parts = cut_filters && key.groups == 1 ? 2 * call.threads : 1;
  Cut best = {least, 1};
  double lowest = std::numeric_limits<double>::infinity();
  for (int64_t parts = 1; parts <= most_parts; ++parts) {
    if (parts > 1 && key.filters % (parts * kFilters) != 0) continue;
    for (int64_t bands = least; bands <= most; ++bands) {
      const double cost = cost_of(call, {bands, parts});
      if (cost < lowest) {
        lowest = cost;
        best = {bands, parts};
      }
    }
  }
  return best;
}

// The rows that results [first, first + count) come from; what the windows miss is padding.
Side band_side(const Side& whole, int64_t first, int64_t count, int64_t* first_in) {
  Side side = whole;
  const int64_t from = first * whole.stride - whole.before;
  const int64_t last = from + (count - 1) * whole.stride + whole.reach();
  *first_in = std::max<int64_t>(from, 0);
  const int64_t last_in = std::min(last, whole.in - 1);
  side.in = last_in - *first_in + 1;
  side.out = count;
  side.before = *first_in - from;
  side.after = last - last_in;
  return side;
}

// Throws `unimplemented` if a slice has no primitive that reads its part of the pack.
class Planner {
 public:
  Planner(const CallKey& call, const Cut& cut) : call_(call) {
    plan_.parts = cut.parts;
    if (call.has_pack()) {
      const WeightKey& pack = call.whole.pack;
      packed_ = part_of_weights(pack, packed_weights(pack), cut.parts);
      if (packed_.get(true) == nullptr || packed_.is_zero()) {
        throw dnnl::error(dnnl_unimplemented, "filters that lie together");
      }
    }
    const int64_t rows = call.whole.side[0].out, height = ceil_div(rows, cut.bands);
    for (int64_t first = 0; first < rows; first += height) {
      add_band(first, std::min(height, rows - first), cut.bands == 1);
    }
    plan_.own_bytes = plan_.src_bytes + plan_.dst_bytes + to_cache_lines(scratchpad_);
  }

  Plan take() { return std::move(plan_); }

 private:
  void add_band(int64_t first, int64_t count, bool whole) {
    Band band = {0, first, 0};
    SliceKey key = call_.whole;
    key.filters /= plan_.parts;
    key.parts = call_.has_pack() ? plan_.parts : 1;
    if (!whole) key.side[0] = band_side(call_.whole.side[0], first, count, &band.first_in);
    band.kind = kind_of(key);
    plan_.bands.push_back(band);
  }

  size_t kind_of(const SliceKey& key) {
    for (size_t i = 0; i < plan_.kinds.size(); ++i) {
      const Side &a = plan_.kinds[i].key.side[0], &b = key.side[0];
      if (a.in == b.in && a.out == b.out && a.before == b.before) return i;
    }
    Kind kind = {key, packed_, 0};
    const std::shared_ptr<Slice> slice = slice_of(key, kind.pack());
    kind.layout = layout_of(kind, *slice);
    plan_.src_bytes = std::max(plan_.src_bytes, to_cache_lines(slice->src_bytes));
    plan_.dst_bytes = std::max(plan_.dst_bytes, to_cache_lines(slice->dst_bytes));
    scratchpad_ = std::max(scratchpad_, slice->scratchpad_bytes);
    plan_.kinds.push_back(kind);
    return plan_.kinds.size() - 1;
  }

  size_t layout_of(const Kind& kind, const Slice& slice) {
    using Source = WeightLayout::Source;
    const Source source = kind.pack() != nullptr   ? Source::kPack
                          : slice.weights_in_place ? Source::kPlain
                                                   : Source::kCopy;
    for (size_t i = 0; i < plan_.layouts.size(); ++i) {
      if (plan_.layouts[i].source == source && descs_[i] == slice.weights) return i;
    }
    const size_t bytes = slice.weights.get_size();
    const size_t part = source == Source::kCopy ? to_cache_lines(bytes) : bytes;
    plan_.layouts.push_back({source, plan_.kinds.size(), plan_.shared_bytes, part});
    descs_.push_back(slice.weights);
    if (source == Source::kCopy) plan_.shared_bytes += part * plan_.parts;
    return plan_.layouts.size() - 1;
  }

  const CallKey& call_;
  Plan plan_;
  dnnl::memory::desc packed_;  // a part of the pack
  std::vector<dnnl::memory::desc> descs_;
  size_t scratchpad_ = 0;
};

// The best cut, if all of its slices can read the pack; else the best without cutting its filters;
// else the weights as they lie, which are there as well.
Plan make_plan(const CallKey& call) {
  const OneThread alone;
  if (call.has_pack()) {
    for (const bool cut_filters : {true, false}) {
      try {
        return Planner(call, choose_cut(call, cut_filters)).take();
      } catch (const dnnl::error& e) {
        if (e.status != dnnl_unimplemented) throw;
      }
    }
  }
  CallKey plain = call;
  plain.whole.pack = {};
  return Planner(plain, choose_cut(plain, /*cut_filters=*/true)).take();
}

}  // namespace

double CallKey::products() const {
  return static_cast<double>(whole.channels) * elements(whole, whole.filters, &Side::out) *
         elements(whole, 1, &Side::taps) / whole.groups;
}

std::shared_ptr<Plan> plan_of(const CallKey& key) {
  thread_local Cache<CallKey, Plan> plans;
  return plans.get(key, [&] { return make_plan(key); });
}

}  // namespace polyops::onednn
