"""One pass through a split: every example once, in stored order, none kept."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from peclr_jax.input_pipeline.memory import Batch, Store


@dataclasses.dataclass(frozen=True)
class Split:
    """The examples of a split, to be evaluated or counted, not trained on.

    Attributes:
      store: the examples.
      batch_size: rows of a batch; the last batch may have fewer.
    """

    store: Store
    batch_size: int

    @property
    def num_examples(self) -> int:
        """Number of examples."""
        return len(self.store)

    def batches(self) -> Iterator[Batch]:
        """Yields all examples once, in stored order, on the host; only a few are in memory."""
        count, size = self.num_examples, self.batch_size
        return self.store.stream(
            np.arange(start, min(start + size, count)) for start in range(0, count, size)
        )
