#ifndef POLYOPS_REFERENCE_ACTIVATION_H_
#define POLYOPS_REFERENCE_ACTIVATION_H_

#include <string>

#include "polyops/ops/activation.h"

namespace polyops::reference {

// op: "mish", "softplus", "elu" or "log_sigmoid".
void activation(const std::string& op, const polyops_activation_args& args);
void activation_backward(const std::string& op, const polyops_activation_backward_args& args);

}  // namespace polyops::reference

#endif  // POLYOPS_REFERENCE_ACTIVATION_H_
