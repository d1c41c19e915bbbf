"""The processes of `against_pytorch.py`: one contestant each, which computes when it is asked to.

  python benchmarks/contestants.py NAME FOLDER

FOLDER holds `work.json` (a `Work`), `weights.npz` (a state dict in the release's names),
`images.npy` and `labels.npy`. Requests and replies are lines of JSON, on the standard input and
output. The process prepares itself, writes what it computes to `NAME.npy`, and then answers
{"warm_calls": M, "calls": N} with the seconds of N calls, after M that are not timed.

A process that waits uses no processor time: it blocks on its input, XLA's threads sleep, OpenMP's
go to sleep some milliseconds after their work (its default), ONNX Runtime's stop spinning when a
call returns (session.force_spinning_stop), and OpenVINO's sleep. Every reply tells the seconds of
processor time that were used since the reply before it, so that this is checked.
"""

import ctypes
import functools
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

FOLDED_FORMS = ('folded', 'frozen', 'compiled')  # PyTorch's forms beside 'eager'


class Work(NamedTuple):
    """What all contestants compute."""

    variant: str
    # 'classification', 'segmentation' (labels of all pixels), 'training' (a step) or 'judging' (of
    # the streets in the folder by the protocol gan_compression)
    job: str
    classes: int
    width: float
    threads: int
    convolution: str
    compiler_options: dict[str, str]

    @property
    def task(self):
        """The network's task."""
        return 'segmentation' if self.job in ('segmentation', 'judging') else 'classification'


def main():
    """Serves requests until the input ends."""
    name, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    replies = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # what libraries print is no reply
    try:
        call = prepare(name, folder)
    except Exception as error:  # of any library: the other contestants go on without this one
        print(json.dumps({'error': f'{type(error).__name__}: {error}'}), file=replies, flush=True)
        return
    work, before = read_work(folder), held_bytes()
    answers = [np.asarray(call()) for _ in range(2 if work.job == 'training' else 1)]
    np.save(folder / f'{name}.npy', np.stack(answers))
    print(json.dumps({}), file=replies, flush=True)
    processor = time.process_time()
    for request in sys.stdin:
        waited = time.process_time() - processor
        asked = json.loads(request)
        for _ in range(asked['warm_calls']):
            call()
        start = time.process_time()
        seconds = [timed(call) for _ in range(asked['calls'])]
        used = (time.process_time() - start) / asked['calls']
        print(
            json.dumps(
                {
                    'seconds': seconds,
                    'processor_seconds': used,
                    'peak_bytes': resident_bytes('VmHWM') - before,
                    'waiting_seconds': waited,
                }
            ),
            file=replies,
            flush=True,
        )
        processor = time.process_time()


def read_work(folder):
    """Reads what is to be computed."""
    return Work(**json.loads((folder / 'work.json').read_text()))


