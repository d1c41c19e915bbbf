"""The table of fields of a configuration, and all that is made of it.

A field is declared here once: recipes take its default, checks its range, resuming whether it may
change, `--help_fields` and docs/fields.md its explanation.
"""

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import ml_collections

from drn_jax.errors import InputError

INFINITY = math.inf
_WHOLE = 2**31 - 1  # the largest whole number, where a row names none: libraries take 32 bits
_ABOVE_0 = math.ulp(0.0)  # the least float; what lies above 0 is bounded by it


class Field(NamedTuple):
    """A row of the table.

    Attributes:
        name: with the sections that it lies in, such as 'data.shards'.
        default: its value in `recipes`, unless they set another; it decides the type.
        help: what it is, in half a sentence, or what the name leaves open.
        least, most: smallest and largest number allowed; of each, where there are several.
        choices: the values allowed; () where others are.
        length: how many numbers it has; 0 where that is open.
        rising: whether the first of two numbers must not be above the second.
        unit: where numbers are often given in another unit, how many of it are 1: 100 of percents.
        resume: whether a stopped run may go on with another value: it changes no result.
        of_network: whether a checkpoint cannot be used with another value.
        labels: the kind of labels whose tasks have it, 'classes' or 'maps'; '' is all.
        old_name: what it was called in configurations that earlier versions stored.
    """

    name: str
    default: Any
    help: str
    least: float | None = None
    most: float = INFINITY
    choices: tuple[Any, ...] = ()
    length: int = 0
    rising: bool = False
    unit: int = 0
    resume: bool = False
    of_network: bool = False
    labels: str = ''
    old_name: str = ''


def _section(prefix: str, *rows: Any, **common: Any) -> tuple[Field, ...]:
    """Returns rows whose names begin with a prefix, with what they have in common."""
    return tuple(Field(prefix + name, *rest, **{**common, **more}) for (name, *rest), more in rows)


def _row(name: str, default: Any, help: str, *limits: float, **more: Any) -> Any:
    """Returns the parts of a row: least and most follow the explanation."""
    return (name, default, help, *limits), more


