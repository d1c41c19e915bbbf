"""What the scripts of papers compute from class maps, written anew with NumPy and Pillow.

They are the release's `segment.py` and what others took from it: `DRNSeg.up`, `LogSoftmax`,
`resize_4d_tensor`, `fast_hist`, `per_class_iu`.
"""

import numpy as np
from PIL import Image

STRIDE, CLASSES = 8, 19


def enlarge(scores):
    """The transposed convolution `up`, [h, w, C] -> float32 [8 h, 8 w, C]."""
    taps = 2 * STRIDE
    kernel = 1 - abs(np.arange(taps) / STRIDE - (taps - 1) / taps)
    for axis in (0, 1):
        scores = np.moveaxis(scores.astype(np.float64), axis, 0)
        spread = np.zeros((STRIDE * len(scores) + STRIDE, *scores.shape[1:]))
        for cell, value in enumerate(scores):
            spread[STRIDE * cell : STRIDE * cell + taps] += np.multiply.outer(kernel, value)
        scores = np.moveaxis(spread[STRIDE // 2 : -STRIDE // 2], 0, axis)
    return scores.astype(np.float32)


def log_softmax(scores):
    """float32 [..., C] -> float32, computed in double precision."""
    exact = scores.astype(np.float64)
    exact -= exact.max(-1, keepdims=True)
    return (exact - np.log(np.exp(exact).sum(-1, keepdims=True))).astype(np.float32)


def resize_scores(scores, size):
    """Pillow's bilinear filter on every channel, [h, w, C] -> float32 [H, W, C]."""
    if scores.shape[:2] == size:
        return scores
    channels = [
        Image.fromarray(np.ascontiguousarray(scores[..., c])).resize(size[::-1], Image.BILINEAR)
        for c in range(scores.shape[-1])
    ]
    return np.stack([np.asarray(channel) for channel in channels], -1)


def label_map(maps, size):
    """The class of every pixel, from the class maps of one image at each scale, [S, h, w, C]."""
    return sum(resize_scores(log_softmax(enlarge(each)), size) for each in maps).argmax(-1)


def histogram(predictions, labels):
    """Counts by right and predicted class; what is no class is left out."""
    counted = (labels >= 0) & (labels < CLASSES)
    pairs = CLASSES * labels[counted].astype(int) + predictions[counted]
    return np.bincount(pairs, minlength=CLASSES**2).reshape(CLASSES, CLASSES)


def mean_iou(counts):
    """In percent with two decimals, over the classes that there are."""
    with np.errstate(invalid='ignore'):
        iou = np.diag(counts) / (counts.sum(1) + counts.sum(0) - np.diag(counts))
    return round(100 * np.nanmean(iou), 2)
