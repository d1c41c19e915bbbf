"""Compares the training input pipeline with bare JPEG decoding, on the same files, in one run.

  python benchmarks/input_pipeline.py
  python benchmarks/input_pipeline.py --quality=90 --chroma=420

Writes photographs of 500 x 375 pixels and about 115 KB, as ImageNet's are, into small ImageNet
tars, lets TFDS's own builder prepare them in a temporary directory, and reads them in two ways,
which take turns:

  bare      tf.data reads the records and decodes every image in full, and that is all
  pipeline  drn_jax.data.training_batches: shuffled, decoded where cropped, resized, batched

Prints for either the images per second, the processor time of an image (on a machine with other
work, the steadier number), and both as ratios to bare decoding, above 1 where the pipeline is
faster: the median over the rounds, and the range. Cropping saves decoding, resizing costs it again:
the ratios are lower where files are smaller. They are lower for batches of more than 32 MB too (213
images), because the C library takes such memory from the system anew every time.
"""

import argparse
import io
import os
import statistics
import tarfile
import tempfile
import time

import numpy as np
from PIL import Image
from sklearn import datasets

from drn_jax import data as data_floor
from drn_jax import recipes

HEIGHT, WIDTH = 375, 500
SYNSET = 'n01440764'  # ImageNet's first class
CHROMA = {'444': 0, '422': 1, '420': 2}  # Pillow's numbers for the subsampling of colors


def main():
    """Runs the benchmark with the flags of this process."""
    flags = parse_flags()
    with tempfile.TemporaryDirectory() as directory:
        kilobytes = write_tars(directory, flags.images, flags.quality, CHROMA[flags.chroma])
        data = recipes.classification().data
        data.data_dir = data.manual_dir = directory
        data.threads = flags.threads
        data.shards = 1  # of one file, each of several shards would read all that lies before it
        source = data_floor.open_source(data)
        runs = [
            Run('bare', bare_batches(source, flags.batch_size, flags.threads), flags),
            Run(
                'pipeline',
                data_floor.training_batches(source, data, batch_size=flags.batch_size, seed=0),
                flags,
            ),
        ]
        for _ in range(flags.rounds):
            for run in runs:
                run.time_round()

    print(
        f'{flags.images} images of {WIDTH} x {HEIGHT}, {kilobytes:.0f} KB, {flags.chroma}; '
        f'median of {flags.rounds} rounds of {flags.batches} batches of {flags.batch_size}'
    )
    print(
        f'{"":10}{"images/s":>10}{"ratio":>7}{"range":>13}{"ms/image":>10}{"ratio":>7}{"range":>13}'
    )
    bare = runs[0]
    for run in runs:
        by_clock = [ours / theirs for theirs, ours in zip(run.seconds, bare.seconds)]
        by_processor = [ours / theirs for theirs, ours in zip(run.cpu_seconds, bare.cpu_seconds)]
        images = flags.batches * flags.batch_size
        print(
            f'{run.name:10}{images / statistics.median(run.seconds):10.0f}{summary(by_clock)}'
            f'{1000 * statistics.median(run.cpu_seconds) / images:10.2f}{summary(by_processor)}'
        )


def summary(ratios):
    """Formats the median and the range of some ratios."""
    return f'{statistics.median(ratios):7.2f}{f"{min(ratios):.2f}-{max(ratios):.2f}":>13}'


def parse_flags():
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--images', type=int, default=512, help='different files')
    parser.add_argument('--quality', type=int, default=96, help='of the JPEG files')
    parser.add_argument('--chroma', default='444', choices=CHROMA, help='resolution of colors')
    parser.add_argument(
        '--threads', type=int, default=0, help='that decode, in both; 0: one for each core'
    )
    parser.add_argument('--batch_size', type=int, default=128)
    parser.add_argument('--batches', type=int, default=16, help='timed in a round')
    parser.add_argument('--rounds', type=int, default=8)
    return parser.parse_args()


def bare_batches(source, batch_size, threads):
    """Decodes the training images in full, over and over: an endless iterator.

    Of each image only the size goes on, so that neither batching nor Python costs anything.
    """
    import tensorflow as tf  # after drn_jax.data has set its environment

    def decode(record):
        return tf.size(
            tf.io.decode_jpeg(record['image'], channels=3, dct_method='INTEGER_ACCURATE')
        )

    records = source.records('train', 0, source.num_examples('train')).repeat()
    decoded = records.map(decode, num_parallel_calls=threads or os.cpu_count())
    return decoded.batch(batch_size).as_numpy_iterator()


class Run:
    """One of the two, and how long its rounds took, in seconds by the clock and of all cores."""

    def __init__(self, name, batches, flags):
        self.name, self.batches, self.flags = name, batches, flags
        self.seconds, self.cpu_seconds = [], []

    def time_round(self):
        """Adds one round."""
        for _ in range(8):  # more than what was prefetched while the other had its turn
            next(self.batches)
        start, cpu_start = time.perf_counter(), time.process_time()
        for _ in range(self.flags.batches):
            next(self.batches)
        self.seconds.append(time.perf_counter() - start)
        self.cpu_seconds.append(time.process_time() - cpu_start)


def write_tars(directory, count, quality, subsampling):
    """Writes ImageNet's two tars, with one class of `count` images; gives their mean size in KB."""
    files = [jpeg(number, quality, subsampling) for number in range(count)]
    synset = tar_of({f'{SYNSET}_{number}.JPEG': file for number, file in enumerate(files)})
    tars = {
        'train': tar_of({f'{SYNSET}.tar': synset}),
        'val': tar_of({'ILSVRC2012_val_00000001.JPEG': files[0]}),
    }
    for name, tar in tars.items():
        with open(f'{directory}/ILSVRC2012_img_{name}.tar', 'wb') as file:
            file.write(tar)
    return statistics.mean(map(len, files)) / 1000


def tar_of(files):
    """Packs {name: content} into a tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w') as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def jpeg(number, quality, subsampling):
    """Encodes a random part of one of scikit-learn's two photographs, enlarged where needed."""
    random = np.random.RandomState(number)
    photograph = datasets.load_sample_images().images[number % 2]
    height = random.randint(260, 428)
    width = height * WIDTH // HEIGHT
    y, x = random.randint(428 - height), random.randint(641 - width)
    part = Image.fromarray(photograph[y : y + height, x : x + width])
    buffer = io.BytesIO()
    part.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(
        buffer, 'JPEG', quality=quality, subsampling=subsampling
    )
    return buffer.getvalue()


if __name__ == '__main__':
    main()
