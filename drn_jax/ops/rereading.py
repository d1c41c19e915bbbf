"""Maps that every reader makes anew from what they are made of, instead of reading them.

A sum with ReLU is a pass over memory of its own, because several convolutions read it. Where these
are bound by arithmetic, each may as well read the summands. XLA would merge such repetitions again;
optimization barriers, which compute nothing, keep them apart.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.tree_util import Partial


def recipe_of(x: jax.Array) -> Partial:
    """Returns the recipe of a map, of any shape and dtype, that is read from memory."""
    return Partial(_same, x)


def _same(x):
    return x


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def apply(
    function: Callable[..., jax.Array],
    reader: int,
    recipes: Sequence[Partial],
    maps: Sequence[jax.Array],
    others: Sequence[jax.Array] = (),
) -> Any:
    """Computes function(*maps, *others) from maps made anew, and its gradient likewise.

    Args:
        function: of arrays.
        reader: a number from 0 on, another for each reader of a map.
        recipes: make the maps when called; XLA fuses them into the function.
        maps: what the recipes make. They are not read, so that XLA leaves them out where nobody
            else reads them, but they take the gradient.
        others: the function's further arguments.

    Returns:
        What the function returns.

    Example:
        >>> import jax.numpy as jnp
        >>> x = jnp.asarray([3.0])
        >>> square = lambda x: apply(jnp.multiply, 0, (Partial(jnp.negative, x),), (-x,), (x,))[0]
        >>> square(x).item(), jax.grad(square)(x).item()
        (-9.0, -6.0)
    """
    return function(*_make(recipes, 2 * reader), *others)


def _make(recipes, barriers):
    """Makes maps, apart from those with another number of barriers; XLA merges equal ones."""
    for _ in range(barriers):
        recipes = jax.lax.optimization_barrier(recipes)
    return [recipe() for recipe in recipes]


def _forward(function, reader, recipes, maps, others=()):
    return apply(function, reader, recipes, maps, others), (recipes, others)


def _backward(function, reader, saved, gradient):
    recipes, others = saved
    _, pull = jax.vjp(function, *_make(recipes, 2 * reader + 1), *others)
    gradients = pull(gradient)
    return None, gradients[: len(recipes)], gradients[len(recipes) :]


apply.defvjp(_forward, _backward)
