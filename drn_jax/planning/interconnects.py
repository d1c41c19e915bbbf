"""How long chips take to exchange what a step needs; the compiler gives no estimate of it."""

from drn_jax.planning import chips

BASIS = (
    'bytes over links of {link:.0f} GB/s in each direction (both directions where an axis is '
    'closed to a ring), all axes at once, and {hop:g} us for each hop; nothing overlaps with '
    'computing'
)


def seconds(collective, part):
    """Estimates the time of an exchange, all its repetitions in a step together.

    An all-reduce over n chips sends 2 (n - 1) / n of its bytes over every link that a chip can use:
    one on each axis of the slice, two on an axis that is closed to a ring. It is a reduce-scatter
    and an all-gather, each of which sends half. A group that is not the whole slice lies on one
    axis. The first byte takes a hop for each chip on the way, along one axis after the other.

    Args:
        collective: a `programs.Collective`.
        part: the `chips.Slice`.

    Returns:
        Seconds, an estimate that assumes full bandwidth and no overlap.

    Example:
        >>> from drn_jax.planning.programs import Collective
        >>> round(seconds(Collective('all-reduce', 10 ** 8, 0, 1, 'other'), chips.find('v5e:2x4')),
        ...       6)
        0.001758

    Source: How To Scale Your Model, chapter 'Sharded Matrices and How to Multiply Them'
    (jax-ml.github.io/scaling-book), which neglects latency where much is sent.
    """
    group = collective.group or part.chips
    if group == 1:
        return 0.0
    if group == part.chips:
        axes = [(size, part.is_ring(axis)) for axis, size in enumerate(part.shape) if size > 1]
    else:
        axes = [(group, False)]
    if collective.kind == 'collective-permute':
        once = collective.bytes / part.chip.link + chips.HOP_SECONDS
        return collective.repetitions * once
    bandwidth = sum(part.chip.link * (2 if ring else 1) for _, ring in axes)
    hops = sum(size // 2 if ring else size - 1 for size, ring in axes)
    passes = 2 if collective.kind == 'all-reduce' else 1
    once = passes * (collective.bytes * (group - 1) / group / bandwidth + hops * chips.HOP_SECONDS)
    return collective.repetitions * once


def basis(part):
    """Says what `seconds` assumes for a slice."""
    return BASIS.format(link=part.chip.link / 1e9, hop=chips.HOP_SECONDS * 1e6)
