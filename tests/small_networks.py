"""A fine-tuned network that is small enough to be made for the tests."""

import dataclasses
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import finetune as recipes
from peclr_jax import specs
from peclr_jax.devices.mesh import make_mesh
from peclr_jax.export.own_file import write_network
from peclr_jax.geometry import camera
from peclr_jax.input_pipeline import make_source
from peclr_jax.networks import label_statistics
from peclr_jax.networks.calibration import Calibration
from peclr_jax.networks.estimator import Estimate, Estimator
from peclr_jax.networks.evaluation_data import open_data
from peclr_jax.networks.looking import look_at_batch
from peclr_jax.networks.opening import open_network
from peclr_jax.networks.spec import EvaluationDataSpec
from peclr_jax.runs.initialisation import RANDOM
from peclr_jax.runs.spec import FinetuneSpec
from peclr_jax.tasks import finetune, pretrain
from peclr_jax.training.checkpoints import Checkpoints
from peclr_jax.training.restoring import restore_config, restore_params, restore_results
from tests.stand_ins import SHALLOW, shallow_networks

DUMMY = Path(__file__).parents[1] / "data/freihand/dummy_data"


def save_network(workdir, data_dir, **fields):
    """Saves a random network around the mean pose of our drawings, as fine-tuning would."""
    config = recipes.get_config("quick+scratch")
    config.update_from_flattened_dict(
        {
            "model.width": 4,
            "views.size": 16,
            "data.source": "tfds",
            "data.manual_dir": str(DUMMY),
            "data.data_dir": str(data_dir),
            "data.split": "train+validation",
            "data.source_size": 24,
            **fields,
        }
    )
    spec = specs.from_config(FinetuneSpec, config)
    source = make_source(spec.data, batch_size=8, seed=0, mesh=make_mesh())
    statistics = label_statistics.measure_labels(source, 8, spec.views, 24)
    network = spec.model.network.build(refine_root_depth=spec.refine_root_depth)
    variables = finetune.initialise(spec, network, RANDOM)
    if spec.model.head == "heatmap":
        variables["params"]["head"]["heatmaps"]["kernel"] *= 20  # sharper than at the start
    else:
        bias = np.asarray(statistics.mean_pose, np.float32).ravel()
        variables["params"]["head"]["pose"]["bias"] = jnp.asarray(bias)
    results = {"label_statistics": specs.to_dict(statistics)}
    return save(workdir, specs.to_dict(spec), variables, results)


def save(workdir, config, variables, results=None):
    with Checkpoints(workdir, config, results=results, save_every=1) as checkpoints:
        checkpoints.save(1, dict(variables))
    return workdir


@pytest.fixture
def one_device(monkeypatch):
    """Spares the compilation for eight devices where they are not what is tested."""
    for task in (finetune, pretrain):
        monkeypatch.setattr(task, "make_mesh", lambda: make_mesh(jax.devices()[:1]))


@pytest.fixture
def shallow():
    """A single block in place of eight where the network is not what is tested."""
    with shallow_networks():
        yield


@pytest.fixture
def three_blocks():
    """One in each of the stages that have a map to compare, in place of eight."""
    with shallow_networks(partial(SHALLOW, stage_sizes=(1, 1, 1))):
        yield


@pytest.fixture(scope="module")
def shallow_throughout():
    """The same for all tests of a file, which then share no network with others."""
    with shallow_networks():
        yield


@pytest.fixture(scope="session")
def records(tmp_path_factory):
    """Where the records of all tests of tasks are kept."""
    return tmp_path_factory.mktemp("records")


@pytest.fixture(scope="session")
def finetuned(tmp_path_factory, records):
    """The directory of a fine-tuning run on our drawings in FreiHAND's layout."""
    return save_network(tmp_path_factory.mktemp("finetuned"), records)


@pytest.fixture(scope="session")
def heatmapped(tmp_path_factory, records):
    """The directory of a fine-tuning run whose network localises joints by heatmaps."""
    fields = {"model.head": "heatmap", "model.channels": 8}
    return save_network(tmp_path_factory.mktemp("heatmapped"), records, **fields)


@pytest.fixture(scope="session")
def one_file(heatmapped, tmp_path_factory):
    """Its network in one file of ours, in float32, as if it had been calibrated."""
    found = open_network(heatmapped)
    description = dataclasses.replace(
        found.description, calibration=Calibration(-0.5, 0.8, -0.1, joints=500)
    )
    path = tmp_path_factory.mktemp("one_file") / "network.safetensors"
    write_network(path, dataclasses.replace(found, description=description))
    return path


@pytest.fixture(scope="session")
def finetuned_otherwise(tmp_path_factory, finetuned):
    """Another one, whose head answers otherwise."""
    variables = restore_params(finetuned)
    variables["params"]["head"]["pose"]["kernel"] *= -2
    workdir = tmp_path_factory.mktemp("finetuned_otherwise")
    config, results = restore_config(finetuned), restore_results(finetuned)
    return save(workdir, config, variables, results)


@pytest.fixture(scope="session")
def opened(finetuned):
    """The network of `finetuned`."""
    return open_network(finetuned)


@pytest.fixture(scope="session")
def network(opened):
    """The network of `finetuned`, as it is asked about images."""
    return Estimator.of(opened)


@pytest.fixture(scope="session")
def places(records):
    """Where `finetuned`'s data are, which its checkpoint is not believed."""
    return {"data.manual_dir": str(DUMMY), "data.data_dir": str(records)}


@pytest.fixture(scope="session")
def given_data(places):
    """What names `finetuned`'s data."""
    return EvaluationDataSpec(**{k.removeprefix("data."): place for k, place in places.items()})


@pytest.fixture(scope="session")
def hands(opened, given_data):
    """Four drawn hands in four versions each, with all labels."""
    data = open_data(given_data, "train+validation", opened.description, "box", 16)
    (batch,) = data.split.batches()
    return batch


@pytest.fixture(scope="session")
def exact(network, hands):
    """What a network would say that knows the labels."""
    inferred = look_at_batch(network, hands, "box", 16)
    pose, bone = camera.to_25d(jnp.asarray(hands["keypoints_3d"]), jnp.asarray(hands["intrinsics"]))
    depth = jnp.asarray(hands["keypoints_3d"])[:, 0, 2] / bone
    return inferred._replace(estimate=Estimate(pose, depth))
