# Makes the virtual environment of this checkout; sourced by the other scripts.
#
#   install_drn_jax EXTRAS [PACKAGE ...]    installs this checkout with its extras and further
#                                           packages, if anything changed
#
# PYTHON chooses the interpreter (3.11 or newer), VENV the directory of the environment.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
VENV=${VENV:-.venv}

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
