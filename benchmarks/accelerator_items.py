"""A process of `accelerator.py`: it measures one item after the other on the devices.

Items come as lines of JSON on the standard input, and a line of JSON answers each. What fails with
an exception is answered too; where the process is ended, by a compiler that aborts or for want of
memory, the one that started it notices.
"""

import json
import os
import pathlib
import re
import statistics
import sys
import tempfile
import time
import traceback
import types
from typing import Any, NamedTuple

import numpy as np

from drn_jax.errors import one_line

# Largest difference from the golden logits, in their standard deviation; in float32 products are
# exact. On a CPU it is 5.2e-6 and 2.2e-2 for the 18 golden files.
BOUNDS = {'float32': 1e-4, 'bfloat16': 0.1}
LOSS_BOUND = 1e-3  # relative, of two steps
ROUNDS = 5
NO_OPTIONS = 'no-options'  # `auto`, without the options of XLA that the table has


class Item(NamedTuple):
    """What is measured.

    Attributes:
        job: one of `JOBS`.
        variant: a network; in parity, a golden file.
        dtype: of activations.
        how: algorithm of convolutions, precision of products, or form of PyTorch's network.
        images: for each device.
    """

    job: str
    variant: str = ''
    dtype: str = ''
    how: str = ''
    images: int = 0

    @property
    def name(self):
        """The item on the command line and in the report."""
        return '/'.join(str(part) for part in self if part)


class Settings(NamedTuple):
    """What all items of a run have in common."""

    width: float
    size: int
    seconds: float  # of measuring
    files: int  # different ones, for the input pipeline
    platform: str = ''


def main():
    """Serves requests until the input ends."""
    replies = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # what libraries print is no reply
    sys.path.append(str(pathlib.Path(__file__).parents[1] / 'tests'))  # the golden files
    settings = Settings(**json.loads(sys.argv[1]))
    for line in sys.stdin:
        item = Item(*json.loads(line))
        start = time.perf_counter()
        try:
            result = JOBS[item.job](item, settings)
        except Exception as error:  # of any library: the other items go on without this one
            traceback.print_exc()
            result = {'error': f'{type(error).__name__}: {one_line(error, short=True)}'}
        result['seconds'] = round(time.perf_counter() - start, 1)
        print(json.dumps(result), file=replies, flush=True)


def device(item, settings):
    """Says what devices there are, and with what."""
    import jax

    from drn_jax.planning import peaks
    from drn_jax.reporting import reports

    first = jax.devices()[0]
    if jax.process_count() > 1:
        raise RuntimeError('several processes are not measured; run it on one host')
    return {
        'platform': first.platform,
        'kind': first.device_kind,
        'count': jax.device_count(),
        'peak_flops': {dtype: peaks.flops(first.device_kind, dtype) for dtype in BOUNDS},
        'versions': reports.versions(),
    }


def parity(item, settings):
    """Compares the logits of a network with the release's, on golden weights and images."""
    import jax
    from golden import rebuild

    import drn_jax
    from drn_jax.models.weights import torch_settings

    golden = rebuild.load(item.variant)
    (variant, reading), *_ = re.findall('^(.*?)(?:_(release|segmentation))?$', item.variant)
    state = rebuild.state_dict(golden['names'])
    is_map = reading == 'segmentation'
    images = rebuild.images(2, (1, 3, 96, 136)) if is_map else rebuild.images(0, (1, 3, 224, 224))
    wanted = golden['logits'].transpose(0, 2, 3, 1) if is_map else golden['logits']
    model = drn_jax.create_model(
        variant,
        dtype=item.dtype,
        first_block='release' if reading == 'release' else 'paper',
        **torch_settings(variant, state)._asdict(),
    )
    with jax.default_matmul_precision(item.how):
        found = jax.jit(model.apply)(drn_jax.from_torch(variant, state), images)
    deviation = float(np.abs(np.asarray(found, np.float32) - wanted).max() / wanted.std())
    result = {'deviation': deviation}
    if item.how == 'highest' or item.dtype == 'bfloat16':  # else products are rounded as well
        result['passes'] = bool(deviation <= BOUNDS[item.dtype])
    return result


