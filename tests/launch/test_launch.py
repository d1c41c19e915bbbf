"""The launch scripts, with stand-ins for the programs that they call, which record how."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest
import yaml

from drn_jax import commands

ROOT = pathlib.Path(__file__).parent.parent.parent
LAUNCH = ROOT / 'launch'
SCRIPTS = sorted(
    path.name for path in LAUNCH.glob('*.sh') if os.access(path, os.X_OK) and path.name != 'test.sh'
)

# Answers `describe` by the lines of the file `states`, the last one again and again. Commands for
# workers run in the directory `home`, to which scp copies.
GCLOUD = """
echo "gcloud $*" >> "$STANDS/calls"
command=''
for word in "$@"; do case $word in --command=*) command=${word#--command=} ;; esac; done
case "$*" in
  auth\\ list*) cat "$STANDS/account" ;;
  *\\ describe\\ *) head -n 1 "$STANDS/states"; sed -i '1{$!d}' "$STANDS/states" ;;
  *\\ create\\ *) echo ACTIVE > "$STANDS/states" ;;
  *\\ scp\\ *) cp "$5" "$STANDS/home" ;;
  *\\ ssh\\ *) cd "$STANDS/home" && HOME=$PWD bash -c "$command" ;;
esac
"""
RECORD = 'echo "$(basename "$0") $*" >> "$STANDS/calls"\n'
PYTHON = (
    RECORD
    + """
case "$*" in *drn_jax.main*)
  echo "cache $JAX_COMPILATION_CACHE_DIR" >> "$STANDS/calls"
  echo 'this is the log'; exit "${STATUS:-0}" ;;
