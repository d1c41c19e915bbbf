"""Configurations to start from: the paper's experiments, and small ones on the embedded data set.

A file in `configs/` calls a recipe and changes what its experiment changes; the command line
changes single fields (`--config.batch_size=512`), with the types that the fields have in the table
of `drn_jax.fields`.
"""

import ml_collections

from drn_jax import fields


def classification() -> ml_collections.ConfigDict:
    """Returns the configuration of section 5.1 of the paper: ImageNet, 120 epochs of SGD.

    Example:
        >>> config = classification()
        >>> config.optimizer.learning_rate, config.batch_size, config.epochs
        (0.1, 256, 120.0)
    """
    return fields.defaults('classes')


def segmentation() -> ml_collections.ConfigDict:
    """Returns the configuration of section 5.3 of the paper: Cityscapes, crops and mirroring.

    The paper gives no schedule; this is the one of the release's DRN-D-22.

    Example:
        >>> config = segmentation()
        >>> config.optimizer.learning_rate, config.batch_size, config.epochs
        (0.01, 32, 250.0)
    """
    config = fields.defaults('maps')
    config.task = 'segmentation'
    config.batch_size = 32
    config.epochs = 250.0
    config.data.name = 'cityscapes'
    config.data.mean = (0.290101, 0.328081, 0.286964)
    config.data.std = (0.182954, 0.186566, 0.184475)
    config.data.shuffle_buffer = 256  # images of Cityscapes have 2 MB
    config.augmentation.color_jitter = (1.0, 1.0)
    config.augmentation.lighting = 0.0
    config.optimizer.learning_rate = 0.01
    config.optimizer.base_batch_size = 32
    config.optimizer.decay_epochs = (100.0, 200.0)
    config.evaluation.every_epochs = 10.0
    config.evaluation.batch_size = 8
    config.checkpoint.best_metric = 'mean_iou'
    config.checkpoint.best_is = 'highest'
    return config


def camvid() -> ml_collections.ConfigDict:
    """Returns the configuration of CamVid, 480 x 360 pixels: small crops, from an ImageNet network.

    The paper has no such experiment; crops, schedule and learning rate are those of Cityscapes,
    made smaller.

    Example:
        >>> config = camvid()
        >>> config.data.name, config.data.crop_px, config.batch_size
        ('camvid', 352, 16)
    """
    config = segmentation()
    config.batch_size = 16
    config.epochs = 200.0
    config.data.name = 'camvid'
    config.data.crop_px = 352
    config.data.scale = (0.75, 1.5)
    for field in ('mean', 'std'):
        config.data[field] = classification().data[field]
    config.optimizer.schedule = 'cosine'
    config.evaluation.batch_size = 16
    return config


def digit_scenes() -> ml_collections.ConfigDict:
    """Returns the configuration of the embedded data set: a narrow network, three epochs, minutes.

    Example:
        >>> digit_scenes().data.name
        'digit_scenes'
    """
    config = classification()
    config.batch_size = 16
    config.epochs = 3.0
    config.model.width = 0.25
    config.model.residual_scale = 0.25  # with 1 or 0 some runs start late: docs/results.md
    config.data.name = 'digit_scenes'
    config.data.image_size = 96
    config.data.crop_area = (0.5, 1.0)  # smaller crops lose half of many digits
    config.data.resize_px = config.data.get_ref('image_size') + 0  # no margin round crops
    config.data.shuffle_buffer = 6000
    config.augmentation.mirror = False  # a mirrored digit is no digit
    config.augmentation.color_jitter = (1.0, 1.0)
    config.augmentation.lighting = 0.0
    config.optimizer.learning_rate = 0.05
    config.optimizer.base_batch_size = 16
    config.optimizer.nesterov = True
    config.optimizer.schedule = 'cosine'
    config.optimizer.warmup_epochs = 0.2
    config.evaluation.batch_size = 200
    config.log_every_steps = 25
    return config


def digit_scenes_192() -> ml_collections.ConfigDict:
    """Returns the same for scenes of 192 pixels, whose maps have 24 x 24 cells.

    Example:
        >>> digit_scenes_192().data.name, digit_scenes_192().data.resize_px
        ('digit_scenes/192', 192)
    """
    config = digit_scenes()
    config.data.name = 'digit_scenes/192'
    config.data.image_size = 192
    return config


def digit_scenes_segmentation() -> ml_collections.ConfigDict:
    """Returns the configuration for segmenting the embedded data set: background and ten digits.

    Example:
        >>> digit_scenes_segmentation().task
        'segmentation'
    """
    classifier, config = digit_scenes(), segmentation()
    config.model.width = classifier.model.width
    config.augmentation = classifier.augmentation
    config.optimizer = classifier.optimizer
    config.batch_size = classifier.batch_size
    config.epochs = 1.0
    config.log_every_steps = classifier.log_every_steps
    for field in ('name', 'shuffle_buffer', 'mean', 'std'):
        config.data[field] = classifier.data[field]
    config.data.crop_px = classifier.data.image_size
    config.evaluation.every_epochs = classifier.evaluation.every_epochs
    config.evaluation.batch_size = classifier.evaluation.batch_size
    return config


def digit_scenes_192_segmentation() -> ml_collections.ConfigDict:
    """Returns the same for scenes of 192 pixels.

    Example:
        >>> digit_scenes_192_segmentation().data.crop_px
        192
    """
    config = digit_scenes_segmentation()
    config.data.name = 'digit_scenes/192'
    config.data.crop_px = digit_scenes_192().data.image_size
    return config