def step(item, settings):
    """Compares the losses of two training steps with the release's."""
    import jax
    from golden import rebuild

    import drn_jax
    from drn_jax import recipes, tasks
    from drn_jax.distributed import meshes
    from drn_jax.training import states, steps

    golden = rebuild.load(f'{item.variant}_train_step')
    state = rebuild.state_dict(rebuild.load(item.variant)['names'])
    random = np.random.default_rng(1)
    images = random.standard_normal((4, 3, 64, 64)).astype(np.float32).transpose(0, 2, 3, 1)
    labels = random.integers(0, 1000, 4).astype(np.int32)
    batch = {'image': images, 'label': labels, 'mask': np.ones(4, bool)}
    config, mesh = recipes.classification(), meshes.create_mesh(1)
    model = drn_jax.create_model(item.variant, dtype=item.dtype)
    task = tasks.kind_of(config).create(config, model)
    task = task._replace(preprocess=lambda batch, key, train: batch)  # normalized already
    optimizer = states.create_optimizer(config.optimizer, 0.1)
    state = state_of(drn_jax.from_torch(item.variant, state), optimizer, mesh)
    run, losses = steps.train_step(task, optimizer, mesh), []
    with jax.default_matmul_precision(item.how):
        for _ in golden['loss']:
            state, logs = run(state, batch, jax.random.key(0))
            losses.append(float(logs['loss']))
    deviation = float(np.abs(np.array(losses) / golden['loss'] - 1).max())
    return {'deviation': deviation, 'passes': bool(deviation <= LOSS_BOUND)}


def state_of(variables, optimizer, mesh):
    """Makes the first state, for which nothing is compiled."""
    import jax
    import jax.numpy as jnp

    from drn_jax.distributed import meshes
    from drn_jax.training import states

    state = states.TrainState(jnp.int32(0), variables, optimizer.init(variables['params']))
    return jax.device_put(state, meshes.replicated(mesh))


def training(item, settings):
    """Measures the step that training runs, on a batch that lies on the devices."""
    import jax

    experiment = experiment_of(item, settings)
    if item.how != NO_OPTIONS and is_auto(item, 'training'):
        return {'is_auto': True}
    held = peak_bytes()
    start = time.perf_counter()
    compiled = compile_step(experiment)
    compile_seconds = time.perf_counter() - start
    state, batch, key = arguments_of(item, experiment)

    def call():
        nonlocal state
        state, logs = compiled(state, batch, key)
        return logs

    speeds = time_calls(call, item.images, settings.seconds)
    return {
        **speeds,
        'compile_seconds': round(compile_seconds, 1),
        'peak_bytes': new_peak(held),
        **planned(compiled, experiment, jax.devices()),
    }


def experiment_of(item, settings, devices=None):
    """Returns the experiment of training a network on ImageNet, on all devices."""
    import jax

    from drn_jax import recipes
    from drn_jax.models import convolutions
    from drn_jax.planning import compiler, dataset_sizes

    config = recipes.classification()
    devices = devices or jax.devices()
    config.batch_size = max(item.images, 1) * len(devices)
    config.data.shards, config.data.image_size = 1, settings.size
    config.data.resize_px = max(config.data.resize_px, settings.size)
    how = item.how
    if how == NO_OPTIONS:
        table = convolutions.OPTIONS.get((devices[0].device_kind, 'training'), {})
        how, config.compiler_options = 'auto', tuple(f'{name}=' for name in table)
    config.model.update(
        variant=item.variant, dtype=item.dtype, width=settings.width, convolution=how
    )
    return compiler.resolve(config, dataset_sizes.find(config), devices)


def compile_step(experiment):
    """Compiles the training step, for the devices of this machine."""
    from drn_jax.planning import compiler

    return compiler.lower_step(experiment).compile()


def arguments_of(item, experiment):
    """Returns state, batch of noise and key, on the devices."""
    import jax

    from drn_jax.data import batch_specs
    from drn_jax.distributed import meshes
    from drn_jax.training import states

    config, mesh, random = experiment.config, experiment.mesh, np.random.default_rng(0)
    optimizer = states.create_optimizer(config.optimizer, experiment.schedule.learning_rate)
    state = state_of(random_variables(experiment.task.model, random), optimizer, mesh)
    batch = {}
    for key, (shape, dtype) in batch_specs.training_batch(
        'classes', config.data, config.batch_size
    ).items():
        most = {'image': 256, 'label': config.model.num_classes, 'mask': 2}.get(key, shape[0])
        noise: Any = random.integers(key == 'mask', most, shape).astype(dtype)
        batch[key] = jax.device_put(noise, meshes.spatial_sharding(mesh, len(shape)))
    return state, batch, jax.device_put(jax.random.key(0), meshes.replicated(mesh))


def random_variables(model, random):
    """Returns variables of the size that training gives."""
    from against_pytorch import random_state

    import drn_jax

    return drn_jax.from_torch(model.variant, random_state(work_of(model), random))


def work_of(model):
    """Says for which network `against_pytorch.random_state` makes weights."""
    return types.SimpleNamespace(
        variant=model.variant, width=model.width, classes=model.num_classes, task='classification'
    )


