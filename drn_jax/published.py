"""Numbers that the paper and the authors' later release report, to stand beside measured ones."""

from drn_jax import cityscapes

# ImageNet validation errors in percent: top-1 and top-5 with one crop, then with ten.
# Rows of the paper's table 1, then of the release's README, which has one crop only.
_IMAGENET = {
    'resnet_18': (30.43, 10.76, 28.22, 9.42),
    'drn_a_18': (28.00, 9.50, 25.75, 8.25),
    'drn_b_26': (25.19, 7.91, 23.33, 6.69),
    'drn_c_26': (24.86, 7.55, 22.93, 6.39),
    'resnet_34': (27.73, 8.74, 24.76, 7.35),
    'drn_a_34': (24.81, 7.54, 22.64, 6.34),
    'drn_c_42': (22.94, 6.57, 21.20, 5.60),
    'resnet_50': (24.01, 7.02, 22.24, 6.08),
    'drn_a_50': (22.94, 6.57, 21.34, 5.74),
    'resnet_101': (22.44, 6.21, 21.08, 5.35),
    'drn_c_58': (21.7, 6.0),
    'drn_d_22': (25.8, 8.2),
    'drn_d_38': (23.8, 6.9),
    'drn_d_54': (21.2, 5.9),
    'drn_d_105': (20.6, 5.5),
}
_IMAGENET_NAMES = ('top1_error', 'top5_error', 'top1_error_10crop', 'top5_error_10crop')

# ImageNet validation errors in percent: top-1 and top-5 localization. The paper's table 2.
_LOCALIZATION = {
    'resnet_18': (61.5, 59.3),
    'drn_a_18': (54.6, 48.2),
    'drn_b_26': (53.8, 49.3),
    'drn_c_26': (52.3, 47.7),
    'resnet_34': (58.7, 56.4),
    'drn_a_34': (55.5, 50.7),
    'drn_c_42': (50.7, 46.8),
    'resnet_50': (55.7, 52.8),
    'drn_a_50': (54.0, 48.4),
    'resnet_101': (54.6, 51.9),
}
_LOCALIZATION_NAMES = ('localization_top1_error', 'localization_top5_error')

# Cityscapes validation IoU in percent: the mean, then the classes. The paper's table 3, then the
# release's README, which has the mean only.
# fmt: off
_CITYSCAPES = {
    'drn_a_50': (67.3, 96.9, 77.4, 90.3, 35.8, 42.8, 59.0, 66.8, 74.5, 91.6, 57.0, 93.4, 78.7, 55.3,
                 92.1, 43.2, 59.5, 36.2, 52.0, 75.2),
    'drn_c_26': (68.0, 97.4, 80.7, 90.4, 36.1, 47.0, 56.9, 63.8, 73.0, 91.2, 57.9, 93.4, 77.3, 53.8,
                 92.7, 45.0, 70.5, 48.4, 44.2, 72.8),
    'drn_c_42': (70.9, 97.7, 82.2, 91.2, 40.5, 52.6, 59.2, 66.7, 74.6, 91.7, 57.7, 94.1, 79.1, 56.0,
                 93.6, 56.0, 74.3, 54.7, 50.9, 74.1),
    'drn_d_22': (68.0,),
    'drn_d_38': (71.4,),
    'drn_d_105': (75.6,),
}
# fmt: on
_CITYSCAPES_NAMES = ('mean_iou', *(f'iou/{name}' for name in cityscapes.CLASS_NAMES))

# For each kind of task, by data set: names of the metrics, and percents of each variant.
CLASSIFICATION = {'imagenet2012': (_IMAGENET_NAMES, _IMAGENET)}
LOCALIZATION = {'imagenet2012': (_LOCALIZATION_NAMES, _LOCALIZATION)}
SEGMENTATION = {'cityscapes': (_CITYSCAPES_NAMES, _CITYSCAPES)}