esac
"""
)


@pytest.fixture
def stands(tmp_path):
    """A directory of stand-ins: `bin` for PATH, a virtual environment, and what was called."""
    (tmp_path / 'home').mkdir()
    for name in ('account', 'states', 'calls'):
        (tmp_path / name).write_text('someone@example.org\n' if name == 'account' else '')
    programs = {
        'bin/gcloud': GCLOUD,
        'bin/sbatch': RECORD,
        'bin/srun': RECORD,
        'bin/sudo': RECORD,
        'bin/python3': f'exec {sys.executable} "$@"\n',
        'venv/bin/python': PYTHON,
    }
    for name, text in programs.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('#!/usr/bin/env bash\n' + text)
        path.chmod(0o755)
    return tmp_path


def launch(stands, script, *flags, **environment):
    """Runs a script; gives its status, what it printed, and what it called."""
    (stands / 'calls').write_text('')
    own = ('EXTRAS', 'PACKAGES', 'CUDA_COMPILER')  # what launch/test.sh was given
    given = {key: value for key, value in os.environ.items() if 'JAX' not in key and key not in own}
    result = subprocess.run(
        ['/usr/bin/env', 'bash', str(LAUNCH / script), *flags],
        cwd='/',
        capture_output=True,
        text=True,
        timeout=100,
        env={
            **given,
            'STANDS': str(stands),
            'VENV': str(stands / 'venv'),
            'POLL_SECONDS': '0',
            'PATH': f'{stands / "bin"}:{os.environ["PATH"]}',
            **environment,
        },
    )
    return (
        result.returncode,
        result.stdout + result.stderr,
        (stands / 'calls').read_text().splitlines(),
    )


RUN = [
    '--',
    '--config=configs/drn_c_26.py',
    '--workdir=gs://bucket/run',
    "--config.model.rematerialize=('level1', 'level2')",
]
TPU = ['tpu_vm.sh', 'one', '--zone=us-west4-a', '--type=v5litepod-16']
PLACE = '--zone=us-west4-a --quiet'


@pytest.mark.skipif(not shutil.which('shellcheck'), reason='shellcheck is not installed')
def test_shellcheck_finds_nothing():
    files = [*LAUNCH.glob('*.sh'), ROOT / '.ci' / 'run']
    result = subprocess.run(['shellcheck', *map(str, files)], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize('script', SCRIPTS)
def test_help_is_the_comment_at_the_top(stands, script):
    status, printed, calls = launch(stands, script, '--help')
    assert status == 0 and calls == []
    top = (LAUNCH / script).read_text().split('set -euo')[0].splitlines()[1:]
    assert printed.splitlines() == [line[2:] for line in top]
    assert f'{script} ' in printed


def test_a_slice_is_made_and_a_run_started_and_followed(stands):
    status, printed, calls = launch(stands, *TPU, '--spot', '--delete', *RUN)
    assert status == 0, printed
    gcloud = [call for call in calls if call.startswith('gcloud ')]
    assert gcloud[:3] == [
        'gcloud auth list --filter=status:ACTIVE --format=value(account)',
        f'gcloud compute tpus tpu-vm describe one --format=value(state) {PLACE}',
        'gcloud compute tpus tpu-vm create one --accelerator-type=v5litepod-16 '
        f'--version=v2-alpha-tpuv5-lite --spot {PLACE}',
    ]
    assert gcloud[4].startswith('gcloud compute tpus tpu-vm scp ')
    assert gcloud[4].endswith(f' one: --worker=all {PLACE}')
    assert gcloud[5].startswith('gcloud compute tpus tpu-vm ssh one --worker=all --command=mkdir ')
    assert gcloud[6:] == [
        'gcloud compute tpus tpu-vm ssh one --worker=0 --command=bash '
        f'drn_jax/launch/tpu_worker.sh follow {PLACE}',
        f'gcloud compute tpus tpu-vm delete one {PLACE}',
    ]
    # What the worker did.
    assert f'python -m drn_jax.main {" ".join(RUN[1:])}' in calls
    assert 'cache gs://bucket/run/compiled' in calls
    assert any('pip install' in call and '.[tpu]' in call for call in calls)
    assert 'this is the log' in printed
    assert (stands / 'home/drn_jax/drn_jax/main.py').exists()
    assert not (stands / 'home/drn_jax/.git').exists()


def test_a_preempted_slice_is_made_anew(stands):
    (stands / 'states').write_text('PREEMPTED\nCREATING\nREADY\n')
    status, printed, calls = launch(stands, *TPU, *RUN)
    assert status == 0 and 'one is PREEMPTED; it is made anew.' in printed
    verbs = [call.split()[4] for call in calls if call.startswith('gcloud compute')]
    assert verbs == ['describe', 'delete', 'create', 'describe', 'scp', 'ssh', 'ssh']
    # The slice is there, and the run with it: it is followed, and not started again.
    (stands / 'home/drn_jax.pid').write_text(str(os.getpid()))
    start = subprocess.run(
        ['bash', str(LAUNCH / 'tpu_worker.sh'), 'start', *RUN[1:]],
        text=True,
        env={**os.environ, 'HOME': str(stands / 'home')},
        capture_output=True,
    )
    assert start.returncode == 0 and 'a run goes on; it is left alone.' in start.stdout


def test_a_run_that_fails_shows_the_end_of_all_logs(stands):
    (stands / 'states').write_text('READY\n')
    status, printed, calls = launch(stands, *TPU, '--delete', *RUN, STATUS='3')
    assert status == 1 and not any('create' in call or 'delete' in call for call in calls)
    assert printed.splitlines()[-1] == (
        'error: the run on one has ended or its TPU is gone (READY); the same command goes on '
        'with it'
    )
    assert any('--worker=all --command=tail -n 3 drn_jax.log' in call for call in calls)


def test_several_slices_are_queued(stands):
    status, printed, calls = launch(
        stands, 'tpu_vm.sh', 'two', '--zone=z', '--type=v6e-8', '--slices=2', '--project=p', *RUN
    )
    assert status == 0, printed
    assert (
        'gcloud compute tpus queued-resources create two --accelerator-type=v6e-8 '
        '--runtime-version=v2-alpha-tpuv6e --node-count=2 --node-prefix=two --zone=z --quiet '
        '--project=p'
    ) in calls
    assert [call.split()[6] for call in calls if ' scp ' in call] == ['two-0:', 'two-1:']
    assert [call.split()[5] for call in calls if ' ssh ' in call] == ['two-0', 'two-1', 'two-0']


def test_a_queued_slice_that_fails_is_not_asked_for_again_and_again(stands):
    (stands / 'states').write_text('FAILED\n')
    gcloud = stands / 'bin/gcloud'
    gcloud.write_text(gcloud.read_text().replace('echo ACTIVE >', ': >>'))
    status, printed, calls = launch(stands, *TPU, '--queued', *RUN)
    assert status == 1 and sum(' create ' in call for call in calls) == 1
    assert printed.splitlines()[-1] == (
        'error: one was made and is FAILED; gcloud compute tpus queued-resources describe one '
        '--zone=us-west4-a says why'
    )


def test_deleting_at_once(stands):
    status, _, calls = launch(stands, 'tpu_vm.sh', 'one', '--zone=z', '--queued', '--delete')
    assert status == 0
    assert calls[1:] == ['gcloud compute tpus queued-resources delete one --force --zone=z --quiet']


def test_a_dry_run_prints_every_command_and_calls_nothing(stands):
    status, printed, calls = launch(stands, *TPU, '--dry_run', '--delete', *RUN)
    assert status == 0 and calls == []
    words = [line.split()[:5] for line in printed.splitlines()]
    assert [line[4] if line[0] == 'gcloud' else line[0] for line in words] == [
        'describe',
        'Making',
        'create',
        'tar',
        'scp',
        'ssh',
        'ssh',
        'delete',
    ]


@pytest.mark.parametrize(
    'flags, message',
    [
        (['--zone=z'], 'no name for the TPU is given'),
        (['one'], 'no --zone is given, such as --zone=us-west4-a'),
        (['one', 'two', '--zone=z'], 'two names are given, one and two; give one'),
        (['one', '--zone=z'], 'nothing is to be run; give the flags of drn_jax.main after --, or'),
        (['one', '--zone=z', '--slices=no'], '--slices is no; give a number of at least 1'),
        (['one', '--zone=z', *RUN], 'no --type is given, such as --type=v5litepod-16'),
        (['one', '--zones=z'], '--zones=z is unknown; launch/tpu_vm.sh --help lists the flags'),
        (
            ['one', '--zone=z', '--type=v6e-8', '--', '--workdir=runs/a'],
            'the disks of a TPU go with it and are not shared; give --workdir=gs://BUCKET/FOLDER',
        ),
    ],
)
def test_flags_that_cannot_be_used(stands, flags, message):
    status, printed, calls = launch(stands, 'tpu_vm.sh', *flags)
    assert status == 1 and calls == [] and len(printed.splitlines()) == 1
    assert printed.startswith(f'error: {message}')


def test_gcloud_that_is_missing_or_not_logged_in(stands):
    (stands / 'account').write_text('')
    status, printed, _ = launch(stands, *TPU, *RUN)
    assert (status, printed) == (1, 'error: gcloud is not logged in; run: gcloud auth login\n')
    programs = stands / 'few'
    programs.mkdir()
    for name in ('bash', 'dirname'):
        (programs / name).symlink_to(shutil.which(name))
    status, printed, _ = launch(stands, *TPU, *RUN, PATH=str(programs))
    assert (status, printed) == (
        1,
        'error: gcloud is not installed; see https://cloud.google.com/sdk/docs/install\n',
    )


def test_slurm_submits_itself_and_starts_a_process_on_each_node(stands):
    flags = [
        '--nodes=2',
        '--gpus-per-node=8',
        '--',
        '--config=configs/drn_c_26.py',
        '--workdir=/shared/run',
    ]
    status, _, calls = launch(stands, 'slurm.sh', *flags)
    assert status == 0 and calls == [
        'sbatch --job-name=drn_jax --ntasks-per-node=1 --requeue --open-mode=append '
        f'--signal=TERM@120 --export=ALL,DRN_JAX_CHECKOUT={ROOT} --nodes=2 --gpus-per-node=8 '
        f'{ROOT}/launch/slurm.sh -- --config=configs/drn_c_26.py --workdir=/shared/run'
    ]
    status, _, calls = launch(stands, 'slurm.sh', *flags[2:], DRN_JAX_CHECKOUT=str(ROOT))
    assert status == 0 and '.[cuda12]' in calls[0]
    assert calls[1] == (
        f'srun --ntasks-per-node=1 --kill-on-bad-exit=1 {stands}/venv/bin/python '
        '-m drn_jax.main --config=configs/drn_c_26.py --workdir=/shared/run'
    )
    status, printed, _ = launch(stands, 'slurm.sh', '--nodes=2')
    assert status == 1 and printed.startswith('error: nothing is to be run; give the flags of')


@pytest.mark.parametrize(
    'name, config',
    [('imagenet', 'configs/drn_c_26.py'), ('cityscapes', 'configs/cityscapes_drn_c_26.py')],
)
def test_preparing_data(stands, name, config):
    script = f'prepare_{name}.sh'
    status, printed, calls = launch(stands, script, '--manual_dir=/a b', '--data_dir=gs://c/d')
    assert status == 0 and calls[-1] == (
        f'python -m drn_jax.prepare --config={config} --config.data.manual_dir=/a b '
        '--config.data.data_dir=gs://c/d'
    )
    commands.load_config(
        str(ROOT / config), ['--config.data.manual_dir=/a b', '--config.data.data_dir=']
    )
    status, printed, calls = launch(stands, script)
    assert (
        status == 1
        and calls == []
        and printed
        == (f'error: no --manual_dir is given; launch/{script} --help says what it holds\n')
    )


def test_local_keeps_compiled_programs(stands):
    _, _, calls = launch(stands, 'local.sh', '--config.steps=2')
    assert calls[-2:] == [
        'python -m drn_jax.main --workdir=runs/digit_scenes --config=configs/digit_scenes.py '
        '--config.steps=2',
        f'cache {stands}/venv/compiled',
    ]
    _, _, calls = launch(stands, 'local.sh', JAX_COMPILATION_CACHE_DIR='')
    assert calls[-1] == 'cache '


def test_the_kubernetes_manifest_agrees_with_itself():
    service, job = yaml.safe_load_all((LAUNCH / 'kubernetes.yaml').read_text())
    assert (service['kind'], job['kind']) == ('Service', 'Job')
    assert service['spec']['clusterIP'] == 'None'
    spec, pod = job['spec'], job['spec']['template']['spec']
    assert service['spec']['selector'] == {'job-name': job['metadata']['name']}
    assert pod['subdomain'] == service['metadata']['name']
    assert spec['completionMode'] == 'Indexed' and spec['completions'] == spec['parallelism']
    (container,) = pod['containers']
    shell, option, command = container['command']
    assert (shell, option) == ('bash', '-c')
    printed = subprocess.run(
        [shell, option, command.replace('exec python', 'exec printf "%s\\n"')],
        text=True,
        env={**os.environ, 'JOB_COMPLETION_INDEX': '1'},
        capture_output=True,
        check=True,
    ).stdout
    flags = dict(word.split('=', 1) for word in printed.split() if '=' in word)
    assert flags['--coordinator'].split(':')[0] == f'{job["metadata"]["name"]}-0.{pod["subdomain"]}'
    assert flags['--processes'] == str(spec['completions']) and flags['--process'] == '1'
    assert (ROOT / flags['--config']).exists()
    mounted = {mount['name'] for mount in container['volumeMounts']}
    assert mounted == {volume['name'] for volume in pod['volumes']}
    assert any(entry['name'] == 'JAX_COMPILATION_CACHE_DIR' for entry in container['env'])