def is_auto(item, use):
    """Says whether an algorithm is what `auto` takes here for every convolution."""
    import jax

    from drn_jax.models import convolutions, variants

    table = variants.lookup(item.variant)
    blocks = [table.stem.expand(), *(block for _, level in table.expand() for block in level)]
    specs = [conv for block in blocks for conv in block.convs]
    chosen = [
        [convolutions.choose(how, jax.default_backend(), use, spec, item.dtype) for spec in specs]
        for how in (item.how, 'auto')
    ]
    return item.how != 'auto' and chosen[0] == chosen[1]


def inference(item, settings):
    """Measures the form that `evaluate` and `predict` run, on one device."""
    import jax

    import drn_jax
    from drn_jax.models import convolutions

    if is_auto(item, 'folded'):
        return {'is_auto': True}
    first, random, held = jax.devices()[0], np.random.default_rng(0), peak_bytes()
    experiment = experiment_of(item, settings, [first])
    model = experiment.task.model
    model, variables = drn_jax.optimize_for_inference(model, random_variables(model, random))
    images = random.standard_normal((item.images, settings.size, settings.size, 3), np.float32)
    variables, images = jax.device_put((variables, images), first)
    start = time.perf_counter()
    compiled = (
        jax.jit(model.apply, compiler_options=convolutions.compiler_options())
        .lower(variables, images)
        .compile()
    )
    compile_seconds = time.perf_counter() - start
    return {
        **time_calls(lambda: compiled(variables, images), item.images, settings.seconds),
        'compile_seconds': round(compile_seconds, 1),
        'peak_bytes': new_peak(held),
        **planned(compiled, experiment, [first]),
    }


def time_calls(call, images, seconds, wait=None):
    """Measures calls for some seconds; gives images per second of a device, median and range.

    Args:
        call: starts a computation and returns what comes of it.
        images: of each device in a call.
        seconds: that measuring may take; every round has at least one call.
        wait: waits for what `call` returned.
    """
    if wait is None:
        import jax

        wait = jax.block_until_ready
    wait(call())
    start = time.perf_counter()
    wait(call())
    number = max(int(seconds / ROUNDS / (time.perf_counter() - start)), 1)
    speeds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(number):
            result = call()
        wait(result)
        speeds.append(number * images / (time.perf_counter() - start))
    return {
        'images_per_second': statistics.median(speeds),
        'range': [min(speeds), max(speeds)],
    }


def peak_bytes():
    """Returns the most memory that any of the devices has held; None where they do not say."""
    import jax

    stats = [each.memory_stats() or {} for each in jax.local_devices()]
    return max((each.get('peak_bytes_in_use') or 0 for each in stats), default=0) or None


def new_peak(before):
    """Returns the peak if it rose since `before`: it is that of the process, not of an item."""
    now = peak_bytes()
    return now if now and now > (before or 0) else None


def planned(compiled, experiment, devices):
    """Returns what `drn_jax.plan` says of a program, and how long it would take at the peak."""
    from drn_jax.planning import chips, compiler, estimates, gpus, peaks

    first = devices[0]
    row, dtype = peaks.find(first.device_kind), experiment.config.model.dtype
    try:
        program = compiler.read(compiled, first.platform)
        entries: dict[str, Any] = {'plan_bytes': program.temporary_bytes + program.argument_bytes}
        if isinstance(row, gpus.Card):
            cluster = gpus.Cluster(first.device_kind, row, 1, len(devices))
            entries['plan_seconds'] = estimates.of_gpu(program, cluster, experiment).seconds
        elif row:
            shape = tuple(1 + max(axis) for axis in zip(*(each.coords for each in devices)))
            tpu_slice = chips.Slice(first.device_kind, row, shape)
            entries['plan_seconds'] = estimates.of_tpu(program, tpu_slice).seconds
        peak = peaks.flops(first.device_kind, dtype)
        return entries | {'seconds_at_peak': peak and program.operations / peak}
    except Exception as error:  # the program is of a compiler that nobody has read yet
        return {'plan_error': f'{type(error).__name__}: {one_line(error, short=True)}'}


