"""Turns a file of PyTorch weights into a checkpoint, or a checkpoint into such a file.

  python -m drn_jax.convert --variant=drn_c_26 --input=drn_c_26-ddedf421.pth --output=runs/c_26
  python -m drn_jax.convert --checkpoint=runs/c_26 --output=c_26.pth

The first takes the files of the authors' release (classification and segmentation, also training
checkpoints), DRNs and ResNets of pytorchcv, ResNets of torchvision, timm and Keras, and safetensors
files with the same names. It finds task, classes and width in the file. What it writes is a
checkpoint like that of a run: drn_jax.load, the commands with --checkpoint, and --config.init_from
accept it. A file without a classifier gives a network without one, a backbone.

Different networks can have equal files: DRN-B-26 and C-26, DRN-B-42 and C-42, a ResNet and the
DRN-A of the same depth. So --variant decides; without it the fitting ones are named.

Only .pth and .pt files need PyTorch: pip install 'drn_jax[torch]', and only Keras's h5py: pip
install 'drn_jax[keras]'. No code in them is run.
"""

import argparse
from typing import Any

import jax

from drn_jax import checkpoints, commands, paths, tasks
from drn_jax.checkpoints import archives, conversion, manager, pretrained, restore, weight_files
from drn_jax.models.networks import Network
from drn_jax.reporting import progress


def main(argv: list[str]) -> None:
    """Runs the command with these flags; see the module's text."""
    given = parse_flags(argv)
    if given.list:
        print(pretrained.text())
    elif given.input is not None:
        file_to_checkpoint(given)
    else:
        checkpoint_to_file(given)


def parse_flags(argv: list[str]) -> argparse.Namespace:
    """Reads the command line.

    Raises:
        InputError: flags do not go together, or the output cannot be written.
    """
    parser = commands.Parser('convert', __doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        '--input',
        metavar='FILE',
        help='weights: .pth, .pt, .safetensors, a .zip with one of them;\n'
        '.keras or .h5 of a ResNet of Keras Applications',
    )
    source.add_argument(
        '--checkpoint',
        metavar='DIR',
        help='working directory of a run, its checkpoint folder or one step, pretrained:NAME\n'
        'and the like',
    )
    commands.add_offline_flag(parser)
    source.add_argument('--list', action='store_true', help='print what pretrained:NAME can name')
    parser.add_argument(
        '--output',
        required='--list' not in argv,
        metavar='PATH',
        help='with --input a new directory, local or gs://;\n'
        'with --checkpoint a new file, .pth, .pt or .safetensors',
    )
    parser.add_argument('--variant', metavar='NAME', help='the network that --input is for')
    parser.add_argument(
        '--entry',
        metavar='NAME',
        help='which network of --input, where a file holds several, such as\n'
        'state_dict_ema (default: state_dict, or the first that is no average)',
    )
    parser.add_argument(
        '--first_block',
        metavar='NAME',
        help='DRN-A only: dilation of the first block of a group, paper (default)\n'
        "or release, as in the drn_a_50 of the authors' code",
    )
    parser.add_argument(
        '--stride_in',
        metavar='KERNEL',
        help='bottlenecks of ResNet and DRN-A only: convolution with the stride, 3x3\n'
        '(default) or 1x1, as in weights of Caffe, He et al. and Keras (for whose\n'
        'files it is the default)',
    )
    parser.add_argument(
        '--step',
        type=int,
        metavar='N',
        help='step of --checkpoint (default: the best by validation, else the latest)',
    )
    given = parser.parse_args(argv)
    if given.list:
        return given
    if given.input is None:
        if given.variant or given.first_block or given.stride_in or given.entry:
            parser.error(
                '--variant, --first_block, --stride_in and --entry go with --input, a checkpoint '
                'has its own'
            )
        weight_files.check_new(given.output)
    else:
        paths.run_directory(given.output, '--output')  # raises now, not after reading weights
        if given.step is not None:
            parser.error('--step goes with --checkpoint, not with --input')
        if given.output.lower().endswith(archives.SUFFIXES):
            parser.error(
                f'--output={given.output} looks like a file, but --input gives a '
                'checkpoint, a directory'
            )
    return given


def file_to_checkpoint(given: argparse.Namespace) -> None:
    """Writes the weights in a file as a checkpoint.

    Raises:
        InputError: the file cannot be read, or holds no network of the variant.
    """
    config, variables = conversion.convert(
        given.input,
        given.variant,
        given.first_block or 'paper',
        given.stride_in,
        given.entry or '',
    )
    model = tasks.create_network(config)
    variables = jax.device_put(variables)  # Orbax would copy NumPy's arrays once more
    manager.save_variables(given.output, config, variables)
    progress.say(
        f'{given.input}: {summary(model, variables)}',
        f'{given.output}: written; use it as --checkpoint={given.output}, '
        f'--config.init_from={given.output} or drn_jax.load({given.output!r})',
    )


def checkpoint_to_file(given: argparse.Namespace) -> None:
    """Writes the network of a checkpoint as a file of weights.

    Raises:
        InputError: there is no such checkpoint, or the file cannot be written.
    """
    checkpoint = checkpoints.open(given.checkpoint, given.step)
    model, variables = checkpoint.model, checkpoint.read_variables()
    network = conversion.Converted(checkpoint.config, variables)
    weight_files.write(given.output, network.state_dict())
    progress.say(
        f'{given.checkpoint}, {restore.label(checkpoint.path)}: {summary(model, variables)}',
        f"{given.output}: written, with the names of the authors' PyTorch code",
    )


def summary(model: Network, variables: Any) -> str:
    """Describes a network in one line.

    Example:
        >>> import drn_jax, numpy as np
        >>> summary(drn_jax.create_model('drn_a_50', num_classes=19, task='segmentation'),
        ...         {'params': {'head': np.zeros((2048, 19))}})
        'drn_a_50 (first_block paper), segmentation, 19 classes, width 1, 38,912 parameters'
    """
    choice = f' (first_block {model.first_block})' if model.table.family == 'drn_a' else ''
    choice += ' (stride_in 1x1)' * (model.stride_in == '1x1')
    choice += f' (degridding {model.degridding})' * (model.degridding != 'own')
    parameters = sum(leaf.size for leaf in jax.tree.leaves(variables['params']))
    return (
        f'{model.variant}{choice}, {model.task}, {model.num_classes or "no"} classes, '
        f'width {model.width:g}, {parameters:,} parameters'
    )


if __name__ == '__main__':
    commands.run(main)
