"""Exported files: where they are written, and how they are read back."""

import contextlib
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from drn_jax import files, paths
from drn_jax.errors import InputError
from drn_jax.exporting import onnx, stablehlo

_PLATFORM_OF = {'gpu': 'cuda'}  # what JAX calls a backend, and what `jax.export` calls it


class Artifact(NamedTuple):
    """An exported network, which is called with images.

    Attributes:
        path: of its file.
        card: what the file says of itself, a dict; see `signatures.make_card`.
        run: (images) -> answers, unchecked.
    """

    path: str
    card: dict[str, Any]
    run: Callable[..., Any]

    def __call__(self, images: Any, device: jax.Device | None = None) -> Any:
        """Returns the answers to images.

        Args:
            images: of the shape and dtype that `card['input']` says.
            device: that computes a StableHLO program; None is the first. ONNX Runtime takes the
                CPU.

        Returns:
            What `card['output']` says; of StableHLO a `jax.Array`, of ONNX a NumPy array.

        Raises:
            InputError: images have another shape or dtype, or the program is for other devices.
        """
        check_images(self.path, self.card['input'], images)
        if self.card['form'] == 'onnx':
            return self.run(np.asarray(images))
        device = device or jax.devices()[0]
        if platform_of(device) not in self.card['platforms']:
            raise InputError(
                f'{self.path} is for {", ".join(self.card["platforms"])}, but this '
                f'process computes on {platform_of(device)}; export it again with '
                f'--platforms={platform_of(device)}',
                path=self.path,
            )
        return self.run(jax.device_put(images, device))


def load_exported(path: Any) -> Artifact:
    """Reads a file that `python -m drn_jax.export` wrote, StableHLO or ONNX.

    A StableHLO file is a zip archive; without this package, JAX alone reads it:

        import zipfile
        from jax import export
        with zipfile.ZipFile('drn_c_26.stablehlo') as file:
            program = export.deserialize(bytearray(file.read('program.jax_export')))
        logits = program.call(images)

    An ONNX file is one as it is. Both hold a program: read files of sources that you trust.

    Args:
        path: the file, a local one.

    Returns:
        An `Artifact`: call it with images; its `card` says what the network is, which images it
        takes and what it gives.

    Raises:
        InputError: there is no such file, it is another or a damaged one, or it was written by
            another version of this package or of JAX, which is named.

    Example:
        network = drn_jax.load_exported('drn_c_26.stablehlo')
        logits = network(images)  # uint8 [batch, height, width, 3]
        names = network.card['class_names']
    """
    file = pathlib.Path(path)
    if not file.is_file():
        raise InputError(
            f'{path} {"is a directory" if file.is_dir() else "does not exist"}; give '
            'a file that python -m drn_jax.export wrote',
            path=path,
        )
    try:
        with file.open('rb') as stream:
            start = stream.read(2)
    except OSError as error:
        raise InputError(f'{path} cannot be opened: {error.strerror}', path=path) from error
    # A zip archive begins with PK; an ONNX file with field 1 of the message, its version.
    form = {b'PK': stablehlo, b'\x08': onnx}.get(start if start == b'PK' else start[:1])
    if form is None:
        raise InputError(
            f'{path} is neither a StableHLO nor an ONNX file of python -m drn_jax.export; give one',
            path=path,
        )
    run, card = form.read(path)
    return Artifact(str(path), card, run)


def check_output(output: str, overwrite: bool) -> pathlib.Path:
    """Refuses a path that cannot become a file, before anything is computed.

    Args:
        output: the path, as it was typed.
        overwrite: whether a file there may be replaced.

    Returns:
        The path.

    Raises:
        InputError: it is not local, is a directory or lies below a file, or it exists and
            `overwrite` is False.
    """
    path = paths.local(output, '--output')
    if path.is_dir():
        raise InputError(f'--output={output} is a directory; name a file', field='--output')
    if path.exists() and not overwrite:
        raise InputError(
            f'--output={output} exists; name another file, or add --overwrite to replace it',
            field='--output',
        )
    above = next(parent for parent in path.absolute().parents if parent.exists())
    if not above.is_dir():
        raise InputError(
            f'--output={output} cannot be written, because {above} is a file; name another file',
            field='--output',
        )
    return path


@contextlib.contextmanager
def writing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Replaces a file as `files.replacing` does, and yields where to write.

    Raises:
        InputError: it cannot be written there.
    """
    try:
        with files.replacing(path) as partial:
            partial.touch()  # raises now, not after computing
            yield partial
    except OSError as error:
        raise InputError(
            f'--output={path} cannot be written ({error.strerror}); name another file',
            field='--output',
        ) from error


def platform_of(device: jax.Device) -> str:
    """Returns a device's platform as `jax.export` calls it: cpu, cuda, tpu."""
    return _PLATFORM_OF.get(device.platform, device.platform)


def check_images(path: Any, wanted: dict[str, Any], images: Any) -> None:
    """Refuses images that a program does not take.

    Args:
        path: of the file, named in the error.
        wanted: `card['input']`.
        images: an array.

    Raises:
        InputError: shape or dtype differ.

    Example:
        >>> check_images('a.onnx', {'shape': ['batch', 224, 224, 3], 'dtype': 'uint8'},
        ...              np.zeros((1, 96, 96, 3)))
        Traceback (most recent call last):
        ...
        drn_jax.errors.InputError: a.onnx takes images uint8 [batch, 224, 224, 3], not float64 \
[1, 96, 96, 3]
    """
    images = images if hasattr(images, 'dtype') else np.asarray(images)
    shape, dtype = images.shape, images.dtype
    fits = len(shape) == 4 and all(
        isinstance(want, str) and have > 0 or have == want
        for have, want in zip(shape, wanted['shape'])
    )
    if not fits or dtype != wanted['dtype']:
        raise InputError(
            f'{path} takes images {text(wanted)}, not {dtype} {list(shape)}', path=path
        )


def text(described: dict[str, Any]) -> str:
    """Writes dtype and shape of an entry of a card.

    Example:
        >>> text({'dtype': 'float32', 'shape': ['batch', 19]})
        'float32 [batch, 19]'
    """
    return f'{described["dtype"]} [{", ".join(map(str, described["shape"]))}]'
