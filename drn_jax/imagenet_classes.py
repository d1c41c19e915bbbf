"""ImageNet's 1000 classes: WordNet ids, by which data sets and networks name them, and words."""

import functools
import pathlib
from collections.abc import Sequence


@functools.cache
def words() -> dict[str, str]:
    """Returns {WordNet id: words} of the classes, in the order of the challenge, sorted by id.

    Example:
        >>> list(words().items())[249:251]
        [('n02110063', 'malamute'), ('n02110185', 'Siberian husky')]
    """
    text = pathlib.Path(__file__).with_suffix('.txt').read_text()
    return dict(line.split(' ', 1) for line in text.splitlines())


def readable(names: Sequence[str]) -> tuple[str, ...]:
    """Returns names of classes for people: words where all of them are WordNet ids.

    Example:
        >>> readable(['n02110063', 'n01440764']), readable(['cat', 'n01440764'])
        (('malamute', 'tench'), ('cat', 'n01440764'))
    """
    known = words() if names else {}
    return tuple(known[name] for name in names) if known.keys() >= set(names) else tuple(names)
