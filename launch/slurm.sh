#!/usr/bin/env bash
# Submits a run to Slurm: one process on each node, which uses all accelerators of it.
#
#   launch/slurm.sh --nodes=2 --gpus-per-node=8 --time=24:00:00 -- \
#       --config=configs/drn_c_26.py --workdir=/shared/drn_c_26 --config.model.dtype=bfloat16
#
# What precedes -- are flags of sbatch, what follows are flags of python -m drn_jax.main. The
# checkout, .venv and --workdir lie where all nodes see them. A job that Slurm preempts is queued
# again and goes on at its last checkpoint; so does one that is submitted again. Two minutes before
# its time is over, a run is asked to save and end.
#
#   --dry_run           only print the command
#
# EXTRAS chooses what is installed: cuda12 (default), cuda13 or, for CPUs, empty.
set -euo pipefail
# Slurm runs a copy of this file.
source "${DRN_JAX_CHECKOUT:-$(dirname "${BASH_SOURCE[0]}")/..}/launch/environment.sh"

wanted=()
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) show_help launch/slurm.sh; exit ;;
    --dry_run) dry_run=1 ;;
    --) break ;;
    *) wanted+=("$1") ;;
  esac
  shift
done
[ $# -gt 1 ] || fail 'nothing is to be run; give the flags of drn_jax.main after --'
shift

if [ -z "${DRN_JAX_CHECKOUT:-}" ]; then
  [[ " $*" == *' --workdir'* ]] || fail 'no --workdir is given after --'
  [ -n "$dry_run" ] || command -v sbatch > /dev/null ||
    fail 'sbatch is not installed here; use a machine that submits jobs to Slurm'
  run sbatch --job-name=drn_jax --ntasks-per-node=1 --requeue --open-mode=append --signal=TERM@120 \
    --export="ALL,DRN_JAX_CHECKOUT=$PWD" "${wanted[@]}" "$PWD/launch/slurm.sh" -- "$@"
else
  install_drn_jax "${EXTRAS-cuda12}"
  keep_compiled
  exec srun --ntasks-per-node=1 --kill-on-bad-exit=1 "$VENV/bin/python" -m drn_jax.main "$@"
fi
