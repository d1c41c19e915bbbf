"""Repositories of the Hugging Face hub, through its own library."""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from etils import epath

from drn_jax.checkpoints import downloads, weight_files
from drn_jax.errors import InputError, one_line
from drn_jax.models import variants

CONFIG, FILES = 'config.json', ('model.safetensors', 'pytorch_model.bin')  # the first that is there
_ARCHITECTURES = {f'resnet{depth}': f'resnet_{depth}' for depth in (18, 34, 50, 101)}  # of timm


def fetch(repository: str, revision: str | None, folder: pathlib.Path) -> pathlib.Path:
    """Returns a local copy of the weights in a repository; a whole copy is not renewed.

    Args:
        repository: ORGANIZATION/NAME.
        revision: a branch, tag or commit; None: the main branch.
        folder: the cache.

    Raises:
        InputError: the library is missing, or the repository cannot be had or is damaged.
    """
    hub = library()
    where = f'hf:{repository}' + (f'@{revision}' if revision else '')

    def copy(*names: str, **options: Any) -> pathlib.Path:
        return pathlib.Path(
            hub.snapshot_download(
                repository,
                revision=revision,
                cache_dir=folder,
                endpoint=downloads.mirror(),
                allow_patterns=[CONFIG, *names],
                **options,
            )
        )

    with named(where):
        try:
            kept = copy(local_files_only=True)
        except hub.errors.LocalEntryNotFoundError:
            kept = folder
        whole = any((kept / name).exists() for name in FILES)  # a download may have ended early
        if whole and (downloads.offline() or (kept / CONFIG).exists()):
            return kept
        if downloads.offline():
            raise InputError(
                f'{where} is not in the cache, and DRN_JAX_OFFLINE is set; leave that out once',
                path=where,
            )
        for name in FILES:
            kept = copy(name)
            if (kept / name).exists():
                _check_digest(kept / name, where)
                break
    return kept


def _check_digest(file: pathlib.Path, where: str) -> None:
    """Removes a large file whose content is not what the hub calls it by, its SHA-256."""
    content = file.resolve()
    if len(content.name) == 64 and weight_files.digests(content)[1] != content.name:
        content.unlink()
        raise InputError(
            f'{file.name} of {where} is damaged: its SHA-256 is not that of the hub; it was '
            'removed, download it again',
            path=where,
        )


def weights(folder: pathlib.Path, where: str) -> tuple[pathlib.Path, str | None]:
    """Finds the file of weights in a repository that drn_jax did not write, and its network.

    Args:
        folder: the local copy.
        where: the reference, for errors.

    Returns:
        The file, and the variant that `architecture` in its config.json names, as timm writes it,
        None where it names none of ours.

    Raises:
        InputError: there is no such file.
    """
    files = [folder / name for name in FILES if (folder / name).exists()]
    if not files:
        raise InputError(
            f'{where} holds neither {" nor ".join(FILES)}; name a repository with weights',
            path=where,
        )
    architecture = ''
    with contextlib.suppress(OSError, ValueError, AttributeError):
        architecture = str(json.loads((folder / CONFIG).read_text()).get('architecture', ''))
    known = _ARCHITECTURES | {name: name for name in variants.list_models()}
    return files[0], known.get(architecture.partition('.')[0])


@contextlib.contextmanager
def named(where: str) -> Iterator[None]:
    """Turns what the hub answers into one sentence that names the repository."""
    hub = library()
    errors, host = hub.errors, downloads.mirror() or hub.constants.ENDPOINT
    try:
        yield
    except InputError:
        raise
    except errors.GatedRepoError as error:
        reason = (
            'asks for its license to be accepted: do so on its page, and set HF_TOKEN to a token '
            'of yours'
        )
        raise InputError(f'{where} {reason}', path=where) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise InputError(
            f'{where} does not exist, or is private and HF_TOKEN is not set to a token that may '
            'see it',
            path=where,
        ) from error
    except errors.HFValidationError as error:
        raise InputError(
            f'{where} is no repository ({one_line(error)}); give hf:ORGANIZATION/NAME', path=where
        ) from error
    except Exception as error:  # of requests, of httpx, or of the hub, by version
        if isinstance(error, OSError) and error.errno is not None:  # of the disk
            raise
        reason = one_line(error.__cause__ or error, short=True)
        raise InputError(
            f'{where}: {host} cannot be reached or refuses ({reason}); try again, or name a file '
            f'that you have, such as a {FILES[0]}',
            path=where,
        ) from error


def upload(repository: str, folder: epath.Path) -> str:
    """Uploads a folder as a repository, which is made if it is not there.

    Args:
        repository: ORGANIZATION/NAME.
        folder: the folder, local.

    Returns:
        The address of the commit.

    Raises:
        InputError: the library is missing, or the hub refuses it.
    """
    where = f'hf:{repository}'
    interface = library().HfApi(endpoint=downloads.mirror())
    with named(where):
        interface.create_repo(repository, exist_ok=True)
        commit = interface.upload_folder(repo_id=repository, folder_path=os.fspath(folder))
    return str(commit)


def library() -> Any:
    """Returns `huggingface_hub`.

    Raises:
        InputError: it is not installed.
    """
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
    except ImportError as error:
        raise InputError(
            "hf: needs huggingface_hub, which is not installed: pip install 'drn_jax[hub]'"
        ) from error
    return huggingface_hub
