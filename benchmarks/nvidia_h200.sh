#!/usr/bin/env bash
# From a clone on a machine with an NVIDIA H200 to benchmarks/results/nvidia_h200.json; nvidia_h100.sh is
# the same for an H100:
#
#     benchmarks/nvidia_h200.sh            builds, and measures with the gates of this clone
#     benchmarks/nvidia_h200.sh --gates    measures the gates first: src/polyops/gates/
#
# Further arguments go to the last `polyops bench`: --compile, --op softmax. PYTHON: the Python whose
# torch is built for CUDA, python3 by default. The installation is editable, so that it is this
# clone's gates that are written and read.
set -euo pipefail
chip=$(basename "$0" .sh)
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
gates=
if [[ ${1:-} == --gates ]]; then
  gates=1
  shift
fi

"$python" -m pip install --no-build-isolation -e .
if [[ $gates ]]; then
  "$python" -m polyops bench --device cuda --suite full --write-gates
fi
"$python" -m polyops bench --device cuda --suite full --confirm \
  --json "benchmarks/results/$chip.json" "$@"
