import sys

import jax
import jax.numpy as jnp
import numpy as np
import tensorflow as tf

from peclr_jax.geometry.arrays import namespace


def test_arrays_choose_their_library():
    assert namespace(np.ones(2), 3.0) is namespace(2) is np
    assert namespace(np.ones(2), jnp.ones(2)) is jnp
    assert namespace(np.ones(2), tf.ones(2)) is tf is sys.modules["tensorflow"]
    inside = []
    jax.jit(lambda x: inside.append(namespace(x)) or x)(jnp.ones(2))
    tf.function(lambda x: inside.append(namespace(x)) or x)(tf.ones(2))
    assert inside == [jnp, tf]
