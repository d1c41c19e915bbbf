"""Which files in a folder are images, and what is told of the others."""

import os

from drn_jax.data.image_folders import find_images


def test_what_is_skipped_is_counted_and_named(tmp_path):
    images = ['A.JPG', 'b/c/d.WebP', 'b/e.tiff']
    skipped = ['.ipynb_checkpoints/', '._A.JPG', '__MACOSX/', 'b/.f.png', 'notes.txt']
    for name in [*images, *skipped, '__MACOSX/x.png', '.ipynb_checkpoints/A.JPG']:
        path = tmp_path / name
        (path if name.endswith('/') else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith('/'):
            path.touch()
    (tmp_path / os.fsdecode(b'\xff.png')).touch()
    (tmp_path / 'b' / 'loop').symlink_to(tmp_path)
    (tmp_path / 'b' / 'c' / 'back').symlink_to(tmp_path / 'b')
    (tmp_path / 'linked').symlink_to(tmp_path / 'b' / 'c')
    skipped = sorted([*skipped, '\\udcff.png', 'b/loop/', 'b/c/back/'])
    found = find_images(tmp_path)
    assert found.images == sorted([*images, 'linked/d.WebP'])
    assert found.skipped == sorted([*skipped, 'linked/back/'])
    assert found.remarks == (
        f'what is hidden or no image is skipped in {tmp_path}, 9 in all: '
        f'{", ".join(skipped[:5])}, ...',
    )
    assert find_images(tmp_path / 'b').images == ['c/d.WebP', 'e.tiff']
    found = find_images(tmp_path, left_out=tmp_path / 'b')
    assert found.images == ['A.JPG', 'linked/d.WebP'] and 'b' not in found.folders
    found = find_images(tmp_path, layout='CLASS/NAME')
    assert found.images == ['b/e.tiff', 'linked/d.WebP']
    assert {'A.JPG', 'b/c/'} < set(found.skipped)
