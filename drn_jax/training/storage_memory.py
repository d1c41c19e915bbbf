"""Keeps saves from losing memory in TensorStore.

What TensorStore, up to 0.1.86, turns from JSON into Python objects has one reference too many and
is never freed. At every save Orbax asks for such answers: for the specification of the same folder
once for each array, and for metrics. A save of DRN-C-26 loses 0.15 MiB that way.
"""
import copy
import functools

import tensorstore as ts

_METRICS_OF_ORBAX = '/tensorstore/kvstore/'  # only to report raw bytes and compression
_KEPT = 16  # a save asks for the folder of each of its items


@functools.cache
def keep_flat():
    """Has TensorStore answer Orbax's questions once; from now on, in all of this process.

    A specification of the same text as one asked for before gets the same answer, and Orbax's
    question for metrics gets none, so it reports neither raw bytes nor compression; its other
    rates stay. So do all other answers.

    Example:
        >>> keep_flat()
        >>> ts.KvStore.Spec({'driver': 'memory', 'path': 'a/'}).to_json()
        {'driver': 'memory', 'path': 'a/'}
    """
    to_json = ts.KvStore.Spec.to_json
    collect = getattr(ts, 'experimental_collect_matching_metrics', None)
    answers = {}

    def to_json_once(spec, include_defaults=False):
        question = repr(spec), include_defaults
        answer = answers.get(question)
        if answer is None:
            if len(answers) >= _KEPT:
                answers.clear()
            answer = answers[question] = to_json(spec, include_defaults)
        return copy.deepcopy(answer)

    def collect_for_others(metric_prefix='', include_zero_metrics=False):
        if metric_prefix == _METRICS_OF_ORBAX:
            return []
        return collect(metric_prefix, include_zero_metrics)

    ts.KvStore.Spec.to_json = to_json_once
    if collect:
        ts.experimental_collect_matching_metrics = collect_for_others