# fmt: off
FIELDS = (
    *_section(
        '',
        _row('task', 'classification', 'what is learned, or evaluated', of_network=True),
        _row('seed', 0, 'of the initial parameters, the order of images and their augmentation', 0,
             2**32 - 1),
        _row('batch_size', 256, 'images a step, over all devices; the learning rate follows', 1),
        _row('epochs', 120.0, 'passes over the training images', 0, 1e9, resume=True),
        _row('steps', 0, 'where positive, the number of steps, and `epochs` is ignored', 0,
             resume=True),
        _row('init_from', '', 'a checkpoint to start from; its head is taken if it fits'),
        _row('compiler_options', (), "of XLA, as ('xla_tpu_scoped_vmem_limit_kib=32768',), laid "
             "over those that drn_jax chooses; 'NAME=' leaves one of these out", resume=True),
        _row('log_every_steps', 50, 'steps between lines in TensorBoard', 1, resume=True),
        _row('profile_steps', (0, 0),
             'a trace from one step to another, for TensorBoard and xprof; (0, 0): none', 0,
             length=2, rising=True, resume=True),
        _row('watchdog_seconds', 1800.0,
             'a process in which nothing happens for so long ends; 0: never', 0, 1e9,
             resume=True, old_name='hang_seconds'),
    ),
    *_section(
        'model.',
        _row('variant', 'drn_c_26', 'the network, one of drn_jax.list_models()'),
        _row('width', 1.0, 'multiple of all channel counts'),
        _row('dtype', 'float32', 'of activations; bfloat16 for TPUs and recent GPUs',
             choices=('float32', 'bfloat16'), of_network=False),
        _row('first_block', 'paper', "DRN-A: dilation of a group's first block",
             choices=('paper', 'release')),
        _row('stride_in', '3x3', 'bottlenecks of ResNet and DRN-A: convolution with the stride',
             choices=('3x3', '1x1')),
        _row('degridding', 'own', "dilated networks: the variant's own way, or another",
             choices=('own', 'none', 'levels_residual', 'levels', 'smooth', 'hdc')),
        _row('batch_norm_group_size', 0,
             'images normalized together, a divisor of batch_size; 0: the batch', 0,
             old_name='model.statistics_images'),
        _row('freeze_batch_stats', False, 'batch statistics stay as they were at the start',
             old_name='model.freeze_statistics'),
        _row('residual_scale', 1.0, "first scale of what a block adds to its shortcut", 0, 1,
             of_network=False),
        _row('num_classes', 0, '0: as many as the data set has', 0),
        _row('rematerialize', (), "levels, as 'level1', computed twice to save memory",
             resume=True, of_network=False),
        _row('convolution', 'auto', 'algorithm of convolutions; auto: the fastest',
             choices=('auto', 'native', 'phase', 'winograd', 'strips'), resume=True,
             of_network=False),
        _row('upsample_border', 'extend',
             "upsampling beyond the outermost cells: bilinear, or 'fade', as in the release",
             choices=('extend', 'fade'), labels='maps', old_name='model.edges'),
        of_network=True,
    ),
    *_section(
        'data.',
        _row('name', 'imagenet2012', 'the data set; the documentation lists those of each task'),
        _row('data_dir', '', "where prepared data lies, local or gs://; '': ~/tensorflow_datasets",
             resume=True),
        _row('manual_dir', '', "archives that TFDS cannot download: ImageNet's tars, Cityscapes' "
             'zips', resume=True),
        _row('train_split', 'train', 'images to train on'),
        _row('validation_split', 'validation', 'images to evaluate', resume=True),
        _row('class_names', (), 'filled in from the data set'),
        _row('fingerprint', '', 'of the training images, filled in from the data set', resume=True),
        _row('mean', (0.485, 0.456, 0.406), 'of each channel, white being 1', 0, 1, length=3,
             unit=255),
        _row('std', (0.229, 0.224, 0.225), 'of each channel, white being 1', _ABOVE_0, 1, length=3,
             unit=255),
        _row('shards', 8, 'slices of the training images; a multiple of the processes', 1,
             old_name='data.streams'),
        _row('shuffle_buffer', 16384, 'undecoded images in memory, over all shards', 1),
        _row('max_unreadable_fraction', 0.001, 'of the images; more of them stop the run', 0, 1,
             unit=100, resume=True, old_name='data.max_unreadable_share'),
        _row('threads', 0, 'that decode images; 0: one for each core', 0, resume=True),
    ),
    *_section(
        'data.',
        _row('image_size', 224, 'pixels a side of what the network sees', 1),
        _row('crop', True, 'False: whole images, resized to image_size'),
        _row('crop_area', (0.08, 1.0), "training crops: fraction of the image's area", _ABOVE_0, 1,
             length=2, rising=True, unit=100),
        _row('crop_ratio', (3 / 4, 4 / 3), 'training crops: width by height', _ABOVE_0, 64,
             length=2, rising=True, unit=100),
        _row('resize_px', 256, 'shorter side in evaluation, before the central crop', 1),
        _row('boxes', '',
             'localization on ImageNet: directory of its box archives, or a CSV file'),
        labels='classes',
    ),
    *_section(
        'data.',
        _row('prepared_dir', '', "label_maps: where it is built, local or gs://; '': "
             'data_dir/prepared', resume=True),
        _row('crop_px', 896, 'side of the training crops', 1),
        _row('scale', (1.0, 1.0), 'training images are resized by a factor between these',
             _ABOVE_0, 16, length=2, rising=True, unit=100),
        _row('rotation_degrees', 0, 'training images are turned by up to so many', 0, 180),
        _row('evaluation_size', (0, 0),
             'height and width to resize to; (0, 0): images as they are', 0, length=2,
             resume=True),
        _row('palette', (), 'colors of the classes, each (red, green, blue) in 0 to 255; '
             "(): the data set's", resume=True),
        labels='maps',
    ),
    *_section(
        'augmentation.',
        _row('mirror', True, 'half of the training images are'),
        _row('color_jitter', (0.5, 1.5), 'factors of brightness, contrast, color; (1, 1) is none',
             0, 16, length=2, rising=True, unit=100, old_name='augmentation.colour_factors'),
        _row('lighting', 0.1, "standard deviation along ImageNet's color axes; 0 is none", 0, 10,
             unit=255),
    ),
    Field('loss.label_smoothing', 0.0, "fraction of the target's weight that all classes share",
          0, math.nextafter(1, 0), unit=100, labels='classes'),
    Field('loss.class_weights', (), 'weight of each class in the mean; (): all weigh the same',
          0, 1e9, labels='maps'),
    *_section(
        'optimizer.',
        _row('learning_rate', 0.1, 'for `base_batch_size` images a step; scaled to batch_size',
             0, 1e30),
        _row('base_batch_size', 256, 'images a step that the rate is for', 1,
             old_name='optimizer.rate_batch'),
        _row('momentum', 0.9, 'of SGD', 0, 1),
        _row('nesterov', False, "whether momentum is Nesterov's"),
        _row('weight_decay', 1e-4, 'L2 on every parameter, before the momentum', 0, 1e9),
        _row('backbone_lr_scale', 1.0, 'multiple of the rate, for everything but the head', 0, 1e9,
             old_name='optimizer.backbone_rate'),
        _row('schedule', 'steps', 'how the rate falls',
             choices=('steps', 'cosine', 'poly', 'constant')),
        _row('warmup_epochs', 0.0, 'the rate rises from 0, linearly', 0, 1e9),
        _row('decay_epochs', (30.0, 60.0, 90.0), "'steps': where the rate falls", 0, 1e9),
        _row('decay_factor', 0.1, "'steps': what it is multiplied with", 0, 1e9),
        _row('poly_power', 0.9, "'poly': rate * (1 - epoch / epochs) ** power", 0, 1e9),
        _row('max_consecutive_nonfinite', 0,
             'updates in a row left out where loss or gradient is not finite; one more stops',
             0, 1e9, old_name='optimizer.max_skipped'),
    ),
    *_section(
        'evaluation.',
        _row('every_epochs', 1.0, 'during training; the last step is always evaluated', _ABOVE_0,
             1e9),
        _row('batch_size', 0, 'images at a time, over all devices; 0: as in training', 0),
        resume=True,
    ),
    *_section(
        'evaluation.',
        _row('crops', 1, '10: center, corners and their mirror images', choices=(1, 10)),
        _row('average', 'probabilities', 'what ten crops average',
             choices=('probabilities', 'logits')),
        _row('maps', 'crop', 'localization: maps of the central crop, or of whole images',
             choices=('crop', 'whole')),
        _row('threshold', -1.0, 'localization: of dominant responses; below 0: chosen', -INFINITY,
             math.nextafter(1, 0)),
        _row('scaled_threshold', -1.0, 'the same for scores scaled to [0, 1] in each image',
             -INFINITY, math.nextafter(1, 0)),
        _row('threshold_split', '', "images to choose on; '': 'tune' or some of training"),
        resume=True, labels='classes',
    ),
    *_section(
        'evaluation.',
        _row('scales', (1.0,), "multiples of the image's size whose answers are combined",
             _ABOVE_0, 16, unit=100),
        _row('mirror', False, 'with the answers for the mirror image'),
        _row('classes', (), "those of the network that the data set has, filled in; (): all"),
        _row('tile_px', 0, 'side of tiles that are computed one by one; 0: whole images', 0),
        resume=True, labels='maps',
    ),
    *_section(
        'checkpoint.',
        _row('every_steps', 0, 'besides one after each evaluation; 0: no others', 0),
        _row('keep_last', 3, 'at least 2: one is whole while another is written', 2),
        _row('keep_best', 1, 'checkpoints by best_metric', 0),
        _row('best_metric', 'top1_error', 'of the validation images'),
        _row('best_is', 'lowest', 'whether a low or a high metric is good',
             choices=('lowest', 'highest')),
        resume=True,
    ),
    *_section(
        'mesh.',
        _row('devices', 0, 'that share each batch; 0: all there are'),
        _row('spatial', 1, 'that share the rows of each image, in training for segmentation',
             old_name='mesh.space'),
        resume=True,
    ),
)
# fmt: on
_BY_NAME = {field.name: field for field in FIELDS}
_OLD_NAMES = {field.old_name: field.name for field in FIELDS if field.old_name}


