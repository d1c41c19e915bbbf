"""Cityscapes' 19 classes: names, colors, and the label ids that become them."""

import numpy as np

# Label id, name and official color of every class that is trained and evaluated, in order.
_CLASSES = (
    (7, 'road', (128, 64, 128)),
    (8, 'sidewalk', (244, 35, 232)),
    (11, 'building', (70, 70, 70)),
    (12, 'wall', (102, 102, 156)),
    (13, 'fence', (190, 153, 153)),
    (17, 'pole', (153, 153, 153)),
    (19, 'traffic light', (250, 170, 30)),
    (20, 'traffic sign', (220, 220, 0)),
    (21, 'vegetation', (107, 142, 35)),
    (22, 'terrain', (152, 251, 152)),
    (23, 'sky', (70, 130, 180)),
    (24, 'person', (220, 20, 60)),
    (25, 'rider', (255, 0, 0)),
    (26, 'car', (0, 0, 142)),
    (27, 'truck', (0, 0, 70)),
    (28, 'bus', (0, 60, 100)),
    (31, 'train', (0, 80, 100)),
    (32, 'motorcycle', (0, 0, 230)),
    (33, 'bicycle', (119, 11, 32)),
)
CLASS_NAMES = tuple(name for _, name, _ in _CLASSES)
LABEL_ID_OF_CLASS = tuple(label_id for label_id, _, _ in _CLASSES)
PALETTE = tuple(color for _, _, color in _CLASSES)
# Of label ids that are no class. 18 and -1 have the colors of pole and car, and are taken for them.
VOID_COLORS = (
    (0, 0, 0),
    (111, 74, 0),
    (81, 0, 81),
    (250, 170, 160),
    (230, 150, 140),
    (180, 165, 180),
    (150, 100, 100),
    (150, 120, 90),
    (0, 0, 90),
    (0, 0, 110),
)
IMAGE_SIZE = (1024, 2048)
LABEL_IDS = 34  # there are ids 0 to 33

IGNORE_LABEL = 255  # in label maps of every data set, a pixel without a class

# Train id of every label id, uint8 [256].
TRAIN_IDS = np.full(256, IGNORE_LABEL, np.uint8)
TRAIN_IDS[[label_id for label_id, _, _ in _CLASSES]] = np.arange(len(_CLASSES))
