"""Results of each image in a file: of one that was cut off anywhere, whole lines are read."""

import numpy as np
import pytest

from drn_jax.judging import image_records
from drn_jax.judging.verdicts import ImageCounts

IMAGES = [
    ImageCounts(f'a, "{place}"', digest, np.arange(380).reshape(20, 19) + 1000 * place)
    for place, digest in enumerate(('0123456789abcdef', 'fedcba9876543210'))
]


@pytest.mark.parametrize('cut', [0, 1, 2, 17, 18, 19, 21, 100])
def test_whole_lines_are_read(cut, tmp_path):
    file = tmp_path / 'images.csv'
    image_records.write(file, IMAGES)
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b'\n', b'\n\n', 2)[: len(whole) + 2 - cut])  # and blank lines
    found = image_records.read(file)
    for image in IMAGES[: 1 + (cut < 2)]:
        name, digest, confusion = found.pop(image.digest)
        assert (name, digest) == image[:2]
        np.testing.assert_array_equal(confusion, image.confusion)
    assert not {image.digest for image in IMAGES} & set(found)
