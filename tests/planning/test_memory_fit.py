"""Which batches fit, from what compilations said."""

from drn_jax.planning import memory_fit
from drn_jax.planning.compiler import Program

OUT = 'the total memory required for HLO temporaries (2.00G) exceeds available HBM (1.00G)'


def test_one_batch_gives_a_proportion_and_two_a_line():
    room = memory_fit.memory_fit(Program('x', 1.0, 300, 100), 32, 1000)
    assert (room.trials[0].fits, room.largest(), room.is_verified()) == (True, 80, False)
    assert room.next_rows() == 80
    room = room.tried(80, Program('x', 1.0, 600, 100))  # 6.25 bytes an image and 200 for the rest
    assert (room.largest(), room.next_rows()) == (128, 128)
    room = room.tried(128, Program('x', 1.0, 800, 200))
    assert (room.largest(), room.next_rows(), room.is_verified()) == (128, None, True)


def test_a_batch_that_does_not_fit():
    room = memory_fit.memory_fit(Program('', too_large=OUT), 64, 2**30)
    assert not room.trials[0].fits and room.trials[0].taken == 2**31
    assert room.largest() == room.next_rows() == 32


def test_nothing_is_known_where_the_compiler_does_not_say():
    room = memory_fit.memory_fit(Program('', too_large='no'), 64, 2**30)
    assert room.largest() is None and not room.is_verified()
    assert room.next_rows() == 32
    assert memory_fit.memory_fit(Program('', too_large='no'), 1, 2**30).next_rows() is None
