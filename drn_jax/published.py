"""Numbers that the paper and the authors' later release report, to stand beside measured ones."""

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
_NAMES = ('top1_error', 'top5_error', 'top1_error_10crop', 'top5_error_10crop')


def published(config):
    """Gives the published metrics of a configuration.

    Args:
        config: the configuration of the run; uses `task`, `data.name`, `model.variant` and
            `model.width`.

    Returns:
        A dict of fractions in [0, 1], named as in reports; empty where nothing was published.

    Example:
        >>> from drn_jax import recipes
        >>> published(recipes.classification())['top1_error']
        0.2486

    Source: table 1 of the paper, and the README of the release.
    """
    if (config.task, config.data.name.split(':')[0].split('/')[0]) != (
            'classification', 'imagenet2012') or config.model.width != 1:
        return {}
    percent = _IMAGENET.get(config.model.variant, ())
    return {name: round(number / 100, 6) for name, number in zip(_NAMES, percent)}
