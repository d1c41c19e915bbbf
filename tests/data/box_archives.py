"""Small archives of boxes with the layout of ImageNet's."""

import gzip
import io
import pathlib
import tarfile

TRAIN, VALIDATION = 'ILSVRC2012_bbox_train_v2.tar.gz', 'ILSVRC2012_bbox_val_v3.tgz'

_OBJECT = (
    '<object><name>{synset}</name><difficult>0</difficult><bndbox><xmin>{}</xmin>'
    '<ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>'
)


def xml(stem, boxes, synset='n01440764'):
    """Writes the annotation of an image; boxes are xmin, ymin, xmax, ymax, the last included."""
    objects = ''.join(_OBJECT.format(*box, synset=synset) for box in boxes)
    return (
        f'<annotation><folder>val</folder><filename>{stem}</filename><size><width>500</width>'
        f'<height>375</height><depth>3</depth></size>{objects}</annotation>'
    ).encode()


def tar(files):
    """Packs {name: content}; gives the bytes of the tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w') as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def write_validation_boxes(directory, boxes):
    """Writes the validation archive.

    Args:
        directory: where.
        boxes: {number of the image, from 1: list of boxes}, see `xml`.

    Returns:
        The path.
    """
    stems = {f'ILSVRC2012_val_{number:08d}': each for number, each in boxes.items()}
    path = pathlib.Path(directory) / VALIDATION
    path.write_bytes(
        gzip.compress(tar({f'val/{stem}.xml': xml(stem, each) for stem, each in stems.items()}))
    )
    return path


def write_train_boxes(directory, boxes):
    """Writes the training archive, an archive of one for each class.

    Args:
        directory: where.
        boxes: {(synset, number of the image): list of boxes}, see `xml`.

    Returns:
        The path.
    """
    classes = {
        synset: tar(
            {
                f'Annotation/{synset}/{synset}_{number}.xml': xml(
                    f'{synset}_{number}', each, synset
                )
                for (of, number), each in boxes.items()
                if of == synset
            }
        )
        for synset, _ in boxes
    }
    path = pathlib.Path(directory) / TRAIN
    path.write_bytes(
        gzip.compress(
            tar({f'{synset}.tar.gz': gzip.compress(content) for synset, content in classes.items()})
        )
    )
    return path
