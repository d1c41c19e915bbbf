"""Evaluates a checkpoint on the validation images of its data set.

  python -m drn_jax.evaluate --checkpoint=runs/drn_c_26
  python -m drn_jax.evaluate --checkpoint=runs/drn_c_26 --config.evaluation.crops=10

The configuration is the one stored with the checkpoint. Its fields can be changed with
--config.FIELD=VALUE, except for those of the network. The most used ones:

  --config.evaluation.crops=10         centre, four corners and their mirror images
  --config.evaluation.average=logits   what ten crops average, instead of probabilities
  --config.evaluation.batch_size=64    images at a time, over all devices
  --config.data.data_dir=DIR           where TFDS keeps prepared data
  --config.data.validation_split=NAME  the images to evaluate
"""
import re

from etils import epath

from drn_jax import commands
from drn_jax.errors import InputError
from drn_jax.published import published
from drn_jax.training import configurations, loading, meshes, reports


def main(argv):
    """Runs the command with these flags; see the module's text."""
    parser = commands.Parser('evaluate', __doc__)
    parser.add_argument('--checkpoint', required=True, metavar='DIR',
                        help='working directory of a run, its checkpoint folder or one step')
    parser.add_argument('--step', type=int, metavar='N',
                        help='step to evaluate (default: the best by validation, else the latest)')
    parser.add_argument('--output', metavar='DIR',
                        help='where report.json goes (default: inside the working directory)')
    given, overrides = parser.parse_known_args(argv)
    path = loading.find(given.checkpoint, given.step)
    stored = loading.read_config(path)
    stored.mesh.devices = 0  # all that there are here, whatever the run had
    config = commands.override(stored.copy_and_resolve_references(), overrides)
    refuse_other_network(stored, config)
    output = output_directory(given.output, path, config)

    from drn_jax.training import evaluation, setups  # these import TensorFlow, which takes seconds
    setup = setups.set_up(config)
    variables = loading.read_variables(
        path, setup.task.model, meshes.replicated(setup.mesh))
    reports.say(f'{config.model.variant}, step {path.name}, on {config.data.validation_split} of '
                f'{setup.source.name}')
    with reports.Progress(evaluation.batch_count(config, setup.source), what='batch') as progress:
        metrics = evaluation.evaluator(config, setup)(variables, progress)
    reports.say(reports.table(metrics, published(config)))
    report = reports.write_report(
        output, command=commands.typed('evaluate', argv), config=config, metrics=metrics,
        published=published(config), step=int(path.name),
        data={'name': setup.source.name, 'split': config.data.validation_split})
    reports.say(f'report: {report}')


def output_directory(given, path, config):
    """Makes the directory of the report: the given one, or one inside the working directory.

    Raises:
        InputError: it cannot be made.
    """
    settings = config.evaluation
    crops = f'10crops_{settings.average}' if settings.crops == 10 else '1crop'
    workdir = path.parent.parent if path.parent.name == loading.FOLDER else path.parent
    name = '_'.join(['step', path.name, config.data.name, config.data.validation_split, crops,
                     config.model.dtype])
    output = epath.Path(given or workdir / 'evaluation' / re.sub(r'[^\w.-]+', '-', name))
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f'{output} cannot be made ({error.strerror}); give another --output'
                         ) from error
    return output


def refuse_other_network(stored, config):
    """Refuses changes of `config.model` that make another network than the checkpoint holds."""
    found = configurations.differences(stored.model, config.model)
    found = [difference for difference in found if not difference.startswith('dtype ')]
    if found:
        raise InputError('the network of a checkpoint cannot be changed: model.'
                         f'{"; model.".join(found)}')


if __name__ == '__main__':
    commands.run(main)
