from tests.training import toy_run as toy


def test_chosen_steps_are_traced(tmp_path):
    toy.train(tmp_path, 6, profile=(2, 4))
    assert list((tmp_path / "tensorboard/plugins/profile").rglob("*.xplane.pb"))
