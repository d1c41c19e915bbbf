#!/usr/bin/env bash
# Installs drn_jax with the newest versions of everything that setup.cfg allows, and tries the commands
# on a small network: trains it, kills that and goes on, evaluates, predicts, converts there and back,
# exports. Ends at the first that fails; some three minutes.
#
#   launch/smoke.sh                     with the first Python that is found
#   PYTHON=python3.13 launch/smoke.sh   with another
#
# VENV is the directory of the environment (.venv-smoke); where it exists, it stays as it is.
set -euo pipefail
VENV=${VENV:-.venv-smoke}
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
case ${1:-} in
  '') ;;
  --help | -h) show_help launch/smoke.sh; exit ;;
  *) fail "$1 is not understood; launch/smoke.sh --help says what it takes" ;;
esac

install_drn_jax ''
keep_compiled
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
checkpoints="$work/run/checkpoints"

drn_jax() {
  echo "== drn-jax $*"
  "$VENV/bin/drn-jax" "$@"
}

flags=(
  --config=configs/digit_scenes.py --workdir="$work/run" --config.steps=40
  --config.checkpoint.every_steps=10 --config.model.variant=drn_a_18 --config.model.width=0.0625
  --config.batch_size=16 "--config.data.validation_split=validation[:100]"
)

drn_jax --version
"$VENV/bin/drn-jax" train "${flags[@]}" > /dev/null &
until [ -e "$checkpoints/20" ] || ! kill -0 $! 2> /dev/null; do sleep 0.1; done
kill -KILL $! || fail 'training ended before it was killed'
wait $! || true
drn_jax train "${flags[@]}" | tee "$work/log"
grep -q '^resuming at step' "$work/log" || fail 'training did not go on at its checkpoint'
drn_jax evaluate --checkpoint="$work/run"
drn_jax predict docs/activation_maps.png --checkpoint="$work/run" --output="$work/predictions"
drn_jax convert --checkpoint="$work/run" --output="$work/weights.safetensors"
drn_jax convert --variant=drn_a_18 --input="$work/weights.safetensors" --output="$work/converted"
drn_jax export --checkpoint="$work/converted" --output="$work/network.stablehlo" --dtype=bfloat16
echo 'All commands did what they should.'
