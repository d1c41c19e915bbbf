#!/usr/bin/env bash
# Sets up a virtual environment and runs the style checks and all tests.
#
#   launch/test.sh             everything
#   launch/test.sh tests/ops   flags and paths are those of pytest
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
install_drn_jax test

"$VENV/bin/python" -m flake8
"$VENV/bin/python" -m mypy
exec "$VENV/bin/python" -m pytest "$@"