def defaults(labels: str) -> ml_collections.ConfigDict:
    """Makes a configuration of all fields that tasks with a kind of labels have, locked.

    Args:
        labels: 'classes' or 'maps'.

    Returns:
        The configuration; names that are no fields are refused, values can be changed.

    Example:
        >>> defaults('maps').data.crop_px, 'crop_px' in defaults('classes').data
        (896, False)
    """
    nested: dict[str, Any] = {}
    for field in FIELDS:
        if field.labels in ('', labels):
            *sections, name = field.name.split('.')
            section = nested
            for each in sections:
                section = section.setdefault(each, {})
            section[name] = field.default
    return ml_collections.ConfigDict(nested).lock()


def check(config: ml_collections.ConfigDict) -> None:
    """Refuses fields that are unknown, missing or out of range, and words that are unknown.

    Args:
        config: the configuration of a run.

    Raises:
        InputError: there is one; its name, its value and what is allowed are said.

    Example:
        >>> from drn_jax import recipes
        >>> config = recipes.classification()
        >>> config.data.shards = 0
        >>> check(config)
        Traceback (most recent call last):
        ...
        drn_jax.errors.InputError: config.data.shards is 0; it must be at least 1
    """
    values = flatten(config)
    for name, value in values.items():
        if name not in _BY_NAME:
            raise unknown(name)
        _check_value(_BY_NAME[name], value)
    if missing := {field.name for field in FIELDS if not field.labels} - values.keys():
        raise InputError(
            f'config has no {min(missing)}; change a configuration of drn_jax.recipes, which has '
            'all fields',
            field=f'config.{min(missing)}',
        )
    _check_together(values)


