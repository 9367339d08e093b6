"""The fields of `config.data`, with defaults and checks."""

from ml_collections import ConfigDict

from peclr_jax.errors import UserError

RENDERED = "rendered"
"""The source of rendered hands alone, and what stands for them among the names of data sets."""
SOURCES = (RENDERED, "tfds")
CACHES = ("none", "host", "device")
CROPS = ("hand", "image")
PAIRS = ("image", "versions")
_LARGEST = 10**6


def default_config() -> ConfigDict:
    """Returns the configuration of the input pipeline; the whole of `config.data`."""
    config = ConfigDict()
    # Where hands come from: "rendered" on the device (no files, no TensorFlow) or "tfds" records.
    config.source = "rendered"
    # Side of the square crops delivered, pixels: the view's side times source_margin keeps the
    # resolution.
    config.source_size = 96
    # Side of the canonical view over the larger side of the hand's box (keypoints).
    config.hand_margin = 1.5
    # Side of the crop over the side of the canonical view: room to rotate, shift and zoom out.
    config.source_margin = 1.5
    # Where decoded crops are kept: "none" decodes each time it is needed, "host" and "device" hold
    # all of them in memory (size^2 * 3 bytes each). Rendered pools know "host" and "device" only;
    # "none" is "device" for them. From records, "none" trains on slightly sharper images: they are
    # resampled once, from the decoded JPEG into the view, and those of a cache twice. Records that
    # are mixed with rendered hands are held as these are.
    config.cache = "none"
    # What is cut out: the square around the "hand"'s box, or the central square of the whole
    # "image", as for photographs of which no box is known; the margins then mean nothing.
    config.crop = "hand"
    # What the two views of pre-training are of: one "image", as in the paper, or two "versions" of
    # its hand, so that the background does not tell which views belong together. Batches then carry
    # a `partner` beside the image, drawn anew each time; hands of a single version are their own.
    config.pairs = "image"
    # Whether batches carry labels beside the image (fine-tuning).
    config.labels = False
    # Fraction of the hands that are trained on, in (0, 1] (Sec. 4.5), all versions of a hand or
    # none. A smaller fraction is a part of a larger one; the seed picks them.
    config.label_fraction = 1.0
    config.label_seed = 0

    # Source "tfds". TFDS names, separated by commas: "freihand", "synthetic_hands/128px_32k". One
    # of several may be "rendered": the hands of `rendered` below, mixed with the records. Those of
    # them that are held out come after the records' own.
    config.names = "freihand"
    # Relative shares of the data sets in a batch, separated by commas; "" for equal shares, as in
    # the paper (Sec. 8).
    config.weights = ""
    # TFDS split to train on ("train+validation" is all of FreiHAND's training set) and the one
    # that is held out for monitoring.
    config.split = "train"
    config.held_out_split = "validation"
    # Where records are kept; "" for ~/tensorflow_datasets.
    config.data_dir = ""
    # Raw files of data sets that must be fetched by hand, one per name ("rendered" has none),
    # separated by commas; records are written on first use. "" to use records that were prepared
    # before.
    config.manual_dir = ""
    # Threads that decode; 0 for one per core.
    config.decode_threads = 0

    # Source "rendered", and "rendered" among the names.
    config.rendered = ConfigDict()
    # Number of hands rendered at the start, to be trained on again and again; 0 renders new ones
    # for every batch.
    config.rendered.count = 4096
    # Number of hands held out for monitoring.
    config.rendered.held_out = 512
    # Images of each hand, before as many backgrounds; FreiHAND has four. An epoch is all of them.
    # What is held out, or gone through once, is version 0.
    config.rendered.versions = 1
    # Side of the rendered image, pixels.
    config.rendered.size = 64
    # Seed of the hands themselves (the run's seed only orders them).
    config.rendered.seed = 0
    # "green" screens as FreiHAND's recordings, a few "shared" by all images, or "clutter" unique to
    # each, which gives away which views belong together. Of several versions each may have its
    # own, separated by commas, the last standing for the rest: "green,clutter", as FreiHAND.
    config.rendered.background = "shared"
    # How many backgrounds "shared" has.
    config.rendered.shared_backgrounds = 8
    # Probabilities of an object in the hand, of something before it, of a sleeve.
    config.rendered.held = 0.5
    config.rendered.occluder = 0.2
    config.rendered.sleeve = 0.5
    # Range of the hand's size, as a fraction of the rendered image's side. Crops take hand_margin *
    # source_margin times the hand: what lies outside the rendered image is black.
    config.rendered.span = (0.4, 0.5)
    # Where rendered hands are kept for later runs with the same ones; "" renders them anew.
    config.rendered.cache_dir = ""
    # Hands rendered at once, over all devices.
    config.rendered.chunk = 64
    return config


