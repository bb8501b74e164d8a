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

  std::vector<long double> scores() const {
    std::vector<long double> all(seen());
    for (size_t j = 0; j < all.size(); ++j) all[j] = score(static_cast<int64_t>(j));
    return all;
  }

  // Scores become weights, not yet divided by their total, which is returned; and logsumexp.
  static long double weigh(std::vector<long double>* scores, long double* logsumexp) {
    long double top = -kInfinity, sum = 0;
    for (long double s : *scores) {
      if (!(s <= top)) top = s;  // NaN stays
    }
    const long double from = top == -kInfinity ? 0 : top;
    for (long double& s : *scores) sum += s = std::exp(s - from);
    if (sum == 0) sum = 1;
    *logsumexp = from + std::log(sum);
    return sum;
  }

  void run() const {
    std::vector<long double> weights = scores();
    long double logsumexp;
    const long double sum = weigh(&weights, &logsumexp);
    store(args.logsumexp, at, static_cast<double>(logsumexp));
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

// The long double sums of a call's gradients.
struct Gradients {
  const polyops_attention_backward_args& args;
  const int64_t dim;
  std::vector<long double> query, key, value;

  explicit Gradients(const polyops_attention_backward_args& a)
      : args(a),
        dim(a.query.sizes[3]),
        query(polyops_numel(&a.query)),
        key(polyops_numel(&a.key)),
        value(polyops_numel(&a.value)) {}

  // Weights and the forward's result are computed anew, so that they are exact.
  void add(const Query& of) {
    std::vector<long double> weights = of.scores();
    long double logsumexp;
    const long double sum = Query::weigh(&weights, &logsumexp);
    std::vector<long double> products(weights.size());
    long double delta = 0;
    for (size_t j = 0; j < weights.size(); ++j) {
      weights[j] /= sum;
      const int64_t row = (of.keys_at + static_cast<int64_t>(j)) * dim;
      for (int64_t d = 0; d < dim; ++d) {
        const long double grad = load(args.grad_dst, of.at * dim + d);
        products[j] += grad * load(args.value, row + d);
        value[row + d] += weights[j] * grad;
      }
      delta += weights[j] * products[j];
    }
    for (size_t j = 0; j < weights.size(); ++j) {
      const long double grad = args.scale * weights[j] * (products[j] - delta);
      const int64_t row = (of.keys_at + static_cast<int64_t>(j)) * dim;
      for (int64_t d = 0; d < dim; ++d) {
        query[of.at * dim + d] += grad * load(args.key, row + d);
        key[row + d] += grad * load(args.query, of.at * dim + d);
      }
    }
  }
};

void store_all(const polyops_tensor& t, const std::vector<long double>& values) {
  for (size_t i = 0; i < values.size(); ++i) {
    store(t, static_cast<int64_t>(i), static_cast<double>(values[i]));
  }
}

}  // namespace

void attention_backward(const polyops_attention_backward_args& args) {
  polyops_attention_args forward = {};
  forward.causal = args.causal;
  forward.scale = args.scale;
  forward.query = args.query;
  forward.key = args.key;
  forward.value = args.value;
  forward.mask = args.mask;
  Gradients gradients(args);
  const int64_t queries = polyops_numel(&args.query) / args.query.sizes[3];
  for (int64_t at = 0; at < queries; ++at) gradients.add(Query(forward, at));
  store_all(args.grad_query, gradients.query);
  store_all(args.grad_key, gradients.key);
  store_all(args.grad_value, gradients.value);
}

void attention(const polyops_attention_args& args) {
  const int64_t queries = polyops_numel(&args.logsumexp);
  for (int64_t at = 0; at < queries; ++at) Query(args, at).run();
}

}  // namespace polyops::reference
