"""Which batches fit, from what compilations said."""

from drn_jax.planning.compiler import Program
from drn_jax.planning.memory_fit import MemoryFit, reported_bytes

OUT = 'the total memory required for HLO temporaries (2.00G) exceeds available HBM (1.00G)'


def test_one_batch_gives_a_proportion_and_two_a_line():
    fit = MemoryFit(1000).with_trial(32, Program('x', 1.0, 300, 100))
    assert (fit.trials[0].fits, fit.largest(), fit.is_verified()) == (True, 80, False)
    assert fit.next_images() == 80
    # 6.25 bytes an image and 200 for the rest.
    fit = fit.with_trial(80, Program('x', 1.0, 600, 100))
    assert (fit.largest(), fit.next_images()) == (128, 128)
    fit = fit.with_trial(128, Program('x', 1.0, 800, 200))
    assert (fit.largest(), fit.next_images(), fit.is_verified()) == (128, None, True)


def test_a_batch_that_does_not_fit():
    fit = MemoryFit(2**30).with_trial(64, Program('', too_large=OUT))
    assert not fit.trials[0].fits and fit.trials[0].needed_bytes == 2**31
    assert fit.largest() == fit.next_images() == 32


def test_nothing_is_known_where_the_compiler_does_not_say():
    fit = MemoryFit(2**30).with_trial(64, Program('', too_large='no'))
    assert fit.largest() is None and not fit.is_verified()
    assert fit.next_images() == 32
    assert MemoryFit(2**30).with_trial(1, Program('', too_large='no')).next_images() is None


def test_words_of_the_compiler():
    assert reported_bytes('Used 20.50G of 15.75G hbm.') == 22011707392
    assert reported_bytes('something else') is None