def unknown(name: str) -> InputError:
    """Returns the error for a name that is no field, with the nearest one; old names count.

    Example:
        >>> str(unknown('data.shard'))
        "config has no field 'data.shard'; the nearest is 'data.shards' (--help_fields lists all)"
    """
    near = difflib.get_close_matches(name, [*_BY_NAME, *_OLD_NAMES], 1, 0.0)[0]
    near = _OLD_NAMES.get(near, near)
    return InputError(
        f'config has no field {name!r}; the nearest is {near!r} (--help_fields lists all)',
        field=f'config.{name}',
    )


def _check_value(field: Field, value: Any) -> None:
    """Refuses a value that is none of the choices, or out of range."""
    name, numbers = f'config.{field.name}', value if isinstance(value, tuple) else (value,)
    if field.choices and value not in field.choices:
        raise InputError(
            f'{name} {value!r} is unknown; known: {", ".join(map(str, field.choices))}', field=name
        )
    problem = ''
    if is_of_names(field.name):
        if not all(isinstance(each, str) and each for each in value):
            problem = 'give names'
    elif field.name == 'data.palette':
        if not all(map(_is_color, value)):
            problem = 'give (red, green, blue) for each class, whole numbers from 0 to 255'
    elif field.least is None:
        return
    elif len(numbers) != (field.length or len(numbers)):
        problem = f'it has {field.length} numbers'
    elif not all(type(number) in (int, float) for number in numbers):
        problem = 'give numbers'
    elif _is_whole(field.default) and not _is_whole(value):
        problem = 'give whole numbers'
    elif not all(field.least <= number <= field.most for number in numbers):  # false for nan
        problem = _allowed(field) + _other_unit(field, numbers)
    elif field.rising and numbers[0] > numbers[1]:
        problem = 'give the smaller number first'
    elif field.most == INFINITY and max(numbers, default=0) > _WHOLE:
        problem = f'it must be at most {_WHOLE}'
    if problem:
        raise InputError(f'{name} is {value}; {problem}', field=name)


def _is_whole(value: Any) -> bool:
    """Says whether a value is several numbers, all of them whole."""
    return isinstance(value, tuple) and {type(number) for number in value} == {int}


def is_of_names(name: str) -> bool:
    """Returns whether a field is a tuple of names.

    Example:
        >>> is_of_names('data.class_names'), is_of_names('data.mean')
        (True, False)
    """
    field = _BY_NAME.get(name, Field(name, None, ''))
    return field.default == () and field.least is None and name != 'data.palette'


def _is_color(value: Any) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 3
        and all(type(level) is int and 0 <= level <= 255 for level in value)
    )


def _other_unit(field: Field, numbers: Sequence[float]) -> str:
    """Proposes what numbers out of range are, if they were given in the field's other unit."""
    given = [number / field.unit for number in numbers] if field.unit else []
    if not given or not all((field.least or 0) <= number <= field.most for number in given):
        return ''
    names = {100: 'percents', 255: 'numbers for white being 255'}
    proposed = ', '.join(f'{number:.6g}' for number in given)
    return f'; {names[field.unit]} are divided by {field.unit}: {proposed}'


