#include "reference/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "reference/elements.h"

namespace polyops::reference {
namespace {

constexpr long double kInfinity = std::numeric_limits<long double>::infinity();

// One query; `at` counts (batch, head, query) row-major.
struct Query {
  const polyops_attention_args& args;
  int64_t at;
  int64_t dim = args.query.sizes[3], kv = args.key.sizes[2];
  int64_t keys_at;  // the number of the first key of its head

  explicit Query(const polyops_attention_args& a, int64_t number) : args(a), at(number) {
    const int64_t heads = a.query.sizes[1], kv_heads = a.key.sizes[1];
    const int64_t head = at / a.query.sizes[2] % heads, batch = at / a.query.sizes[2] / heads;
    keys_at = (batch * kv_heads + head * kv_heads / heads) * kv;
  }

  int64_t seen() const {
    return args.causal != 0 ? std::min(kv, at % args.query.sizes[2] + 1) : kv;
  }

  long double score(int64_t j) const {
    long double sum = 0;
    for (int64_t d = 0; d < dim; ++d) {
      const long double q = load(args.query, at * dim + d);
      sum += q * load(args.key, (keys_at + j) * dim + d);
    }
    sum *= args.scale;
    return polyops_is_present(&args.mask) != 0 ? sum + load(args.mask, at * kv + j) : sum;
  }

  void run() const {
    std::vector<long double> weights(seen());
    long double top = -kInfinity, sum = 0;
    for (size_t j = 0; j < weights.size(); ++j) {
      weights[j] = score(static_cast<int64_t>(j));
      if (!(weights[j] <= top)) top = weights[j];  // NaN stays
    }
    const long double from = top == -kInfinity ? 0 : top;
    for (long double& w : weights) sum += w = std::exp(w - from);
    if (sum == 0) sum = 1;
    store(args.logsumexp, at, static_cast<double>(from + std::log(sum)));
    for (int64_t d = 0; d < dim; ++d) {
      long double total = 0;
      for (size_t j = 0; j < weights.size(); ++j) {
        const int64_t key = keys_at + static_cast<int64_t>(j);
        total += weights[j] * load(args.value, key * dim + d);
      }
      store(args.dst, at * dim + d, static_cast<double>(total / sum));
    }
  }
};

}  // namespace

void attention(const polyops_attention_args& args) {
  const int64_t queries = polyops_numel(&args.logsumexp);
  for (int64_t at = 0; at < queries; ++at) Query(args, at).run();
}

}  // namespace polyops::reference