def as_list(text: str | tuple | list) -> list[str]:
    """Splits a comma-separated field; tuples and lists pass."""
    parts = text.split(",") if isinstance(text, str) else text
    return [str(part).strip() for part in parts if str(part).strip()]


def backgrounds(rendered: ConfigDict) -> tuple[str, ...]:
    """Returns the background of each version that `config.rendered` asks for."""
    named = as_list(rendered.background)
    return (*named, *named[-1:] * (rendered.versions - len(named)))


def record_names(names: str | tuple | list) -> list[str]:
    """Returns the data sets that are read from records: all but the rendered hands."""
    return [name for name in as_list(names) if name != RENDERED]


def is_mixed(config: ConfigDict) -> bool:
    """Whether rendered hands are mixed with records."""
    return config.source == "tfds" and RENDERED in as_list(config.names)


def check(config: ConfigDict) -> None:
    """Checks the fields against each other.

    Raises:
      UserError: a field has an impossible value; the message says which are possible.
    """
    _one_of("data.source", config.source, SOURCES)
    _one_of("data.cache", config.cache, CACHES)
    _one_of("data.crop", config.crop, CROPS)
    _one_of("data.pairs", config.pairs, PAIRS)
    if not 0 < config.label_fraction <= 1:
        raise UserError(f"data.label_fraction must lie in (0, 1], got {config.label_fraction}.")
    if config.label_seed < 0:
        raise UserError(f"data.label_seed must not be negative, got {config.label_seed}.")
    for name in ("source_size", "hand_margin", "source_margin"):
        if not 0 < config[name] < _LARGEST:
            raise UserError(
                f"data.{name} must be positive and below {_LARGEST:.0e}, got {config[name]}."
            )
    if config.source == "rendered":
        _check_rendered(config.rendered)
        if not config.rendered.count and config.label_fraction < 1:
            raise UserError(
                f"data.label_fraction is {config.label_fraction}, but data.rendered.count=0 "
                "renders hands without end, which have no fractions: give a count."
            )
        if config.pairs == "versions" and config.rendered.versions == 1:
            raise UserError(
                "data.pairs='versions' pairs images of one hand, of which data.rendered.versions=1 "
                "renders but one: give 2 or more, and a count."
            )
    else:
        if is_mixed(config):
            _check_mixed(config)
        _check_records(config)


def _one_of(field: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UserError(f"{field} is {value!r}; choose one of {', '.join(known)}.")


def _check_rendered(rendered: ConfigDict) -> None:
    smallest = {"count": 0, "held_out": 1, "seed": 0, "chunk": 1, "versions": 1}
    for name, least in smallest.items():
        if rendered[name] < least:
            raise UserError(f"data.rendered.{name} is {rendered[name]}, less than {least}.")
    named = len(as_list(rendered.background))
    if not 1 <= named <= rendered.versions:
        raise UserError(
            f"data.rendered.background={rendered.background!r} names {named} backgrounds for "
            f"data.rendered.versions={rendered.versions}: name one, or at most one a version."
        )
    if not rendered.count and rendered.versions > 1:
        raise UserError(
            f"data.rendered.versions is {rendered.versions}, but data.rendered.count=0 renders "
            "hands without end, each of them once: give a count."
        )


def _check_records(config: ConfigDict) -> None:
    names = as_list(config.names)
    if not names:
        raise UserError("data.names is empty; name a data set, for example 'freihand'.")
    for field, of in (("weights", names), ("manual_dir", record_names(names))):
        given = as_list(config[field])
        if given and len(given) != len(of):
            raise UserError(
                f"data.{field} has {len(given)} entries for {len(of)} data sets "
                f"({', '.join(of)}); give one each, or leave it empty."
            )
    try:
        [float(weight) for weight in as_list(config.weights)]
    except ValueError:
        raise UserError(
            f"data.weights must be numbers separated by commas, got {config.weights!r}."
        ) from None


def _check_mixed(config: ConfigDict) -> None:
    names = as_list(config.names)
    if not record_names(names):
        raise UserError(
            f"data.names is {config.names!r}, which names no records to mix rendered hands with: "
            "name a data set beside them, or set data.source='rendered'."
        )
    if names.count(RENDERED) > 1:
        raise UserError(f"data.names has {RENDERED!r} more than once: {config.names!r}.")
    _check_rendered(config.rendered)
    if not config.rendered.count:
        raise UserError(
            "data.rendered.count=0 renders hands without end, which cannot be mixed with records: "
            "give a count."
        )
