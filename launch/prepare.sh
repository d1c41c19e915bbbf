# shellcheck shell=bash
# Prepares the data set of a configuration; sourced by prepare_imagenet.sh and prepare_cityscapes.sh.

source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

prepare() {  # name of the data set, configuration, flags of the script
  local name=$1 config=$2 manual_dir='' data_dir=''
  shift 2
  while [ $# -gt 0 ]; do
    case $1 in
      --help | -h) show_help "launch/prepare_$name.sh"; exit ;;
      --manual_dir=*) manual_dir=${1#*=} ;;
      --data_dir=*) data_dir=${1#*=} ;;
      --dry_run) dry_run=1 ;;
      *) fail "$1 is unknown; launch/prepare_$name.sh --help lists the flags" ;;
    esac
    shift
  done
  [ -n "$manual_dir" ] ||
    fail "no --manual_dir is given; launch/prepare_$name.sh --help says what it holds"
  [ -n "$dry_run" ] || install_drn_jax "${EXTRAS:-}"
  run "$VENV/bin/python" -m drn_jax.prepare --config="$config" \
    --config.data.manual_dir="$manual_dir" --config.data.data_dir="$data_dir"
}
