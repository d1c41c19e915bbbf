# shellcheck shell=bash
# Makes the virtual environment of this checkout; sourced by the other scripts.
#
#   install_drn_jax EXTRAS [PACKAGE ...]    installs this checkout with its extras and further
#                                           packages, if anything changed
#   install_cuda_compiler                   installs the compiler for GPUs, which needs none, into a
#                                           folder of the environment, if it can be fetched
#   keep_compiled                           keeps compiled programs for the next start
#   show_help FILE                          prints the comment at the top of a script
#   fail SENTENCE                           prints it as an error and ends
#   run COMMAND ...                         runs a command, or prints it where dry_run is not empty
#
# PYTHON chooses the interpreter (3.11 or newer), VENV the directory of the environment, and
# JAX_COMPILATION_CACHE_DIR that of compiled programs (empty: they are not kept).

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
VENV=${VENV:-.venv}
dry_run=${dry_run:-}

show_help() {
  sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$1"
}

fail() {
  echo "error: $1" >&2
  exit 1
}

run() {
  if [ -n "$dry_run" ]; then
    printf '%q ' "$@"
    echo
  else
    "$@"
  fi
}

keep_compiled() {
  export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR-$(cd "$VENV" && pwd)/compiled}
}

find_python() {
  local candidate
  for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo 'error: no Python of version 3.11 or newer was found; set PYTHON to one' >&2
  return 1
}

install_drn_jax() {
  local python wanted stamp="$VENV/installed"
  if [ ! -x "$VENV/bin/python" ]; then
    python=$(find_python)
    echo "Making a virtual environment in $VENV with $python ..."
    "$python" -m venv "$VENV"
  fi
  wanted="$* $(cksum setup.cfg)"
  if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    echo 'Installing drn_jax and its dependencies (a few minutes, about 2.5 GB) ...'
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check \
      --editable ".${1:+[$1]}" "${@:2}"
    echo "$wanted" > "$stamp"
  fi
}

install_cuda_compiler() {
  local arguments
  read -ra arguments < <("$VENV/bin/python" -c '
from drn_jax.planning import cuda_compiler
try:
    cuda_compiler.find()
except cuda_compiler.InputError:
    print(cuda_compiler.install_command())') || return 0
  echo 'Installing the CUDA compiler (190 MB) ...'
  "$VENV/bin/python" -m "${arguments[@]}" --quiet --disable-pip-version-check ||
    echo 'It cannot be fetched; tests that need it are skipped.'
}
