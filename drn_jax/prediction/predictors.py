"""The record of the functions in which predictions of the tasks differ."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Predictor(NamedTuple):
    """What the pass over photographs needs to know of a checkpoint.

    Attributes:
        size_of: (height, width) of a photograph -> height and width that the network sees.
        answers: (images uint8 [B, h, w, 3], geometry int32 [B, 6]) -> a tree of arrays [B, ...],
            on the devices.
        write: (example, its answers as NumPy arrays, output directory) -> what predictions.jsonl
            says of it, a dict; `files` in it holds the pictures written, {kind: path below output}.
        item: (record as in predictions.jsonl, output directory) -> the `page.Item`.
        notes: lines at the head of the page.
        settings: what answers depend on besides the configuration, for report.json.
    """

    size_of: Callable[..., Any]
    answers: Callable[..., Any]
    write: Callable[..., Any]
    item: Callable[..., Any]
    notes: tuple[str, ...]
    settings: dict[str, Any]