def _allowed(field: Field) -> str:
    """Says what the range of a field is."""
    number = field.most if isinstance(field.most, int) else f'{field.most:g}'
    most = 'below 1' if field.most == math.nextafter(1, 0) else f'at most {number}'
    if field.least == -INFINITY:
        return f'it must be {most}'
    lower = (
        'it must be above 0' if field.least == _ABOVE_0 else f'it must be at least {field.least:g}'
    )
    return lower if field.most == INFINITY else f'{lower} and {most}'


def _check_together(values: Mapping[str, Any]) -> None:
    """Refuses values that do not go with those of other fields."""
    batch_size, shards = values['batch_size'], values['data.shards']
    if batch_size % shards:
        raise InputError(
            f'config.batch_size {batch_size} does not divide by '
            f'config.data.shards {shards}; use a multiple of it',
            field='config.batch_size',
        )
    group = values['model.batch_norm_group_size']
    if group and batch_size % group:
        raise InputError(
            f'config.batch_size {batch_size} does not divide into groups of '
            f'config.model.batch_norm_group_size {group}; use a divisor of it',
            field='config.model.batch_norm_group_size',
        )
    begin, end = values['profile_steps']
    if begin == end > 0:
        raise InputError(
            f'config.profile_steps is {(begin, end)}, between which there is no step; give another '
            f'second number, such as {(begin, end + 10)}',
            field='config.profile_steps',
        )
    size = values.get('data.evaluation_size', (0, 0))
    if any(size) != all(size):
        raise InputError(
            f'config.data.evaluation_size is {size}; give a height and a width in '
            'pixels, or (0, 0) for the images as they are',
            field='config.data.evaluation_size',
        )
    if values.get('evaluation.scales') == ():
        raise InputError(
            'config.evaluation.scales is empty; give at least one, such as (1.,)',
            field='config.evaluation.scales',
        )
    if values.get('evaluation.crops') == 10 and not (
        values['augmentation.mirror'] and values['data.crop']
    ):
        off = 'data.crop' if values['augmentation.mirror'] else 'augmentation.mirror'
        raise InputError(
            'config.evaluation.crops is 10, which are crops and their mirror images, but '
            f'config.{off} is off for this data; use 1',
            field='config.evaluation.crops',
        )
    if values.get('data.crop') and values['data.resize_px'] < values['data.image_size']:
        raise InputError(
            f'config.data.resize_px {values["data.resize_px"]} is less than '
            f'config.data.image_size {values["data.image_size"]}, so crops do not fit; use at '
            'least that',
            field='config.data.resize_px',
        )


def check_same_run(
    workdir: object, stored: ml_collections.ConfigDict, config: ml_collections.ConfigDict
) -> None:
    """Refuses to go on with a run under fields that change its results.

    Args:
        workdir: directory of the run, named in the error.
        stored: configuration in its newest checkpoint.
        config: the configuration to go on with.

    Raises:
        InputError: they differ in more than a stopped run may change; the differences are listed.
    """
    found = differences(stored, config, lambda field: not field.resume)
    if found:
        raise InputError(
            f'{workdir} holds a run with other settings: {"; ".join(found)}; '
            'give the old settings to go on, or another --workdir',
            field=f'config.{found[0].split()[0]}',
            path=workdir,
        )


def check_same_network(
    stored: ml_collections.ConfigDict, config: ml_collections.ConfigDict
) -> None:
    """Refuses changes that make another network than a checkpoint holds; its dtype may change.

    Args:
        stored: configuration in the checkpoint.
        config: the configuration to use it with.

    Raises:
        InputError: a field of the network differs, or its classes have another order; the
            differences are listed.
    """
    ordered = sorted(stored.data.class_names) == sorted(config.data.class_names)
    found = differences(
        stored,
        config,
        lambda field: field.of_network or ordered and field.name == 'data.class_names',
    )
    if found:
        raise InputError(
            f'the network of a checkpoint cannot be changed: {"; ".join(found)}',
            field=f'config.{found[0].split()[0]}',
        )


