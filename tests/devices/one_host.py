"""main.py with a shallow network, hands that cost nothing to render, and a fault at some step.

python one_host.py [FAULT@STEP] FLAGS     # FAULT: killed, raises, terminated, misreads
"""

import os
import runpy
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import jax  # noqa: E402

from peclr_jax.input_pipeline import from_rendered  # noqa: E402
from peclr_jax.models import resnet  # noqa: E402
from peclr_jax.training import digests  # noqa: E402
from peclr_jax.training.checkpoints import Checkpoints  # noqa: E402
from tests.stand_ins import SHALLOW, fake_render  # noqa: E402

SIGNALS = {"killed": signal.SIGKILL, "terminated": signal.SIGTERM}


def render(key, indices):
    """Returns the hands of `fake_render` with images that a network can tell apart."""

    def paint(index):
        blots = jax.random.uniform(jax.random.fold_in(key, index), (5, 5, 3))
        return (255 * jax.image.resize(blots, (32, 32, 3), "linear")).astype("uint8")

    return [fake_render(key, indices)._replace(images=jax.vmap(paint)(indices))]


def misread(step):
    """Lets this process alone find the checkpoint of a step changed."""
    check = digests.check

    def check_but_one(directory, item):
        if directory.name == step:
            raise digests.ChangedError("a file is not as it was written")
        return check(directory, item)

    digests.check = check_but_one


def fail(fault):
    if fault == "raises":
        raise RuntimeError("the disk is on fire")
    os.kill(os.getpid(), SIGNALS[fault])


if __name__ == "__main__":
    fault, _, last = sys.argv[1].partition("@")
    if fault == "misreads":
        misread(last)
    elif last:
        is_due = Checkpoints.is_due

        def fail_or_ask(self, step):
            if step == int(last):
                fail(fault)
            return is_due(self, step)

        Checkpoints.is_due = fail_or_ask
    from_rendered.make_render = lambda *arguments, **options: render
    resnet.BY_NAME["resnet18"] = SHALLOW
    sys.argv = [str(ROOT / "main.py"), *sys.argv[2 if last else 1 :]]
    runpy.run_path(sys.argv[0], run_name="__main__")
