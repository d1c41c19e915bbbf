#!/usr/bin/env bash
# Sets up a virtual environment and runs the style checks and all tests.
#
#   launch/test.sh             everything
#   launch/test.sh tests/ops   flags and paths are those of pytest
#   launch/test.sh -m long     tests that take many minutes, which are left out otherwise
#
# Tests that need PyTorch (some pytorchcv too), write ONNX files, build the documentation, or compile for
# GPUs (three minutes) are skipped without; PACKAGES='torch==2.13.0', NO_DEPS=pytorchcv, EXTRAS=docs and
# CUDA_COMPILER=1 install that too, for ONNX the packages that .ci/run names; NO_DEPS without what the
# packages ask for, which would be another PyTorch.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
read -ra packages <<< "${PACKAGES:-}"
install_drn_jax "test${EXTRAS:+,$EXTRAS}" "${packages[@]}"
read -ra no_deps <<< "${NO_DEPS:-}"
[ -z "${NO_DEPS:-}" ] || "$VENV/bin/python" -m pip install --quiet --no-deps "${no_deps[@]}"
[ -z "${CUDA_COMPILER:-}" ] || install_cuda_compiler

"$VENV/bin/python" -m ruff check
"$VENV/bin/python" -m ruff format --check
"$VENV/bin/python" -m mypy
# Three processes share the files of tests, the longest first (tests/conftest.py): most of the time goes
# into compiling, on one core each, and a fifth into waiting.
exec "$VENV/bin/python" -m pytest --numprocesses=3 --dist=loadfile --no-loadscope-reorder "$@"
