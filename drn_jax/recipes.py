"""Default configurations: every field is declared and explained here, once.

A file in `configs/` calls a recipe and changes what its experiment changes; the command line
changes single fields (`--config.batch_size=512`), with the types that the fields have here.
"""

import ml_collections


def _shared():
    """Returns the fields that all tasks have."""
    config = ml_collections.ConfigDict()
    config.task = 'classification'  # or 'segmentation', 'localization'
    config.seed = 0  # of the initial parameters, the order of images and their augmentation
    config.batch_size = 256  # images a step, over all devices
    config.epochs = 120.0  # passes over the training images
    config.steps = 0  # where positive, the number of steps, and `epochs` is ignored

    config.init_from = ''  # a checkpoint to start from; its head is taken if it fits

    config.model = ml_collections.ConfigDict()
    config.model.variant = 'drn_c_26'  # one of drn_jax.list_models()
    config.model.width = 1.0  # multiple of all channel counts
    config.model.dtype = 'float32'  # of activations: 'float32' or 'bfloat16'
    config.model.first_block = 'paper'  # DRN-A: dilation of a group's first block, or 'release'
    config.model.batch_norm_group_size = (
        0  # normalized together, a divisor of batch_size; 0: the batch
    )
    config.model.freeze_batch_stats = False  # True: batch statistics stay as they were at the start
    config.model.num_classes = 0  # 0: as many as the data set has
    config.model.rematerialize = ()  # levels, as 'level1', computed twice to save memory
    config.model.convolution = 'auto'  # of 3x3: 'native', 'phase', 'winograd'; or the fastest

    config.data = ml_collections.ConfigDict()
    config.data.name = 'imagenet2012'  # README.md lists the data sets of each task
    config.data.data_dir = ''  # prepared data, local or gs://; '': ~/tensorflow_datasets
    config.data.manual_dir = ''  # archives that TFDS cannot download, such as ImageNet's tars
    config.data.train_split = 'train'
    config.data.validation_split = 'validation'
    config.data.class_names = ()  # filled in from the data set
    config.data.mean = (0.485, 0.456, 0.406)  # of each channel, white being 1
    config.data.std = (0.229, 0.224, 0.225)
    config.data.shards = 8  # slices of the training images; a multiple of the processes
    config.data.shuffle_buffer = 16384  # undecoded images in memory, over all shards
    config.data.max_unreadable_fraction = 0.001  # of the images; more of them stop the run
    config.data.threads = 0  # that decode images; 0: one for each core

    config.augmentation = ml_collections.ConfigDict()
    config.augmentation.mirror = True
    config.augmentation.color_jitter = (0.5, 1.5)  # brightness, contrast, color; (1, 1) is none
    config.augmentation.lighting = 0.1  # standard deviation along ImageNet's color axes; 0 is none

    config.loss = ml_collections.ConfigDict()

    config.optimizer = ml_collections.ConfigDict()
    config.optimizer.learning_rate = (
        0.1  # for `base_batch_size` images a step; scaled to batch_size
    )
    config.optimizer.base_batch_size = 256
    config.optimizer.momentum = 0.9
    config.optimizer.nesterov = False
    config.optimizer.weight_decay = 1e-4  # L2 on every parameter, before the momentum
    config.optimizer.backbone_lr_scale = 1.0  # multiple of the rate, for everything but the head
    config.optimizer.schedule = 'steps'  # 'steps', 'cosine', 'poly' or 'constant'
    config.optimizer.warmup_epochs = 0.0  # the rate rises from 0, linearly
    config.optimizer.decay_epochs = (30.0, 60.0, 90.0)  # 'steps': where the rate falls
    config.optimizer.decay_factor = 0.1  # 'steps': what it is multiplied with
    config.optimizer.poly_power = 0.9  # 'poly': rate * (1 - epoch / epochs) ** power
    config.optimizer.max_consecutive_nonfinite = (
        0  # updates in a row left out where loss or gradient is not
    )
    # finite; one more, or 0: the run stops

    config.evaluation = ml_collections.ConfigDict()
    config.evaluation.every_epochs = 1.0  # during training; the last step is always evaluated
    config.evaluation.batch_size = 0  # 0: as in training

    config.checkpoint = ml_collections.ConfigDict()
    config.checkpoint.every_steps = 0  # besides one after each evaluation; 0: no others
    config.checkpoint.keep_last = 3  # at least 2: one is whole while another is written
    config.checkpoint.keep_best = 1
    config.checkpoint.best_metric = 'top1_error'  # of the validation images
    config.checkpoint.best_is = 'lowest'  # or 'highest'

    config.mesh = ml_collections.ConfigDict()
    config.mesh.devices = 0  # that share each batch; 0: all there are
    config.mesh.spatial = 1  # that share the rows of each image, in training for segmentation

    config.log_every_steps = 50
    config.watchdog_seconds = (
        1800.0  # a process in which nothing happens for so long ends; 0: never
    )
    return config