def timed(call):
    """Returns the seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def held_bytes():
    """Returns the resident memory before the first call, and resets the peak to it."""
    ctypes.CDLL(None).malloc_trim(0)  # what compilation and loading have freed
    pathlib.Path('/proc/self/clear_refs').write_text('5')
    return resident_bytes('VmRSS')


def resident_bytes(field):
    """Returns the resident memory of this process: VmRSS is what it holds now, VmHWM its peak."""
    status = pathlib.Path('/proc/self/status').read_text()
    return 1024 * int(status.partition(f'{field}:')[2].split()[0])


def prepare(name, folder):
    """Returns a function without arguments that computes once and gives the result.

    Results are logits [B, classes], labels [B, H, W], in training the loss, in judging the counts
    of pixels by right and predicted class.
    """
    with np.load(folder / 'weights.npz') as file:
        state = dict(file)
    work = read_work(folder)
    if work.job == 'judging':
        return (judge_ours if name == 'ours' else judge_torch)(work, state, folder)
    images = np.load(folder / 'images.npy')
    if work.job == 'training':
        labels = np.load(folder / 'labels.npy')
        train = train_ours if name == 'ours' else functools.partial(train_torch, name)
        return train(work, state, images, labels)
    if name in FILES:
        export, run = FILES[name]
        return run(work, *export(work, state, images, folder))
    if name in ('ours', 'bfloat16'):
        return ours(work, state, images, 'bfloat16' if name == 'bfloat16' else 'float32')
    return in_torch(name, work, state, images)


def ours(work, state, images, dtype):
    """Our network, optimized for inference and compiled."""
    import jax

    import drn_jax
    from drn_jax.models import convolutions
    from drn_jax.tasks import segmentation

    model, variables = drn_jax.optimize_for_inference(
        our_model(work, dtype), drn_jax.from_torch(work.variant, state)
    )

    def compute(variables, images):
        if work.job == 'segmentation':
            return segmentation.predict(model, variables, {'image': images})
        return model.apply(variables, images)

    arguments = jax.device_put((variables, images))
    compiled = (
        jax.jit(compute)
        .lower(*arguments)
        .compile(compiler_options=convolutions.compiler_options() | work.compiler_options)
    )
    return lambda: jax.block_until_ready(compiled(*arguments))


def train_ours(work, state, images, labels):
    """Our training step; augmentation is left out, the images are normalized ones already."""
    import jax
    import jax.numpy as jnp

    import drn_jax
    from drn_jax import recipes, tasks
    from drn_jax.distributed import meshes
    from drn_jax.training import states, steps

    config, mesh = recipes.classification(), meshes.create_mesh(1)
    task = tasks.kind_of(config).create(config, our_model(work))
    task = task._replace(preprocess=lambda batch, key, train: batch)
    optimizer = states.create_optimizer(config.optimizer, RATE)
    variables = drn_jax.from_torch(work.variant, state)
    first = states.TrainState(jnp.int32(0), variables, optimizer.init(variables['params']))
    key, carried = jax.device_put((jax.random.key(0), first), meshes.replicated(mesh))
    batch = jax.device_put(
        {'image': images, 'label': labels, 'mask': np.ones(len(labels), bool)},
        meshes.batch_sharding(mesh),
    )
    step = (
        steps.train_step(task, optimizer, mesh)
        .lower(carried, batch, key)
        .compile(compiler_options=work.compiler_options)
    )

    def call():
        nonlocal carried
        carried, logs = step(carried, batch, key)
        return float(logs['loss'])

    return call


def judge_ours(work, state, folder):
    """Our judge, on the files of a folder."""
    import jax

    import drn_jax
    from drn_jax import recipes
    from drn_jax.distributed import meshes
    from drn_jax.judging import judges, protocols, scoring
    from drn_jax.prediction import checkpoint

    model, variables = drn_jax.optimize_for_inference(
        our_model(work), drn_jax.from_torch(work.variant, state)
    )
    mesh = meshes.create_mesh(1)
    network = checkpoint.LoadedCheckpoint(
        model, jax.device_put(variables), recipes.segmentation(), (), (), mesh, folder
    )
    judge = judges.Judge(network, protocols.PROTOCOLS['gan_compression'])
    streets, _ = scoring.streets_of(folder / 'images', folder / 'labels')
    weights, reading = judges.Weights('', ''), scoring.Reading()
    judge.predict([scoring.read_street(streets[0], judge.protocol, reading)[0]])  # compiles

    def call():
        images = scoring.score(streets, judge, weights, reading)
        return sum(image.confusion[:-1] for image in images)

    return call


def judge_torch(work, state, folder):
    """What the protocol's script does with PyTorch: the class maps, and then on the host."""
    import threading

    import torch
    import torch_networks
    from PIL import Image

    from drn_jax.judging import protocols

    torch.set_num_threads(work.threads)
    network = torch_networks.create(
        work.variant, state, classes=work.classes, task=work.task, width=work.width
    )
    up = torch.nn.ConvTranspose2d(
        work.classes, work.classes, 16, 8, 4, groups=work.classes, bias=False
    )
    up.weight.data = torch.tensor(state['up.weight'])
    row, classes = protocols.PROTOCOLS['gan_compression'], work.classes
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in protocols.CITYSCAPES)
    pairs = list(zip(sorted((folder / 'images').iterdir()), sorted((folder / 'labels').iterdir())))

    def resized(scores):
        out = np.empty((len(scores), *row.scored), np.float32)

        def resize(channel):
            image = Image.fromarray(scores[channel])
            out[channel] = np.array(image.resize(row.scored[::-1], Image.Resampling.BILINEAR))

        workers = [threading.Thread(target=resize, args=(each,)) for each in range(len(scores))]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return out

    def call():
        counts = np.zeros((classes, classes), np.int64)
        for image, label in pairs:
            pixels = torch.from_numpy(np.array(Image.open(image))).permute(2, 0, 1).float() / 255
            with torch.inference_mode():
                scores = up(network(((pixels - mean) / std)[None]))
                scores = torch.nn.functional.log_softmax(scores, 1)[0].numpy()
            predicted = resized(scores).argmax(0).flatten()
            right = np.array(Image.open(label), dtype=np.int64).flatten()
            known = right < classes
            counts += np.bincount(
                classes * right[known] + predicted[known], minlength=classes**2
            ).reshape(classes, classes)
        return counts

    return call


