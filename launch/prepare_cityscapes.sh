#!/usr/bin/env bash
# Prepares Cityscapes for training, once. Its archives are extracted below --data_dir meanwhile.
#
#   launch/prepare_cityscapes.sh --manual_dir=DIR [--data_dir=DIR]
#
#   --manual_dir=DIR    holds leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip, from
#                       https://www.cityscapes-dataset.com (after registration)
#   --data_dir=DIR      where prepared data goes, local or gs:// (default: ~/tensorflow_datasets)
#   --dry_run           only print the command
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/prepare.sh"
prepare cityscapes configs/cityscapes_drn_c_26.py "$@"