def differences(
    old: ml_collections.ConfigDict,
    new: ml_collections.ConfigDict,
    counts: Callable[[Field], bool],
) -> list[str]:
    """Lists the fields in which two configurations differ.

    Args:
        old, new: the configurations.
        counts: whether a field is looked at.

    Example:
        >>> old, new = defaults('maps'), defaults('maps')
        >>> new.seed, new.epochs = 1, 240.
        >>> differences(old, new, lambda field: not field.resume)
        ['seed was 0 and is now 1']
    """
    before, after = flatten(old), flatten(new)
    return [
        f'{name} was {before.get(name)!r} and is now {after.get(name)!r}'
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name) and counts(_BY_NAME.get(name, Field(name, None, '')))
    ]


def flatten(config: ml_collections.ConfigDict, prefix: str = '') -> dict[str, Any]:
    """Returns a configuration as one dict of dotted names.

    Args:
        config: the configuration, or a section of it.
        prefix: what all names begin with.

    Example:
        >>> flatten(ml_collections.ConfigDict({'model': {'width': 1.}, 'seed': 0}))
        {'model.width': 1.0, 'seed': 0}
    """
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, ml_collections.ConfigDict):
            flat |= flatten(value, f'{prefix}{name}.')
        else:
            flat[prefix + name] = value
    return flat


def from_stored(
    stored: Mapping[str, Any], config: ml_collections.ConfigDict
) -> ml_collections.ConfigDict:
    """Reads a configuration that a checkpoint holds, perhaps of an earlier version.

    Fields of old names get their new ones, and those that it lacks keep their defaults. Names that
    its task does not have are left out: earlier versions let them pass in files, and used none.

    Args:
        stored: nested dicts, as JSON has them; lists become tuples.
        config: the defaults of its task; changed.

    Returns:
        `config`, with the stored values.

    Example:
        >>> config = from_stored({'seed': 7, 'data': {'streams': 4}}, defaults('classes'))
        >>> config.seed, config.data.shards, config.batch_size
        (7, 4, 256)
    """
    known = flatten(config)
    with config.ignore_type():  # once, as it walks over all that the configuration holds
        for old_name, value in flatten(ml_collections.ConfigDict(stored)).items():
            name = _OLD_NAMES.get(old_name, old_name)
            if name in known:
                *sections, last = name.split('.')
                section = config
                for each in sections:
                    section = section[each]
                section[last] = tuples(value)
    return config


def tuples(value: Any) -> Any:
    """Returns a value with tuples in place of lists, at any depth."""
    return tuple(map(tuples, value)) if isinstance(value, list | tuple) else value


def lines(names: Sequence[str] = ()) -> str:
    """Lays fields out for a terminal, as flags with their explanations.

    Args:
        names: names of the fields; () is all of them.

    Returns:
        A line for each: the flag with the default, the explanation, the choices.

    Example:
        >>> print(lines(['model.dtype']))
          --config.model.dtype=float32  of activations; bfloat16 for TPUs and recent GPUs \
(float32, bfloat16)
    """
    chosen = [_BY_NAME[name] for name in names] or FIELDS
    flags = [f'--config.{field.name}={_value(field.default)}' for field in chosen]
    width = min(max(map(len, flags)), 44)
    return '\n'.join(
        f'  {flag:{width}}  {field.help}{_choices(field)}' for flag, field in zip(flags, chosen)
    )


def markdown() -> str:
    """Lays all fields out as a table in Markdown, for the documentation."""
    head = '| field | default | meaning | may change on resuming |\n|---|---|---|---|\n'
    rows = []
    for field in FIELDS:
        only = {
            '': '',
            'classes': ' *(classification, localization)*',
            'maps': ' *(segmentation)*',
        }[field.labels]
        rows.append(
            f'| `{field.name}` | `{_value(field.default) or "(empty)"}` | {field.help}'
            f'{_choices(field)}{only} | {"yes" if field.resume else "no"} |'
        )
    return head + '\n'.join(rows) + '\n'


def _value(default: Any) -> str:
    if isinstance(default, tuple):
        numbers = [f'{each:.4g}' if isinstance(each, float) else str(each) for each in default]
        return f'({", ".join(numbers)})'
    return str(default)


def _choices(field: Field) -> str:
    return f' ({", ".join(map(str, field.choices))})' if field.choices else ''
