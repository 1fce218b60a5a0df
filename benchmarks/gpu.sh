#!/usr/bin/env bash
# Measures everything on a GPU in at most 15 minutes. Finished parts are saved as they end.
#
#     benchmarks/gpu.sh FACADES OUT          needs a GPU and a python that imports tensorflow
#     benchmarks/gpu.sh --dry FACADES OUT    the same parts, small enough for a CPU, as a test
#
# FACADES holds folders of pairs, train and test. OUT receives log.txt, a JSON file for each table,
# summary.json, and the training run with its test images and a grid of these. The environment
# variable PYTHON names the interpreter.
set -uo pipefail

dry=
if [ "${1:-}" = --dry ]; then dry=1; shift; fi
if [ $# -ne 2 ] || [ ! -d "$1/train" ] || [ ! -d "$1/test" ]; then
  echo "usage: gpu.sh [--dry] FACADES OUT, where FACADES has folders train and test" >&2
  exit 2
fi
facades=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
python=${PYTHON:-python3}
cd "$(dirname "$0")/.." || exit 2
exec > >(tee "$out/log.txt") 2>&1
export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-3}

# part NAME SECONDS COMMAND...: runs a command with a time limit, and records its exit code.
part() {
  local name=$1 limit=$2 start=$SECONDS code=0
  shift 2
  echo "== $name: $*"
  timeout --kill-after=10 "$limit" "$@" || code=$?
  echo "$name $code $((SECONDS - start))" >> "$out/parts.txt"
}
: > "$out/parts.txt"

variants="fp32 mixed fp32-xla mixed-xla mixed-10 mixed-xla-10"
peers="torch-bf16-channels-last torch-bf16-channels-last-compiled"
sizes=() training=(--max_epochs 200 --steps_per_run 100 --save_freq 20000) some=()
pairs=30 progress=2000
if [ "$dry" ]; then
  variants="fp32 mixed-10 mixed-xla" peers= pairs=2 progress=20
  sizes=(--ngf 4 --ndf 4)
  training=(--max_steps 40 --steps_per_run 10 --save_freq 20 --crop_size 64 --ngf 4 --ndf 4)
  some=(--max_steps 6)
fi

part environment 60 "$python" - "$out" <<'PYTHON'
import json, platform, sys
import tensorflow as tf

gpus = tf.config.list_physical_devices("GPU")
names = [tf.config.experimental.get_device_details(gpu).get("device_name") for gpu in gpus]
build = tf.sysconfig.get_build_info()
metadata = {"gpus": names, "tensorflow": tf.__version__, "python": platform.python_version()}
metadata |= {name: build.get(name) for name in ("cuda_version", "cudnn_version")}
print(json.dumps(metadata))
with open(f"{sys.argv[1]}/environment.json", "w") as file:
    json.dump(metadata, file, indent=4)
PYTHON

# Training comes first, as the most important result if time runs out.
part train 330 "$python" tools/train.py --input_dir "$facades/train" --output_dir "$out/run" \
  --which_direction BtoA --precision mixed --xla --summary_freq 0 --progress_freq "$progress" \
  "${training[@]}"
part translate 60 "$python" tools/test.py --input_dir "$facades/test" --checkpoint "$out/run" \
  --output_dir "$out/run/test" --grid "${some[@]}"
# shellcheck disable=SC2086 # several names
part steps 180 "$python" benchmarks/step.py --pairs "$pairs" --json "$out/steps.json" \
  "${sizes[@]}" $variants
part inputs 60 "$python" benchmarks/inputs.py --data "$facades/train" --json "$out/inputs.json"
if "$python" -c "import pytest" 2> /dev/null; then
  part tests 90 env P2P_GRAPH_TEST_GPU=1 "$python" -m pytest -o addopts=-q -rs tests/gpu
fi
if [ "$peers" ] && "$python" -c "import torch" 2> /dev/null; then
  # shellcheck disable=SC2086
  part peers 180 "$python" benchmarks/step.py --pairs "$pairs" --json "$out/peers.json" \
    mixed-xla-10 $peers
fi

"$python" - "$out" <<'PYTHON'
import json, pathlib, sys

out = pathlib.Path(sys.argv[1])
ends = [line.split() for line in (out / "parts.txt").read_text().splitlines()]
summary = {"parts": {name: {"code": int(code), "s": int(s)} for name, code, s in ends}}
for name in ("environment", "steps", "inputs", "peers"):
    path = out / f"{name}.json"
    if path.exists():
        summary[name] = json.loads(path.read_text())
(out / "summary.json").write_text(json.dumps(summary, indent=4) + "\n")
print(json.dumps(summary["parts"], indent=4))
failed = [name for name, end in summary["parts"].items() if end["code"]]
sys.exit(f"failed or out of time: {', '.join(failed)}" if failed else 0)
PYTHON
