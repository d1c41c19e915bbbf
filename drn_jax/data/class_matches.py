"""Matches the classes of a data set, by their names, with those that a network has learned."""

from collections.abc import Sequence

from drn_jax.data.source import Source
from drn_jax.errors import InputError, some


def match_classes(
    source: Source, learned: Sequence[str], num_classes: int
) -> tuple[Source, list[str]]:
    """Returns a data set whose labels are the classes of a network, and what has to be said of it.

    Classes are matched by name. Where the names are the numbers from 0 on, as in ImageNetV2's
    folders, and the network's are not, they are the numbers of its classes. Where a network does
    not name its classes, as many are taken for the same in their order.

    Args:
        source: the data set.
        learned: names of the network's classes; () where it has none.
        num_classes: how many classes the network has.

    Returns:
        The `Source`, and sentences without ends.

    Raises:
        InputError: the data set has classes that the network did not learn.
    """
    names, known = tuple(source.class_names), {name: i for i, name in enumerate(learned)}
    if names == tuple(learned):
        return source, []
    numbers = set(names) == set(map(str, range(num_classes)))
    if numbers and not known.keys() & set(names):
        places, how = list(map(int, names)), 'its names are their numbers'
    elif not learned and len(names) == num_classes:
        return source, [
            f'the network does not name its classes: those of {source.name} are taken for them in '
            'their order'
        ]
    elif unknown := [name for name in names if name not in known]:
        knows = f'; it knows {some(learned)}' if learned else ', for it names none'
        raise InputError(
            f'the network has {num_classes} classes, but {source.name} has {len(names)}, of which '
            f'the network does not know {some(unknown)}{knows}; give data of its classes, or of '
            'some of them',
            field='config.data.data_dir',
        )
    else:
        places, how = [known[name] for name in names], 'matched by name'
    some_only = f'only {len(names)} ({some(names)})' if len(names) < num_classes else 'all'
    counted = '; answers of another class count as wrong' if len(names) < num_classes else ''
    return source.with_labels(learned or map(str, range(num_classes)), places), [
        f'{source.name} has {some_only} of the {num_classes} classes of the network, {how}{counted}'
    ]
