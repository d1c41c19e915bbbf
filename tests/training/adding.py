"""As a script, one of several processes that add up numbers, until one of them ends.

  python tests/training/adding.py WHO HOW --coordinator=... --processes=2 --process=...

Process WHO ends after the third sum: by HOW, a signal that it sends itself, or 'error'.
"""

import os
import signal

import jax
import numpy as np

from drn_jax import commands
from drn_jax.distributed import processes
from drn_jax.errors import InputError


def main(argv):
    parser = commands.Parser('adding', __doc__)
    parser.add_argument('who', type=int)
    parser.add_argument('how')
    commands.add_process_flags(parser)
    given = parser.parse_args(argv)
    with commands.initialize(given):
        for number in range(6):
            if number == 3 and jax.process_index() == given.who:
                if given.how == 'error':
                    raise InputError('this process has no more disk')
                os.kill(os.getpid(), getattr(signal, given.how))
            mine = np.arange(3) + (jax.process_index() << 40)  # more than 32 bits
            found = processes.all_reduce_sum({'a': mine, 'b': 7})
            assert found['a'].tolist() == [2**40, 2**40 + 2, 2**40 + 4] and found['b'] == 14
            name = 'aä'[jax.process_index()] * 10 ** jax.process_index()
            assert processes.all_gather_names([name, 'b']) == ['a', 'b', 'ä' * 10]
        print('all sums are right')


if __name__ == '__main__':
    commands.run(main)
