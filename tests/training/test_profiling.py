import jax

from peclr_jax.training import trainer
from tests.training import toy_run as toy


def test_chosen_steps_are_traced(tmp_path):
    _, init, step_fn = toy.compiled(6, None, 2)
    mesh = toy.make_mesh()
    progress = toy.Progress(tmp_path, total_steps=6, images_per_step=16, log_every=1)
    with toy.Checkpoints(tmp_path, {}, save_every=6) as checkpoints:
        trainer.fit(
            init(jax.random.key(0)),
            step_fn,
            lambda start: (toy.shard_batch(toy.images_of_step(s), mesh) for s in range(start, 6)),
            key=jax.random.key(0),
            total_steps=6,
            checkpoints=checkpoints,
            progress=progress,
            profile=(2, 4),
        )
    assert list((tmp_path / "tensorboard/plugins/profile").rglob("*.xplane.pb"))
