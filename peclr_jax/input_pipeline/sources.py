"""Sources of batches: examples streamed or cached on the devices, and new hands without end."""

import abc
import dataclasses
import functools
import itertools
from collections.abc import Iterator, Mapping
from typing import TypeVar

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Int

from peclr_jax.devices.mesh import shard_batch
from peclr_jax.input_pipeline.device_cache import DeviceCache
from peclr_jax.input_pipeline.order import Order, Pairing
from peclr_jax.input_pipeline.prefetch import prefetch
from peclr_jax.input_pipeline.rendered import Renderer
from peclr_jax.input_pipeline.stores import Batch, Store

DeviceBatch = dict[str, Array]
Value = TypeVar("Value")
# Hands are numbered with 32-bit integers; after these many they come again.
_INDICES = 2**31
# What a batch holds of the partners, by the names that it has of the images themselves.
_OF_PARTNERS = {
    "image": "partner",
    "to_source": "partner_to_source",
    "keypoints_2d": "partner_keypoints_2d",
    "keypoints_2d_valid": "partner_keypoints_2d_valid",
}


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """The examples to monitor on, of one store after the other.

    Attributes:
      stores: Those of one part of the data each.
      names: What each data set in them is called, for people.
      trained_on: Why they are trained on, too; "" if they are not.
    """

    stores: tuple[Store, ...]
    names: tuple[str, ...] = ()
    trained_on: str = ""

    def describe(self, count: int) -> str:
        """Returns what the first `count` examples are: "256 held-out images: freihand (train)"."""
        named, left = [], count
        sizes = [size for store in self.stores for size in store.sizes]
        for name, size in zip(self.names, sizes, strict=False):
            if left > 0 and size:
                named.append(name)
            left -= size
        what = "training images" if self.trained_on else "held-out images"
        text = f"{min(count, sum(sizes))} {what}: {', '.join(named)}"
        return f"{text} ({self.trained_on})" if self.trained_on else text

    def sample(self, count: int) -> Batch:
        """Returns the first `count` examples, or as many as there are."""
        parts: list[Batch] = []
        for store in self.stores:
            # A store of which nothing is wanted is not asked: its hands might have to be rendered.
            if rows := min(count - sum(len(part["image"]) for part in parts), len(store)):
                parts += itertools.islice(store.stream([np.arange(rows)]), 1)
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@dataclasses.dataclass(frozen=True)
class Source(abc.ABC):
    """Where batches come from.

    Attributes:
      held_out: The examples that are not trained on.
      fingerprint: The data sets' names with a digest each of what decides their images.
    """

    held_out: HeldOut
    fingerprint: str = dataclasses.field(default="", kw_only=True)

    @property
    def num_examples(self) -> int | None:
        """Number of different images; None if there is no end to them."""
        return None

    @property
    def steps_per_epoch(self) -> int | None:
        """Steps in which as many images are drawn as there are; None likewise."""
        return None

    @abc.abstractmethod
    def batches(self, start_step: int = 0) -> Iterator[DeviceBatch]:
        """Yields the batches of a step and of all later ones, without end; to be closed.

        The batch of a step depends on data, seed and step only. `image` is (batch, size, size, 3)
        uint8, split over the mesh's `data` axis. Where `to_source` (batch, 2, 3) comes with it, the
        image is no crop of `source_size` yet, but has its pixels moved there by these matrices: see
        `peclr_jax.views.augment`. Where the source pairs images, `partner`, `partner_to_source`
        and, if there are labels, `partner_keypoints_2d` and `partner_keypoints_2d_valid` are of the
        partner; labels are of `image`.
        """

    def sample(self, count: int) -> Batch:
        """Returns the first `count` held-out examples, or as many as there are, on the host."""
        return self.held_out.sample(count)


@dataclasses.dataclass(frozen=True)
class _FiniteSource(Source):
    """What sources of stored examples have in common: their order, and partners or None."""

    order: Order
    partners: Pairing | None

    @property
    def num_examples(self) -> int:
        """Number of different images."""
        return self.order.num_examples

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which as many images are drawn as there are."""
        return self.order.steps_per_epoch

    def _indices(self, step: int) -> list[Int[np.ndarray, " batch"]]:
        """Returns the examples of a batch, and their partners if there are any."""
        examples = self.order.indices(step)
        return [examples, *([self.partners.indices(examples, step)] if self.partners else [])]


@dataclasses.dataclass(frozen=True)
class StreamSource(_FiniteSource):
    """Batches read by each process (number, of how many) and copied to devices ahead of time."""

    store: Store
    mesh: Mesh
    process: tuple[int, int]

    def host_batches(self, start_step: int = 0) -> Iterator[Batch]:
        """Yields this process's rows of the batches, before they are copied to the devices."""
        number, count = self.process
        size = self.order.batch_size // count
        rows = slice(number * size, (number + 1) * size)
        # Read as one batch with the partners, so that both are decoded by the same threads.
        batches = self.store.stream(
            np.concatenate([indices[rows] for indices in self._indices(step)])
            for step in itertools.count(start_step)
        )
        return batches if self.partners is None else (_split_pairs(batch) for batch in batches)

    def batches(self, start_step: int = 0) -> Iterator[DeviceBatch]:
        """Yields the batches of a step and of all later ones."""
        return prefetch(
            self.host_batches(start_step), functools.partial(shard_batch, mesh=self.mesh)
        )


@dataclasses.dataclass(frozen=True)
class CachedSource(_FiniteSource):
    """Batches gathered on the devices from a cache there."""

    cache: DeviceCache

    def batches(self, start_step: int = 0) -> Iterator[DeviceBatch]:
        """Yields the batches of a step and of all later ones."""
        for step in itertools.count(start_step):
            images, *partners = map(self.cache.take, self._indices(step))
            for batch in partners:
                images |= _as_partners(batch)
            yield images


@dataclasses.dataclass(frozen=True)
class EndlessSource(Source):
    """Hands that are rendered for one batch and never seen again; another seed sees others."""

    renderer: Renderer
    batch_size: int
    seed: int

    def batches(self, start_step: int = 0) -> Iterator[DeviceBatch]:
        """Yields the batches of a step and of all later ones."""
        for step in itertools.count(start_step):
            first = step * self.batch_size % _INDICES
            indices = np.arange(first, first + self.batch_size) % _INDICES
            yield self.renderer.endless(indices, self.seed)


def _split_pairs(batch: Batch) -> Batch:
    """Lays the second half of a batch, the partners, beside the first."""
    count = len(batch["image"]) // 2
    images = {name: array[:count] for name, array in batch.items()}
    return images | _as_partners({name: array[count:] for name, array in batch.items()})


def _as_partners(batch: Mapping[str, Value]) -> dict[str, Value]:
    """Returns what the second view needs, by the names that it has beside the images."""
    return {name: batch[own] for own, name in _OF_PARTNERS.items() if own in batch}