RATE = 0.001  # of learning, low enough to stay finite over many steps on one batch


def our_model(work, dtype='float32'):
    """Our network."""
    import drn_jax

    return drn_jax.create_model(
        work.variant,
        num_classes=work.classes,
        task=work.task,
        width=work.width,
        convolution=work.convolution,
        dtype=dtype,
    )


def in_torch(form, work, state, images):
    """PyTorch's network as it is ('eager'), in one of `FOLDED_FORMS`, in bfloat16 or in int8."""
    import torch

    torch.set_num_threads(work.threads)
    network, images = torch_network(work, state), torch_images(images)
    if form == 'pytorch_int8':
        network = int8_torch(network, images)
    elif form != 'eager':
        getattr(network, 'network', network).fold()
    if form == 'pytorch_bfloat16':
        network, images = network.bfloat16(), images.bfloat16()
    with torch.inference_mode():
        if form == 'compiled':
            import torch._inductor.config

            torch._inductor.config.freezing = True
            network = torch.compile(network)
            network(images)
        elif form == 'frozen':
            network = torch.jit.optimize_for_inference(
                torch.jit.freeze(torch.jit.trace(network, images))
            )

    def call():
        with torch.inference_mode():
            answers = network(images)
            return answers.float() if answers.dtype == torch.bfloat16 else answers

    return call


def int8_torch(network, images):
    """PyTorch's network in int8, by the library's own quantization of graphs, for x86."""
    import operator

    import torch
    from torch.ao.quantization import get_default_qconfig_mapping, quantize_fx

    graph = torch.fx.symbolic_trace(network)
    for node in graph.graph.nodes:
        if node.target is operator.iadd:  # sums in place would stay float32
            node.target = operator.add
    graph.recompile()
    with torch.no_grad():
        prepared = quantize_fx.prepare_fx(graph, get_default_qconfig_mapping('x86'), (images,))
        prepared(images)  # calibrates
        return quantize_fx.convert_fx(prepared)


def train_torch(form, work, state, images, labels):
    """PyTorch's training step, eager or compiled."""
    import torch

    torch.set_num_threads(work.threads)
    network = torch_network(work, state).train()
    network = torch.compile(network) if form == 'compiled' else network
    optimizer = torch.optim.SGD(network.parameters(), RATE, momentum=0.9, weight_decay=1e-4)
    images, labels = torch_images(images), torch.tensor(labels, dtype=torch.int64)

    def call():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return call


def torch_network(work, state):
    """PyTorch's network, in evaluation mode and channels last."""
    import torch_networks

    network = torch_networks.create(
        work.variant, state, classes=work.classes, task=work.task, width=work.width
    )
    return torch_networks.Labels(network) if work.job == 'segmentation' else network