def feeding(item, settings):
    """Measures the input pipeline of this host, alone and before the training step."""
    import jax

    from drn_jax import data as data_floor
    from drn_jax.distributed import meshes
    from drn_jax.reporting import writers

    experiment = experiment_of(item, settings)
    compiled = compile_step(experiment)
    state, batch, key = arguments_of(item, experiment)
    with tempfile.TemporaryDirectory() as directory:
        data = imagenet_of(directory, settings)
        size, mesh = experiment.config.batch_size, experiment.mesh
        batches = data_floor.training_batches(
            data_floor.open_source(data), data, batch_size=size, seed=0
        )
        alone = time_calls(lambda: next(batches), size, settings.seconds, wait=lambda batch: batch)
        keys = (*experiment.task.batch_keys, 'index')
        data_wait = writers.DataWait()
        fed = data_wait.feed(meshes.prefetch_to_device(batches, mesh, keys, rows=True))
        for _ in range(2):
            state, logs = compiled(state, next(fed), key)
        jax.block_until_ready(logs)
        start, number = data_wait.restart(), 0
        while number < 3 or time.monotonic() - start < settings.seconds:
            state, logs = compiled(state, next(fed), key)
            data_wait.started(logs)
            number += 1
        jax.block_until_ready(logs)
        seconds = time.monotonic() - start
        data_wait.close()

    def call():
        nonlocal state
        state, logs = compiled(state, batch, key)
        return logs

    return {
        'host_images_per_second': alone['images_per_second'],
        'fed_images_per_second': number * size / seconds,
        'device_images_per_second': time_calls(call, size, settings.seconds)['images_per_second'],
        'data_wait_fraction': min(data_wait.seconds / seconds, 1.0),
        'cores': len(os.sched_getaffinity(0)),
    }


def imagenet_of(directory, settings):
    """Writes a small ImageNet; gives the configuration of its data."""
    import input_pipeline

    from drn_jax import recipes

    input_pipeline.write_tars(directory, settings.files, 96, input_pipeline.CHROMA['444'])
    data = recipes.classification().data
    data.data_dir = data.manual_dir = directory
    data.shards, data.image_size = 1, settings.size
    return data


def torch_network(item, settings):
    """Makes PyTorch's network with random weights, and images, on its device in channels last."""
    import torch
    import torch_networks
    from against_pytorch import random_state

    import drn_jax

    if settings.platform == 'gpu' and not torch.cuda.is_available():
        raise RuntimeError('this PyTorch sees no GPU')
    place = torch.device('cuda' if settings.platform == 'gpu' else 'cpu')
    torch.set_float32_matmul_precision('high')  # TF32, as JAX takes
    random = np.random.default_rng(0)
    model = drn_jax.create_model(item.variant, num_classes=1000, width=settings.width)
    variables = drn_jax.from_torch(item.variant, random_state(work_of(model), random))
    network = torch_networks.create(
        item.variant,
        drn_jax.to_torch(item.variant, variables),
        classes=1000,
        task='classification',
        width=settings.width,
    ).to(place)
    images = random.standard_normal((item.images, settings.size, settings.size, 3), np.float32)
    return network, torch.tensor(images).permute(0, 3, 1, 2).to(place)


def torch_result(call, item, settings):
    """Measures calls of PyTorch."""
    import torch

    def wait(result):
        if result.is_cuda:
            torch.cuda.synchronize()

    if settings.platform == 'gpu':
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    wait(call())
    compile_seconds = time.perf_counter() - start
    speeds = time_calls(call, item.images, settings.seconds, wait)
    peak = torch.cuda.max_memory_allocated() if settings.platform == 'gpu' else None
    return {**speeds, 'compile_seconds': round(compile_seconds, 1), 'peak_bytes': peak}


def torch_training(item, settings):
    """Measures PyTorch's training step; augmentation is left out."""
    import torch

    network, images = torch_network(item, settings)
    network = network.train()
    run = torch.compile(network) if item.how == 'compiled' else network
    optimizer = torch.optim.SGD(network.parameters(), 1e-3, momentum=0.9, weight_decay=1e-4)
    labels = torch.randint(1000, (item.images,), device=images.device)
    mixed = torch.autocast(images.device.type, torch.bfloat16, enabled=item.dtype == 'bfloat16')

    def call():
        optimizer.zero_grad()
        with mixed:
            loss = torch.nn.functional.cross_entropy(run(images).float(), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return torch_result(call, item, settings)


def torch_inference(item, settings):
    """Measures PyTorch's network with folded batch normalization, in the dtype throughout."""
    import torch

    network, images = torch_network(item, settings)
    network.fold()
    dtype: Any = getattr(torch, item.dtype)
    network, images = network.to(dtype), images.to(dtype)
    run = torch.compile(network) if item.how == 'compiled' else network

    def call():
        with torch.inference_mode():
            return run(images)

    return torch_result(call, item, settings)


JOBS = {
    'device': device,
    'parity': parity,
    'step': step,
    'training': training,
    'inference': inference,
    'feeding': feeding,
    'torch-training': torch_training,
    'torch-inference': torch_inference,
}

if __name__ == '__main__':
    main()
