"""main.py with a shallow network, hands that cost nothing to render, and an end if one is wanted.

python one_host.py [HOW@STEP] FLAGS     # HOW: killed, raises
"""

import os
import runpy
import signal
import sys
from functools import partial
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

import jax  # noqa: E402
from conftest import fake_render  # noqa: E402

from peclr_jax.input_pipeline import from_rendered  # noqa: E402
from peclr_jax.models import resnet  # noqa: E402
from peclr_jax.training.checkpoints import Checkpoints  # noqa: E402


def render(key, indices):
    """Hands as cheap as those of other tests, but with images that a network can tell apart."""

    def paint(index):
        blots = jax.random.uniform(jax.random.fold_in(key, index), (5, 5, 3))
        return (255 * jax.image.resize(blots, (32, 32, 3), "linear")).astype("uint8")

    return [fake_render(key, indices)._replace(images=jax.vmap(paint)(indices))]


def end(how):
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    raise RuntimeError("the disk is on fire")


if __name__ == "__main__":
    main = str(TESTS.parent / "main.py")
    how, _, last = sys.argv[1].partition("@")
    if last:
        is_due = Checkpoints.is_due
        Checkpoints.is_due = lambda self, step: (
            end(how) if step == int(last) else is_due(self, step)
        )
    from_rendered.make_render = lambda fields: render
    shallow = partial(resnet.ResNet, stage_sizes=(1, 1), block=resnet.BasicBlock)
    resnet.BY_NAME["resnet18"] = shallow
    sys.argv = [main, *sys.argv[2 if last else 1 :]]
    runpy.run_path(main, run_name="__main__")