def torch_images(images):
    """[B, H, W, 3] as PyTorch's [B, 3, H, W] in channels last."""
    import torch

    return torch.tensor(images).permute(0, 3, 1, 2)


def torch_onnx(work, state, images, folder):
    """PyTorch's network as a file, its name for images, and the images as it takes them."""
    import onnx
    import torch

    path, images = folder / 'torch.onnx', torch_images(images).contiguous()
    network = torch_network(work, state)
    torch.onnx.export(network, (images,), path, dynamo=True, verbose=False, external_data=False)
    return path, onnx.load(path).graph.input[0].name, images.numpy()


def our_onnx(work, state, images, folder, runtime='any'):
    """The same of our network, as `drn_jax.export` writes it; for a runtime the one of int8."""
    import drn_jax
    from drn_jax import tasks
    from drn_jax.exporting import forward, onnx, precisions, signatures

    config = tasks.TASKS[work.task].recipe()
    variables = drn_jax.from_torch(work.variant, state)
    source = forward.ExportSource(our_model(work), variables, config, 0)
    answers = 'labels' if work.job == 'segmentation' else 'logits'
    signature = signatures.Signature('normalized', answers, images.shape[1:3])
    path, card = folder / 'ours.onnx', signatures.make_card(source, signature, 'onnx')
    function = forward.for_onnx(source, signature, precisions.STRIPS[runtime])
    onnx.write(path, function, signature, card)
    return path, card['input']['name'], images


def int8(export, runtime='any'):
    """Makes the export of a file that is made int8 after it, calibrated with the images timed."""

    def write(*arguments):
        from drn_jax.exporting import precisions

        path, name, images = export(*arguments)
        smaller = path.with_suffix('.int8.onnx')
        precisions.write_int8(smaller, path, name, [images], runtime)
        return smaller, name, images

    return write


OPENVINO = 'OpenVINOExecutionProvider'  # of the package onnxruntime-openvino


def onnxruntime_session(work, path, name, images, provider='CPUExecutionProvider'):
    """ONNX Runtime on a file."""
    import onnxruntime

    settings = {'num_of_threads': str(work.threads)} if provider == OPENVINO else {}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = work.threads, 1
    # Threads spin inside a call, which is fastest, and stop where it returns.
    options.add_session_config_entry('session.force_spinning_stop', '1')
    session = onnxruntime.InferenceSession(path, options, providers=[(provider, settings)])
    if provider not in session.get_providers():  # it goes on with its own
        raise RuntimeError(f'ONNX Runtime has no {provider} here')
    return lambda: session.run(None, {name: images})[0]


def openvino_request(work, path, name, images, precision='bf16'):
    """OpenVINO on a file; what is not int8 in it is computed in `precision`."""
    import openvino

    options = {
        'INFERENCE_PRECISION_HINT': precision,
        'INFERENCE_NUM_THREADS': work.threads,
        'PERFORMANCE_HINT': 'LATENCY',
    }
    network = openvino.Core().compile_model(path, 'CPU', options)
    request = network.create_infer_request()
    return lambda: request.infer({name: images})[network.output(0)]


AMX = 'onnxruntime_amx'
FILES: dict[str, tuple[Callable, Callable]] = {  # contestant -> what writes and runs its file
    'onnxruntime': (torch_onnx, onnxruntime_session),
    'onnxruntime_int8': (int8(torch_onnx), onnxruntime_session),
    'int8': (int8(our_onnx), onnxruntime_session),
    'int8_amx': (int8(functools.partial(our_onnx, runtime=AMX), AMX), onnxruntime_session),
    'int8_provider': (
        int8(our_onnx),
        functools.partial(onnxruntime_session, provider=OPENVINO),
    ),
    'openvino': (torch_onnx, functools.partial(openvino_request, precision='f32')),
    'openvino_bfloat16': (torch_onnx, openvino_request),
    'openvino_bfloat16_file': (our_onnx, openvino_request),
    'openvino_int8': (int8(our_onnx), openvino_request),
}


if __name__ == '__main__':
    main()
