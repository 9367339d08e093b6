"""What a view may look like: every range of the augmentation in one frozen record."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from peclr_jax.errors import FieldError
from peclr_jax.specs import ELSEWHERE, Between, Fraction, Spec
from peclr_jax.views.color import ChannelOrder

Range = tuple[float, float]


@dataclass(frozen=True)
class ViewSpec(Spec):
    """Ranges and switches of the augmentation.

    The defaults are PeCLR's pre-training recipe (Sec. 4.4 and Sec. 8): rotation, translation,
    scale and colour jitter; the remaining operations of Fig. 4 are there to be switched on. A
    geometric operation is off when its range is a point: `rotation_deg=0.0`, `scale=(1.0, 1.0)`,
    `translation=(0.0, 0.0)`. What is switched off leaves no trace in the compiled program.

    Attributes:
      size: Side of the view in pixels.
      source_margin: Side of the square source image over the side of the canonical view (the
        one under the identity transform); in a config it is `data.source_margin`.
      rotation_deg: Largest rotation in degrees, either way.
      scale: Range of the magnification.
      translation: Range of the displacement along either axis over the side (15 px at 128).
      color_jitter, color_jitter_probability: Whether to jitter colours, and of what share of views.
      hue, saturation, value_gain: Ranges of the factors on hue angle, saturation and value.
      value_offset: Range of the term added to the value, in grey levels of 255.
      color_drop, color_drop_probability: Whether to turn views grey, and what share of them.
      blur, blur_probability: Whether to blur with a Gaussian, and what share of the views.
      blur_sigma: Range of the Gaussian's standard deviation in pixels.
      blur_kernel: Size of its kernel as a fraction of the side, truncated and made odd.
      noise, noise_probability: Whether to add Gaussian noise, and to what share of the views.
      noise_deviation: The noise's standard deviation in grey levels of 255 (official code: 25).
      sobel, sobel_probability: Whether to replace views by their Sobel response, and what share.
      sobel_wrap: Whether the response wraps modulo 256, as in the official code.
      cutout, cutout_probability: Whether to paint over a random square, and in what share of views.
      cutout_side: Range of the square's side over the view's. Its centre is uniform in the view,
        since pre-training has no joints; the official code aims at a random joint.
      channel_order: "bgr" measures hue and grey as the official code does, which takes RGB for BGR.
      quantize: Whether colour jitter passes through 8-bit HSV, as in the official code.
    """

    size: Annotated[int, Between(1, 512)] = 128
    source_margin: Annotated[float, Between(0.1, 100)] = field(default=1.5, metadata=ELSEWHERE)

    rotation_deg: Annotated[float, Between(0, 360)] = 45.0
    scale: Range = (0.6, 2.0)
    translation: Range = (-15 / 128, 15 / 128)

    color_jitter: bool = True
    color_jitter_probability: Fraction = 1.0
    hue: Range = (0.01, 1.0)
    saturation: Range = (0.01, 1.0)
    value_gain: Range = (0.5, 1.0)
    value_offset: Range = (5.0, 20.0)

    color_drop: bool = False
    color_drop_probability: Fraction = 0.5

    blur: bool = False
    blur_probability: Fraction = 0.5
    blur_sigma: Range = (0.1, 2.0)
    blur_kernel: Annotated[float, Between(0, 2, above=True)] = 0.1

    noise: bool = False
    noise_probability: Fraction = 0.5
    noise_deviation: Annotated[float, Between(0, 255)] = 25.0

    sobel: bool = False
    sobel_probability: Fraction = 0.5
    sobel_wrap: bool = False

    cutout: bool = False
    cutout_probability: Fraction = 0.5
    cutout_side: Range = (0.0, 0.16)

    channel_order: ChannelOrder = "rgb"
    quantize: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in vars(self).items():
            if not isinstance(value, tuple):
                continue
            least, most = _BOUNDS.get(name, (0.0, 100.0))
            if not least <= value[0] <= value[1] <= most:
                raise FieldError(
                    name, f"must satisfy {least:g} <= low <= high <= {most:g}, got {value!r}"
                )


# Fig. 4: what switches each transformation on, in the ranges of Sec. 8 where these are named.
TRANSFORMATIONS: Mapping[str, Mapping[str, Any]] = {
    "rotation": {"rotation_deg": ViewSpec.rotation_deg},
    "translation": {"translation": ViewSpec.translation},
    "scale": {"scale": ViewSpec.scale},
    "color_jitter": {"color_jitter": True},
    "color_drop": {"color_drop": True},
    "cutout": {"cutout": True},
    "blur": {"blur": True},
    "noise": {"noise": True},
    "sobel": {"sobel": True},
}
NO_TRANSFORMATION: Mapping[str, Any] = {
    "rotation_deg": 0.0,
    "scale": (1.0, 1.0),
    "translation": (0.0, 0.0),
    "color_jitter": False,
}
"""What switches all of them off."""

# Of ranges; those of the others are 0 and 100. A transform of scale 0 cannot be undone, and a
# Gaussian of width 0 is not one.
_BOUNDS = {
    "scale": (1e-6, 100.0),
    "blur_sigma": (1e-6, 1000.0),
    "translation": (-1.0, 1.0),
    "value_offset": (-255.0, 255.0),
    "cutout_side": (0.0, 1.0),
}
