"""Specs of the data: what `config.data` describes."""

import dataclasses
from typing import Annotated, Literal

from data.build import DATA_SETS
from peclr_jax.errors import FieldError, nearest
from peclr_jax.places import CachePlace, Place, Places
from peclr_jax.specs import Between, Fraction, Seed, Spec
from peclr_jax.synthetic import BACKGROUNDS

RENDERED = "rendered"
"""The source of rendered hands alone, and what stands for them among the names of data sets."""

Share = Annotated[float, Between(0, 1, above=True)]
# Of all data sets together; what is drawn less often than this is never drawn.
_SMALLEST_SHARE = 1e-6


def as_list(text: str) -> list[str]:
    """Splits a field of names that are separated by commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


@dataclasses.dataclass(frozen=True)
class RenderedSpec(Spec):
    """Hands rendered on the device.

    Attributes:
      count: Hands to train on again and again; 0 renders new ones for every batch.
      held_out: Hands held out for monitoring.
      versions: Images of each hand, before as many backgrounds; FreiHAND has four. An epoch is all
        of them. What is held out, or gone through once, is version 0.
      motion_deg: How far versions after the first are moved, as in a neighbouring frame of a film:
        the wrist turns about each axis and each joint bends by up to so many degrees, and light and
        objects follow (TempCLR). 0 leaves their pose: they differ in the background alone.
      size: Side of the rendered image, pixels.
      seed: Seed of the hands themselves (the run's seed only orders them).
      background: "green" screens as in FreiHAND's recordings, a few "shared" by all images, or
        "clutter" unique to each, which gives away which views belong together. Versions may each
        have their own, separated by commas, the last for the rest: "green,clutter", as in FreiHAND.
      shared_backgrounds: How many backgrounds "shared" has.
      held, occluder, sleeve: Probability of an object in the hand, of one before it, of a sleeve.
      span: Range of the hand's size, as a fraction of the rendered image's side. Crops take
        `hand_margin * source_margin` times the hand: what lies outside the rendered image is black.
      cache_dir: Folder that keeps rendered hands for later runs; "" renders them anew.
      chunk: Hands rendered at once, over all devices.
    """

    count: Annotated[int, Between(0, 10**8)] = 4096
    held_out: Annotated[int, Between(1, 2**31)] = 512
    versions: Annotated[int, Between(1, 1024)] = 1
    motion_deg: Annotated[float, Between(0, 45)] = 0.0
    size: Annotated[int, Between(16, 4096)] = 64
    seed: Seed = 0
    background: str = "shared"
    shared_backgrounds: Annotated[int, Between(1, 1024)] = 8
    held: Fraction = 0.5
    occluder: Fraction = 0.2
    sleeve: Fraction = 0.5
    span: tuple[Share, Share] = (0.4, 0.5)
    cache_dir: CachePlace = ""
    chunk: Annotated[int, Between(1, 2**16)] = 64

    def __post_init__(self) -> None:
        """Checks the fields, also against each other."""
        super().__post_init__()
        if self.span[0] > self.span[1]:
            raise FieldError("span", f"must be (smallest, largest), got {self.span}")
        named = as_list(self.background)
        for name in named:
            if name not in BACKGROUNDS:
                raise FieldError(
                    "background", f"is {self.background!r}; choose of {', '.join(BACKGROUNDS)}"
                )
        if not 1 <= len(named) <= self.versions:
            raise FieldError(
                "background",
                f"is {self.background!r}, {len(named)} backgrounds for versions={self.versions}: "
                "name one, or at most one a version",
            )
        if self.motion_deg and self.versions == 1:
            raise FieldError(
                "motion_deg",
                f"is {self.motion_deg:g}, but versions=1 leaves nothing to move: give 2 or more",
            )
        if not self.count and self.versions > 1:
            raise FieldError(
                "versions",
                f"is {self.versions}, but count=0 renders hands without end, each of them once: "
                "give a count",
            )

    @property
    def backgrounds(self) -> tuple[str, ...]:
        """The background of each version."""
        named = as_list(self.background)
        return (*named, *named[-1:] * (self.versions - len(named)))


@dataclasses.dataclass(frozen=True)
class DataSpec(Spec):
    """Hands to train or to evaluate on.

    Attributes:
      source: "rendered": hands rendered on the device (no files, no TensorFlow); "tfds": records.
      source_size: Side of the crops, pixels: the view's side times `source_margin` keeps detail.
      hand_margin: Side of the canonical view over the larger side of the hand's box (keypoints).
      source_margin: Side of the crop over that of the canonical view: room to rotate, shift, zoom.
      cache: Where decoded crops are kept: "none" decodes each anew, "host" and "device" hold all of
        them in memory (3 * source_size^2 bytes each). Rendered hands, and records mixed with them,
        are always held, where "none" means "device". Records alone are slightly sharper by "none":
        they are resampled once, from the JPEG into the view, and those of a cache twice.
      crop: What is cut out: the square around the "hand"'s box, or the central square of the whole
        "image", for photographs of which no box is known: `hand_margin` then means nothing, and a
        canonical view shows the middle 1 / `source_margin` of the square's side.
      pairs: What the two views of pre-training are of: one "image", as in the paper; two
        "versions" of its hand, so that the background does not tell which views belong together
        (`order.Partners`); or two different hands in a similar pose, "mined" by their keypoints
        (`order.Neighbours`), which `labels` have.
      labels: Whether batches carry labels beside the image (fine-tuning).
      label_fraction: Fraction of the hands that are trained on, in (0, 1] (Sec. 4.5), with all
        versions of each. A smaller one is a part of a larger one with the same `label_seed`.
      names: TFDS names, separated by commas: "freihand", "synthetic_hands/128px_32k". One of
        several may be "rendered": the hands of `rendered`, mixed with the records.
      weights: Shares of the data sets in a batch, separated by commas; "" for equal ones (Sec. 8).
      split: TFDS split to train on ("train+validation" is all of FreiHAND's training set); of
        several data sets one each, separated by commas, or one for all.
      held_out_split: TFDS split to monitor on; the training split, which is said, of data sets that
        all lack it.
      data_dir: Folder of the records; "" for ~/tensorflow_datasets.
      manual_dir: Folders of raw files to write records from, one a name ("rendered" has none),
        separated by commas; "" uses records that were prepared before.
      decode_threads: Threads that decode; 0 for one per core.
    """

    source: Literal["rendered", "tfds"] = "rendered"
    source_size: Annotated[int, Between(1, 8192)] = 96
    hand_margin: Annotated[float, Between(0.1, 100)] = 1.5
    source_margin: Annotated[float, Between(0.1, 100)] = 1.5
    cache: Literal["none", "host", "device"] = "none"
    crop: Literal["hand", "image"] = "hand"
    pairs: Literal["image", "versions", "mined"] = "image"
    labels: bool = False
    label_fraction: Share = 1.0
    label_seed: Seed = 0
    names: str = "freihand"
    weights: str = ""
    split: str = "train"
    held_out_split: str = "validation"
    data_dir: Place = ""
    manual_dir: Places = ""
    decode_threads: Annotated[int, Between(0, 1024)] = 0
    rendered: RenderedSpec = RenderedSpec()

    def __post_init__(self) -> None:
        """Checks the fields, also against each other."""
        super().__post_init__()
        self._check_names()
        if self.pairs == "mined" and not self.labels:
            raise FieldError(
                "pairs", "is 'mined', by keypoints, which labels=False leaves out: set it to True"
            )
        if self.source == RENDERED:
            self._check_rendered()
        else:
            self._check_records()

    @property
    def all_names(self) -> list[str]:
        """The data sets, "rendered" among them where rendered hands are mixed with records."""
        return as_list(self.names)

    @property
    def record_names(self) -> list[str]:
        """The data sets that are read from records."""
        return [name for name in self.all_names if name != RENDERED]

    @property
    def splits(self) -> list[str]:
        """The split of each of `record_names`."""
        given = as_list(self.split)
        return given * len(self.record_names) if len(given) == 1 else given

    @property
    def is_mixed(self) -> bool:
        """Whether rendered hands are mixed with records."""
        return self.source == "tfds" and RENDERED in self.all_names

    @property
    def has_rendered(self) -> bool:
        """Whether hands are rendered, alone or mixed with records."""
        return self.source == RENDERED or self.is_mixed

    @property
    def is_endless(self) -> bool:
        """Whether hands are rendered for one batch each, without end."""
        return self.source == RENDERED and not self.rendered.count

    @property
    def kept_on(self) -> str:
        """Where the examples to serve are kept: as `cache`, but rendered hands are always kept."""
        return "device" if self.has_rendered and self.cache == "none" else self.cache

    @property
    def is_paired(self) -> bool:
        """Whether each image comes with another one, of the same hand or of a similar one."""
        return self.pairs != "image"

    @property
    def shares(self) -> tuple[float, ...]:
        """Relative shares of the data sets, rendered hands last; empty for equal shares."""
        if self.source == RENDERED:
            return ()
        shares = zip(self.all_names, map(float, as_list(self.weights)), strict=False)
        return tuple(share for _, share in sorted(shares, key=lambda pair: pair[0] == RENDERED))

    @property
    def crop_margin(self) -> float | None:
        """Side of a crop over the larger side of the hand's box; None for the whole image."""
        return self.hand_margin * self.source_margin if self.crop == "hand" else None

    def _check_rendered(self) -> None:
        if not self.rendered.count and self.label_fraction < 1:
            raise FieldError(
                "label_fraction",
                f"is {self.label_fraction}, but rendered.count=0 renders hands without end, which "
                "have no fractions: give a count",
            )
        if self.pairs == "mined" and not self.rendered.count:
            raise FieldError(
                "pairs",
                "is 'mined', but rendered.count=0 renders hands without end: give a count",
            )
        if self.pairs == "versions" and self.rendered.versions == 1:
            raise FieldError(
                "pairs",
                "is 'versions', two images of one hand, of which rendered.versions=1 renders one: "
                "give 2 or more, and a count",
            )

    def _check_names(self) -> None:
        for name in self.all_names:
            if (folder := name.partition("/")[0]) not in (*DATA_SETS, RENDERED):
                raise FieldError(
                    "names",
                    f"has the unknown data set {name!r}{nearest(folder, DATA_SETS)}; there are: "
                    f"{', '.join(DATA_SETS)}",
                )

    def _check_records(self) -> None:
        names = self.all_names
        if not names:
            raise FieldError("names", "is empty; name a data set, for example 'freihand'")
        for field, of in (("weights", names), ("manual_dir", self.record_names)):
            given = as_list(getattr(self, field))
            if given and len(given) != len(of):
                renamed = " (rename a folder that has a comma in its name)"
                raise FieldError(
                    field,
                    f"has {len(given)} entries for {len(of)} data sets ({', '.join(of)}); give one "
                    f"each, or leave it empty{renamed if field == 'manual_dir' else ''}",
                )
        if len(self.splits) != len(self.record_names):
            raise FieldError(
                "split",
                f"is {self.split!r} for {len(self.record_names)} data sets "
                f"({', '.join(self.record_names)}): give one for all of them, or one each",
            )
        try:
            shares = self.shares
        except ValueError:
            shares = (0.0,)
        if not all(share > _SMALLEST_SHARE * sum(shares) for share in shares):
            raise FieldError(
                "weights",
                "must be positive numbers separated by commas, none less than a millionth of their "
                f"sum, got {self.weights!r}",
            )
        if self.is_mixed:
            self._check_mixed()

    def _check_mixed(self) -> None:
        if not self.record_names:
            raise FieldError(
                "names",
                f"is {self.names!r}, which names no records to mix rendered hands with: name a "
                "data set beside them, or set data.source='rendered'",
            )
        if self.all_names.count(RENDERED) > 1:
            raise FieldError("names", f"has {RENDERED!r} more than once: {self.names!r}")
        if not self.rendered.count:
            raise FieldError(
                "rendered.count",
                "is 0, hands without end, which cannot be mixed with records: give a count",
            )
