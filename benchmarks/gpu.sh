#!/usr/bin/env bash
# The step of pre-training on one GPU, beside PyTorch's, in at most nine minutes.
#
#   benchmarks/gpu.sh                          # everything that fits into the time
#   benchmarks/gpu.sh --rows 'resnet50*'       # some of it
#   benchmarks/gpu.sh --tune                   # switches of XLA and our own
#   benchmarks/gpu.sh --toy                    # tiny sizes on the CPU: does it run?
#   benchmarks/gpu.sh --wheels DIR             # on a machine without a network, see below
#
# Needs: jax[cuda13] flax optax orbax-checkpoint jaxtyping rich absl-py matplotlib safetensors
# ml_collections; torch for the peers; opencv-python-headless for the official augmentation. No
# TensorFlow. With --wheels, ml_collections is installed from there if it is missing, for this run
# alone. PYTHON names an interpreter; the default is that of .venv, else python3.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-}
if [[ ! $python ]]; then
  python=.venv/bin/python
  [[ -x $python ]] || python=python3
fi

arguments=()
wheels=
while (($#)); do
  case $1 in
    --wheels) wheels=${2:?--wheels needs a folder}; shift 2 ;;
    --wheels=*) wheels=${1#*=}; shift ;;
    *) arguments+=("$1"); shift ;;
  esac
done

if [[ $wheels ]]; then
  site=$(mktemp -d)
  trap 'rm -rf "$site"' EXIT
  "$python" -c "import ml_collections" 2>/dev/null ||
    "$python" -m pip install -q --no-index --no-deps --find-links "$wheels" --target "$site" \
      ml_collections
  export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
fi
"$python" -m benchmarks.gpu.suite "${arguments[@]+"${arguments[@]}"}"
