#!/usr/bin/env bash
# What launch/tpu_vm.sh runs on every worker of a TPU, where drn_jax.tar.gz lies in the home
# directory.
#
#   tpu_worker.sh start FLAGS ...   unpacks and installs drn_jax, and starts python -m drn_jax.main in
#                                   the background; where a run goes on, does nothing
#   tpu_worker.sh follow            prints its log until it ends, and ends with its status
#
# Everything lies in ~/drn_jax; the log in ~/drn_jax.log. Compiled programs are kept in the working
# directory of the run, since the disks go with the TPU.
set -euo pipefail
script=$(realpath "${BASH_SOURCE[0]}")
cd "$HOME"

goes_on() {
  [ -e drn_jax.pid ] && kill -0 "$(cat drn_jax.pid)" 2>/dev/null
}

install_python() {
  local version
  for version in python3 python3.12 python3.11; do
    "$version" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && return
  done
  echo 'Installing Python 3.11 ...'
  sudo apt-get update -qq && sudo apt-get install -qq -y python3.11 python3.11-venv > /dev/null
}

start() {
  local flag
  if goes_on; then
    echo "$(hostname): a run goes on; it is left alone."
    return
  fi
  install_python
  mkdir -p drn_jax
  tar -xzf drn_jax.tar.gz -C drn_jax
  for flag in "$@"; do
    case $flag in
      --workdir=*) export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR-${flag#*=}/compiled} ;;
    esac
  done
  rm -f drn_jax.status
  # shellcheck disable=SC2016
  EXTRAS=tpu nohup bash -c \
    'drn_jax/launch/local.sh "$@" && status=0 || status=$?; echo "$status" > drn_jax.status' \
    local.sh "$@" > drn_jax.log 2>&1 < /dev/null &
  echo $! > drn_jax.pid
  echo "$(hostname): started."
}

follow() {
  tail -n +1 --pid="$(cat drn_jax.pid)" -f drn_jax.log
  return "$(cat drn_jax.status 2>/dev/null || echo 1)"  # none where it was killed
}

case ${1:-} in
  start | follow) "$@" ;;
  *) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$script" ;;
esac
