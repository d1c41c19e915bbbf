"""What a file of weights comes in: zip archives, and what is no such file at all."""

import contextlib
import pathlib
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator

from drn_jax.errors import InputError

SAFETENSORS = '.safetensors'
SUFFIXES = ('.pth', '.pt', SAFETENSORS)  # of files of weights
# In zip archives that are themselves files of weights: of torch.save, TorchScript and Keras.
_INSIDE = ('/data.pkl', '/constants.pkl', 'model.weights.h5')
# More bytes than all networks have, and more of them for one of the archive than weights give.
_LARGE, _RATIO = 1 << 30, 4


@contextlib.contextmanager
def unpacked(file: pathlib.Path) -> Iterator[pathlib.Path]:
    """Unpacks the one file of weights in a zip archive, for as long as the block runs.

    Args:
        file: an archive, or a file of weights, such as the zip archives that `torch.save` writes.

    Yields:
        The file of weights.

    Raises:
        InputError: the file is missing, empty or a web page; the archive is damaged, or holds
            no file of weights, several, or one outside of its folder.
    """
    check_readable(file)
    names = names_in_zip(file)
    if names is None or any(name.endswith(_INSIDE) for name in names):
        yield file
        return
    inside = [
        name
        for name in names
        if name.lower().endswith(SUFFIXES) and not name.startswith('__MACOSX/')
    ]
    if len(inside) != 1:
        found = f'{len(inside)} files of weights' if inside else 'no file of weights'
        raise file_error(
            file,
            f'is a zip archive that torch.save did not write, with {found}; '
            'unpack it and give one file',
        )
    (name,) = inside
    if name.startswith(('/', '\\')) or '..' in re.split(r'[/\\]', name):
        raise file_error(file, f'holds {name!r}, which lies outside of it; do not trust it')
    with tempfile.TemporaryDirectory(prefix='drn_jax_') as folder:
        target = pathlib.Path(folder, pathlib.PurePosixPath(name).name)
        try:
            with zipfile.ZipFile(file) as archive, archive.open(name) as source:
                size = archive.getinfo(name).file_size
                if size > max(_LARGE, _RATIO * file.stat().st_size):
                    raise file_error(
                        file,
                        f'would unpack to {size:,} bytes; do not trust it',
                    )
                with target.open('wb') as stream:
                    shutil.copyfileobj(source, stream)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as e:
            raise file_error(
                file, f'is a damaged or locked zip archive ({e}); download or copy it again'
            ) from e
        except OSError as error:
            raise InputError(
                f'{file} cannot be unpacked in {folder} ({error.strerror}); let TMPDIR name a '
                'directory with room',
                field='TMPDIR',
                path=folder,
            ) from error
        yield target


def check_readable(file: pathlib.Path) -> None:
    """Refuses what holds no weights whatever its format.

    Raises:
        InputError: it is missing, a directory, empty, not to be opened, a pointer of git-lfs, or a
            web page.
    """
    if file.is_dir():
        raise file_error(file, 'is a directory; give one file, .pth or .safetensors')
    if not file.exists():
        raise file_error(file, 'does not exist; give a file of weights, .pth or .safetensors')
    try:
        with file.open('rb') as stream:
            start = stream.read(1024)
    except OSError as error:
        raise file_error(file, f'cannot be opened: {error.strerror}') from error
    if not start:
        raise file_error(file, 'is empty; download or copy it again')
    if start.startswith(b'version https://git-lfs.github.com/'):
        raise file_error(
            file, 'is a pointer of git-lfs and not the file; fetch it with git lfs pull'
        )
    if re.match(rb'(\xef\xbb\xbf)?\s*<(!doctype|html|\?xml)', start, re.IGNORECASE):
        raise file_error(
            file,
            'is a web page and no file of weights; open it in a browser to '
            'see what the server answered, and download the file itself',
        )


def names_in_zip(file: pathlib.Path) -> list[str] | None:
    """Names what a zip archive holds; None where the file is none."""
    with file.open('rb') as stream:
        if stream.read(4) != b'PK\x03\x04':
            return None
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.namelist()
    except zipfile.BadZipFile as error:
        raise file_error(
            file, 'is an incomplete or damaged zip archive; download or copy it again'
        ) from error


def file_error(file: str | pathlib.Path, text: str) -> InputError:
    """Returns the error that says something of a file, whose path begins the sentence."""
    return InputError(f'{file} {text}', path=file)
