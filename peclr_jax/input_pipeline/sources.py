"""Sources of batches: stored examples streamed or cached on the device, and endless new hands."""

import dataclasses
import functools
import itertools
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Int

from peclr_jax.devices.mesh import shard_batch
from peclr_jax.errors import UserError
from peclr_jax.input_pipeline.memory import Batch, DeviceCache, Store
from peclr_jax.input_pipeline.order import Order, process_rows
from peclr_jax.input_pipeline.pairs import Partners, as_partners, split_pairs
from peclr_jax.input_pipeline.prefetch import prefetch
from peclr_jax.input_pipeline.rendered import ENDLESS, Renderer

DeviceBatch = dict[str, Array]
# Hands are numbered with 32-bit integers; after these many they come again.
_INDICES = 2**31


@runtime_checkable
class Source(Protocol):
    """Where batches come from.

    Attributes:
      num_examples: number of different images; `None` if there is no end to them.
      steps_per_epoch: steps in which as many images are drawn; `None` likewise.
    """

    @property
    def num_examples(self) -> int | None:
        """Number of different images; `None` if there is no end to them."""
        ...

    @property
    def steps_per_epoch(self) -> int | None:
        """Steps in which as many images are drawn as there are; `None` likewise."""
        ...

    def batches(self, start_step: int = 0) -> Iterator[DeviceBatch]:
        """Yields the batches of `start_step` and all later steps, without end.

        The batch of a step depends on data, seed and step only. `image` is (batch, size, size, 3)
        uint8, split over the mesh's `data` axis. Where `to_source` (batch, 2, 3) comes with it, the
        image is no crop of `source_size` yet, but has its pixels moved there by these matrices: see
        `peclr_jax.views.augment`. `partner`, and `partner_to_source` likewise, are of another
        version of the same hand, where the source pairs versions; labels are of `image`. Close the
        iterator when done with it.
        """
        ...

    def sample(self, count: int) -> Batch:
        """Returns the first `count` held-out examples (fewer if there are fewer), on the host."""
        ...


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """The examples that are not trained on.

    Attributes:
      stores: where they are, one store after the other.
    """

    stores: tuple[Store, ...]

    def sample(self, count: int) -> Batch:
        """Returns the first `count` examples, or as many as there are."""
        parts: list[Batch] = []
        for store in self.stores:
            # A store is not asked in vain: hands might have to be rendered.
            if rows := min(count - sum(len(part["image"]) for part in parts), len(store)):
                parts += itertools.islice(store.stream([np.arange(rows)]), 1)
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@dataclasses.dataclass(frozen=True)
class StreamSource:
    """Batches read from a store by each process and copied to its devices ahead of time.

    Attributes:
      store: the examples, all of them reachable from every process.
      order: which of them make up each batch.
      mesh: the devices.
      held_out: the examples for monitoring.
      process_index: number of this process.
      process_count: number of processes.
      partners: the other version beside each image, if there is to be one.
    """

    store: Store
    order: Order
    mesh: Mesh
    held_out: HeldOut
    process_index: int
    process_count: int
    partners: Partners | None = None

    @property
    def num_examples(self) -> int:
        """Number of different images."""
        return self.order.num_examples

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which as many images are drawn as there are."""
        return self.order.steps_per_epoch

    def host_batches(self, start_step: int = 0) -> Iterator[Batch]:
        """Yields this process's rows of the batches, before they are copied to the devices."""
        rows = process_rows(self.order.batch_size, self.process_index, self.process_count)
        steps = itertools.count(start_step)
        if self.partners is None:
            return self.store.stream(self.order.indices(step)[rows] for step in steps)
        paired = (_with_partners(self.order, self.partners, step) for step in steps)
        # Read as one batch, so that both are decoded by the same threads.
        return split_pairs(
            self.store.stream(np.concatenate([own[rows], other[rows]]) for own, other in paired)
        )

    def batches(self, start_step: int = 0) -> Iterator[DeviceBatch]:
        """Yields the batches of `start_step` and all later steps."""
        place = functools.partial(shard_batch, mesh=self.mesh)
        return prefetch(self.host_batches(start_step), place)

    def sample(self, count: int) -> Batch:
        """Returns the first held-out examples."""
        return self.held_out.sample(count)


@dataclasses.dataclass(frozen=True)
class CachedSource:
    """Batches gathered on the device from a cache there.

    Attributes:
      cache: the examples.
      order: which of them make up each batch.
      held_out: the examples for monitoring.
      partners: the other version beside each image, if there is to be one.
    """

    cache: DeviceCache
    order: Order
    held_out: HeldOut
    partners: Partners | None = None

    @property
    def num_examples(self) -> int:
        """Number of different images."""
        return self.order.num_examples

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which as many images are drawn as there are."""
        return self.order.steps_per_epoch

    def batches(self, start_step: int = 0) -> Iterator[DeviceBatch]:
        """Yields the batches of `start_step` and all later steps."""
        for step in itertools.count(start_step):
            if self.partners is None:
                yield self.cache.take(self.order.indices(step))
            else:
                own, other = _with_partners(self.order, self.partners, step)
                yield self.cache.take(own) | as_partners(self.cache.take(other))

    def sample(self, count: int) -> Batch:
        """Returns the first held-out examples."""
        return self.held_out.sample(count)


@dataclasses.dataclass(frozen=True)
class EndlessSource:
    """Hands that are rendered for one batch and never seen again.

    Attributes:
      renderer: renders them.
      batch_size: rows of a batch, over all processes.
      seed: of the run; another one sees other hands.
      held_out: the examples for monitoring.
    """

    renderer: Renderer
    batch_size: int
    seed: int
    held_out: HeldOut
    num_examples: None = None
    steps_per_epoch: None = None

    def batches(self, start_step: int = 0) -> Iterator[DeviceBatch]:
        """Yields the batches of `start_step` and all later steps."""
        for step in itertools.count(start_step):
            first = step * self.batch_size % _INDICES
            indices = np.arange(first, first + self.batch_size) % _INDICES
            yield self.renderer.batch(indices, ENDLESS + self.seed)

    def sample(self, count: int) -> Batch:
        """Returns the first held-out examples."""
        return self.held_out.sample(count)


def _with_partners(
    order: Order, partners: Partners, step: int
) -> tuple[Int[np.ndarray, " batch"], Int[np.ndarray, " batch"]]:
    examples = order.indices(step)
    return examples, partners.indices(examples, step)


def check_mesh(batch_size: int, mesh: Mesh) -> None:
    """Checks that a batch divides among the devices.

    Raises:
      UserError: it does not.
    """
    if batch_size < 1 or batch_size % mesh.size:
        raise UserError(
            f"a batch of {batch_size} does not divide among {mesh.size} devices: choose a multiple"
        )


def this_process(index: int | None, count: int | None) -> tuple[int, int]:
    """Fills in JAX's own numbers for those that are not given."""
    return (
        jax.process_index() if index is None else index,
        jax.process_count() if count is None else count,
    )
