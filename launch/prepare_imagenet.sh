#!/usr/bin/env bash
# Prepares ImageNet for training, once: 150 GB, some hours.
#
#   launch/prepare_imagenet.sh --manual_dir=DIR [--data_dir=DIR]
#
#   --manual_dir=DIR    holds ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar, from
#                       https://image-net.org (after registration)
#   --data_dir=DIR      where prepared data goes, local or gs:// (default: ~/tensorflow_datasets)
#   --dry_run           only print the command
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/prepare.sh"
prepare imagenet configs/drn_c_26.py "$@"
