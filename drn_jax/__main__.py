"""Does what the command `drn-jax` does: `python -m drn_jax VERB`."""

from drn_jax import cli

if __name__ == '__main__':
    cli.run('python -m drn_jax')
