#!/usr/bin/env bash
# Sets up a virtual environment and trains on this machine.
#
#   launch/local.sh                                     configs/digit_scenes.py, a few minutes
#   launch/local.sh --config=configs/drn_c_26.py --config.data.manual_dir=DIR ...
#
# Flags are those of python -m drn_jax.main, whose --help lists them; --workdir is
# runs/<name of the config> by default. EXTRAS chooses what is installed beside the CPU version:
# tpu, cuda12 or cuda13. Compiled programs are kept in .venv/compiled, or where
# JAX_COMPILATION_CACHE_DIR says.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

config='' workdir='' previous=''
for flag in "$@"; do
  case $flag in
    --help | -h) show_help launch/local.sh; exit ;;
    --config=*) config=${flag#*=} ;;
    --workdir=*) workdir=${flag#*=} ;;
  esac
  case $previous in
    --config) config=$flag ;;
    --workdir) workdir=$flag ;;
  esac
  previous=$flag
done
[ -n "$config" ] || set -- --config="${config:=configs/digit_scenes.py}" "$@"
name=$(basename "${config%%:*}" .py)
[ -n "$workdir" ] || set -- --workdir="runs/$name" "$@"

install_drn_jax "${EXTRAS:-}"
keep_compiled
exec "$VENV/bin/python" -m drn_jax.main "$@"