def classification():
    """Returns the configuration of section 5.1 of the paper: ImageNet, 120 epochs of SGD.

    Returns:
        An `ml_collections.ConfigDict`.

    Example:
        >>> config = classification()
        >>> config.optimizer.learning_rate, config.batch_size, config.epochs
        (0.1, 256, 120.0)
    """
    config = _shared()
    config.data.image_size = 224  # pixels a side of what the network sees
    config.data.crop = True  # False: whole images, resized to image_size
    config.data.crop_area = (0.08, 1.0)  # training crops: share of the image's area
    config.data.crop_ratio = (3 / 4, 4 / 3)  # training crops: width by height
    config.data.resize_px = 256  # shorter side in evaluation, before the central crop
    config.loss.label_smoothing = 0.0
    config.evaluation.crops = 1  # 1, or 10: center, corners and their mirror images
    config.evaluation.average = 'probabilities'  # or 'logits': what ten crops average
    config.evaluation.maps = 'crop'  # localization: maps of the central crop; or 'whole', images
    config.evaluation.threshold = -1.0  # localization: of dominant responses; below 0: chosen
    config.evaluation.scaled_threshold = -1.0  # the same for scores scaled to [0, 1] in each image
    config.evaluation.threshold_split = ''  # images to choose on; '': 'tune' or some of training
    config.data.boxes = ''  # localization on ImageNet: directory of its box archives, or a CSV file
    return config


def segmentation():
    """Returns the configuration of section 5.3 of the paper: Cityscapes, crops and mirroring.

    The paper gives no schedule; this is the one of the release's DRN-D-22.

    Returns:
        An `ml_collections.ConfigDict`.

    Example:
        >>> config = segmentation()
        >>> config.optimizer.learning_rate, config.batch_size, config.epochs
        (0.01, 32, 250.0)
    """
    config = _shared()
    config.task = 'segmentation'
    config.batch_size = 32
    config.epochs = 250.0
    config.model.upsample_border = 'extend'  # upsampling: bilinear, or 'fade', as in the release
    config.data.name = 'cityscapes'
    config.data.crop_px = 896  # side of the training crops
    config.data.scale = (1.0, 1.0)  # training images are resized by a factor between these
    config.data.rotation_degrees = 0  # training images are turned by up to so many degrees
    config.data.evaluation_size = (0, 0)  # height and width to resize to; 0, 0: images as they are
    config.data.palette = ()  # colors of the classes, filled in from the data set
    config.data.mean = (0.290101, 0.328081, 0.286964)
    config.data.std = (0.182954, 0.186566, 0.184475)
    config.data.shuffle_buffer = 256  # images of Cityscapes have 2 MB
    config.augmentation.color_jitter = (1.0, 1.0)
    config.augmentation.lighting = 0.0
    config.loss.class_weights = ()  # weight of each class in the mean; (): all weigh the same
    config.optimizer.learning_rate = 0.01
    config.optimizer.base_batch_size = 32
    config.optimizer.decay_epochs = (100.0, 200.0)
    config.evaluation.every_epochs = 10.0
    config.evaluation.batch_size = 8
    config.evaluation.scales = (1.0,)  # multiples of the image's size whose answers are combined
    config.evaluation.mirror = False  # True: with the answers for the mirror image
    config.evaluation.tile_px = 0  # side of tiles that are computed one by one; 0: whole images
    config.checkpoint.best_metric = 'mean_iou'
    config.checkpoint.best_is = 'highest'
    return config


def complete(stored):
    """Adds the fields that a stored configuration lacks, as one of an earlier version does.

    Args:
        stored: an `ml_collections.ConfigDict`.

    Returns:
        The same with the missing fields at the defaults of its task.

    Example:
        >>> old = ml_collections.ConfigDict({'task': 'segmentation', 'seed': 7})
        >>> complete(old).seed, complete(old).data.crop_px
        (7, 896)
    """
    config = segmentation() if stored.task == 'segmentation' else classification()
    with config.unlocked():
        config.update(stored)
    return config


def digit_scenes():
    """Returns the configuration of the embedded data set: a narrow network, three epochs, minutes.

    Returns:
        An `ml_collections.ConfigDict`.

    Example:
        >>> digit_scenes().data.name
        'digit_scenes'
    """
    config = classification()
    config.batch_size = 16
    config.epochs = 3.0
    config.model.width = 0.25
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


def digit_scenes_segmentation():
    """Returns the configuration of the embedded data set for segmentation: background and ten digits.

    Returns:
        An `ml_collections.ConfigDict`.

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
