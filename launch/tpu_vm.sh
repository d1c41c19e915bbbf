#!/usr/bin/env bash
# Trains on a Cloud TPU slice, or on several: makes it or takes it as it is, copies this checkout,
# installs it, starts the run on all workers and follows the log of the first.
#
#   launch/tpu_vm.sh NAME --zone=us-west4-a --type=v5litepod-16 --spot -- \
#       --config=configs/drn_c_26.py --workdir=gs://bucket/drn_c_26 \
#       --config.data.data_dir=gs://bucket/tfds --config.model.dtype=bfloat16
#   launch/tpu_vm.sh NAME --zone=us-west4-a --delete
#
# What follows -- are flags of python -m drn_jax.main. The same command, given again, follows a run
# that goes on; after a preemption it makes the slice anew, and the run goes on at its last
# checkpoint. Ctrl-C ends only the following.
#
#   --zone=ZONE         of Google Cloud
#   --type=TYPE         accelerator type, such as v5litepod-16 or v6e-8
#   --project=PROJECT   of Google Cloud (default: that of gcloud)
#   --spot              a cheaper slice that may be preempted
#   --queued            wait in the queue for it (a queued resource)
#   --slices=N          several slices that train together, queued
#   --runtime=VERSION   software of the TPU VM (default: by type)
#   --delete            delete it when the run has ended well, or, without --, at once
#   --dry_run           only print the commands
#
# POLL_SECONDS is the time between two looks at a slice that is being made (30).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

name='' zone='' type='' project='' spot='' queued='' slices=1 runtime='' delete='' flags=()
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) show_help launch/tpu_vm.sh; exit ;;
    --zone=*) zone=${1#*=} ;;
    --type=*) type=${1#*=} ;;
    --project=*) project=${1#*=} ;;
    --spot) spot=1 ;;
    --queued) queued=1 ;;
    --slices=*) slices=${1#*=} ;;
    --runtime=*) runtime=${1#*=} ;;
    --delete) delete=1 ;;
    --dry_run) dry_run=1 ;;
    --) shift; flags=("$@"); break ;;
    -*) fail "$1 is unknown; launch/tpu_vm.sh --help lists the flags, those of the run follow --" ;;
    *) [ -z "$name" ] || fail "two names are given, $name and $1; give one"; name=$1 ;;
  esac
  shift
done

[ -n "$name" ] || fail 'no name for the TPU is given; launch/tpu_vm.sh --help shows how'
[ -n "$zone" ] || fail 'no --zone is given, such as --zone=us-west4-a'
[[ $slices =~ ^[1-9][0-9]*$ ]] || fail "--slices is $slices; give a number of at least 1"
[ "$slices" = 1 ] || queued=1
[ -n "$delete" ] || [ ${#flags[@]} -gt 0 ] ||
  fail 'nothing is to be run; give the flags of drn_jax.main after --, or --delete'
if [ ${#flags[@]} -gt 0 ]; then
  [ -n "$type" ] || fail 'no --type is given, such as --type=v5litepod-16'
  [[ " ${flags[*]}" == *' --workdir=gs://'* ]] ||
    fail 'the disks of a TPU go with it and are not shared; give --workdir=gs://BUCKET/FOLDER after --'
fi
case $type in
  v5litepod-*) runtime=${runtime:-v2-alpha-tpuv5-lite} ;;
  v5p-*) runtime=${runtime:-v2-alpha-tpuv5} ;;
  v6e-*) runtime=${runtime:-v2-alpha-tpuv6e} ;;
  *) runtime=${runtime:-tpu-ubuntu2204-base} ;;
esac

kind=tpu-vm
[ -z "$queued" ] || kind='queued-resources'
place=(--zone="$zone" --quiet)
[ -z "$project" ] || place+=(--project="$project")
nodes=("$name")
if [ "$slices" -gt 1 ]; then
  nodes=()
  for ((number = 0; number < slices; number++)); do nodes+=("$name-$number"); done
fi

tpus() {  # tpu-vm or queued-resources, verb, and what follows
  run gcloud compute tpus "$@" "${place[@]}"
}

check_login() {
  command -v gcloud > /dev/null ||
    fail 'gcloud is not installed; see https://cloud.google.com/sdk/docs/install'
  [ -n "$(gcloud auth list --filter=status:ACTIVE --format='value(account)' 2>/dev/null)" ] ||
    fail 'gcloud is not logged in; run: gcloud auth login'
}

state() {  # READY (a TPU VM), ACTIVE (a queued resource), ..., or nothing
  local field=state
  [ -z "$queued" ] || field=state.state
  tpus "$kind" describe "$name" --format="value($field)" 2>/dev/null || true
}

create() {
  local command=("$kind" create "$name" --accelerator-type="$type")
  if [ -z "$queued" ]; then
    command+=(--version="$runtime")
  elif [ "$slices" = 1 ]; then
    command+=(--runtime-version="$runtime" --node-id="$name")
  else
    command+=(--runtime-version="$runtime" --node-count="$slices" --node-prefix="$name")
  fi
  [ -z "$spot" ] || command+=(--spot)
  echo "Making $name ($type) ..."
  tpus "${command[@]}" || fail "$name cannot be made; see what gcloud says above"
}

remove() {
  local command=("$kind" delete "$name")
  [ -z "$queued" ] || command+=(--force)
  tpus "${command[@]}"
}

make_ready() {
  local found shown='' made=''
  while true; do
    found=$(state)
    if [ -n "$dry_run" ]; then
      echo "$found"
      create
      return
    fi
    case $found in
      READY | ACTIVE) return ;;
      '') create; made=1 ;;
      STOPPED) tpus tpu-vm start "$name" ;;
      PREEMPTED | TERMINATED | SUSPENDED | FAILED)
        [ -z "$made" ] || fail "$name was made and is $found; gcloud compute tpus $kind describe \
$name --zone=$zone says why"
        echo "$name is $found; it is made anew."
        remove
        create
        made=1 ;;
      *)
        [ "$found" = "$shown" ] || echo "$name is $found; waiting ..."
        shown=$found
        sleep "${POLL_SECONDS:-30}" ;;
    esac
  done
}

start() {
  local archive="$1/drn_jax.tar.gz" command node
  # It is unpacked only where no run goes on.
  command='mkdir -p drn_jax.start && tar -xzf drn_jax.tar.gz -C drn_jax.start launch &&'
  command+=" bash drn_jax.start/launch/tpu_worker.sh start $(printf '%q ' "${flags[@]}")"
  run tar -czf "$archive" --exclude='./.*' --exclude=./runs --exclude=__pycache__ \
    --transform='s,^\./,,' .
  for node in "${nodes[@]}"; do
    tpus tpu-vm scp "$archive" "$node:" --worker=all
  done
  for node in "${nodes[@]}"; do
    tpus tpu-vm ssh "$node" --worker=all --command="$command"
  done
}

follow() {
  tpus tpu-vm ssh "${nodes[0]}" --worker=0 --command='bash drn_jax/launch/tpu_worker.sh follow' &&
    return
  local node
  echo 'The last lines of all workers:' >&2
  for node in "${nodes[@]}"; do
    tpus tpu-vm ssh "$node" --worker=all --command='tail -n 3 drn_jax.log' >&2 || true
  done
  fail "the run on $name has ended or its TPU is gone ($(state)); the same command goes on with it"
}

[ -n "$dry_run" ] || check_login
if [ ${#flags[@]} -eq 0 ]; then
  remove
  exit
fi
make_ready
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
start "$scratch"
follow
[ -z "$delete" ] || remove
