"""Flags that the commands on photographs of one's own share."""

import argparse


def add_inputs(parser):
    """Adds the photographs, --output and --overwrite."""
    parser.add_argument(
        'images', nargs='*', metavar='IMAGE_OR_FOLDER', help='photographs, and folders of them'
    )
    parser.add_argument('--output', required=True, metavar='DIR', help='where results go, local')
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='write into a directory that is not empty; files of the same names\n'
        'are replaced, others stay',
    )


def add_sizes(parser):
    """Adds --size and --short_side, for segmentation."""
    parser.add_argument(
        '--size',
        type=height_and_width,
        metavar='HxW',
        help='segmentation: height and width that the network sees (default:\n'
        'those of the photograph)',
    )
    parser.add_argument(
        '--short_side',
        type=positive,
        metavar='PX',
        help='segmentation: length of the shorter side that the network sees',
    )


def parse(parser, argv):
    """Reads a command line; photographs may stand between flags.

    Args:
        parser: a `commands.Parser` with `add_inputs` and `add_sizes`.
        argv: the command line.

    Returns:
        The flags, and a list of those of the form --config.field=value.

    Raises:
        InputError: a flag is unknown or has a wrong value, or two exclude each other.
    """
    given, rest = parser.parse_known_intermixed_args(argv)
    overrides = [flag for flag in rest if flag.startswith('--config.')]
    unknown = [flag for flag in rest if flag not in overrides]
    if unknown:
        parser.error(f'{" ".join(unknown)} is not understood')
    if given.size and given.short_side:
        parser.error('--size and --short_side exclude each other')
    return given, overrides


def positive(text):
    """Reads a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is given, but it is a whole number, at least 1')
    return int(text)


def share(text):
    """Reads a number that is at least 0 and below 1."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(
            f'{text!r} is given, but it is a number, at least 0 and below 1'
        )
    return number


def height_and_width(text):
    """Reads a size.

    Example:
        >>> height_and_width('512x1024')
        (512, 1024)
    """
    parts = text.split('x')
    if len(parts) != 2:
        raise argparse.ArgumentTypeError(
            f'{text!r} is given, but a size is HEIGHTxWIDTH, such as 512x1024'
        )
    return positive(parts[0]), positive(parts[1])
