"""What every kind of source is put together from: partners, a place in memory."""

from jax.sharding import Mesh

from peclr_jax.errors import UserError
from peclr_jax.input_pipeline.memory import DeviceCache, Identities, MemoryStore, Store, load
from peclr_jax.input_pipeline.order import Order
from peclr_jax.input_pipeline.pairs import Partners
from peclr_jax.input_pipeline.sources import CachedSource, HeldOut, Source, StreamSource


def make_partners(identities: Identities, order: Order) -> Partners:
    """Says which image is whose other version.

    Raises:
      UserError: no hand has more than one image.
    """
    partners = Partners(identities, order.sizes, order.seed)
    if not partners.exist:
        raise UserError(
            "--config.data.pairs='versions' pairs images of one hand, but each hand of "
            f"{', '.join(order.names)} has only one: use 'image'"
        )
    return partners


def stored(
    store: Store,
    order: Order,
    cache: str,
    mesh: Mesh,
    held_out: HeldOut,
    process: tuple[int, int],
    partners: Partners | None,
) -> Source:
    """Puts a store where `data.cache` says, and makes a source of it.

    Raises:
      OutOfMemoryError: it does not fit there.
    """
    if cache == "none":
        return StreamSource(store, order, mesh, held_out, *process, partners)
    examples = store if isinstance(store, MemoryStore) else load(store)
    if cache == "host":
        return StreamSource(examples, order, mesh, held_out, *process, partners)
    return CachedSource(DeviceCache(examples.arrays, mesh), order, held_out, partners)
