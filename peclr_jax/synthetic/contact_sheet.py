"""Draws a sheet of synthetic hands: `python -m peclr_jax.synthetic.contact_sheet sheet.png`."""

import argparse
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from peclr_jax.synthetic.render import BACKGROUNDS, Hands, RenderSpec, render_batch

_DIGIT_COLORS = ((255, 80, 60), (255, 190, 40), (90, 230, 90), (60, 190, 255), (220, 90, 255))
# Lines are drawn at several times the resolution, then scaled down.
_OVERSAMPLING = 4


def draw_skeleton(
    image: UInt8[np.ndarray, "size size 3"], keypoints: Float[np.ndarray, "21 2"]
) -> UInt8[np.ndarray, "size size 3"]:
    """Draws the bones of one hand over its image.

    Args:
        image: RGB.
        keypoints: pixels (x, y) in FreiHAND order, origin at the centre of the top-left pixel.
    """
    side = len(image) * _OVERSAMPLING
    canvas = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(canvas)
    points = [tuple(p) for p in ((keypoints + 0.5) * _OVERSAMPLING).tolist()]
    for digit, color in enumerate(_DIGIT_COLORS):
        chain = [points[0], *points[1 + 4 * digit : 5 + 4 * digit]]
        draw.line(chain, fill=color, width=side // 130)
        for x, y in chain:
            radius = side / 110
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(255, 255, 255))
    return np.asarray(canvas.resize(image.shape[:2], Image.Resampling.LANCZOS))


def make_sheet(
    hands: Hands, *, columns: int, skeletons: bool = True
) -> UInt8[np.ndarray, "height width 3"]:
    """Tiles images, every other one with its skeleton.

    Args:
        hands: rendered hands; those that do not fill a row are left out.
        columns: images in a row.
        skeletons: whether to draw any.
    """
    images = np.array(hands.images)
    if skeletons:
        for i in range(1, len(images), 2):
            images[i] = draw_skeleton(images[i], np.asarray(hands.keypoints_2d[i]))
    rows, size = len(images) // columns, images.shape[1]
    grid = images[: rows * columns].reshape(rows, columns, size, size, 3)
    return grid.transpose(0, 2, 1, 3, 4).reshape(rows * size, columns * size, 3)


def main() -> None:
    """Renders and saves the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, help="image file to write")
    parser.add_argument("--size", type=int, default=192, help="side of every image, pixels")
    parser.add_argument("--count", type=int, default=24, help="number of images")
    parser.add_argument("--columns", type=int, default=6, help="images in a row")
    parser.add_argument("--background", default="clutter", choices=BACKGROUNDS)
    parser.add_argument("--seed", type=int, default=0, help="seed of the images")
    args = parser.parse_args()
    spec = RenderSpec(size=args.size, background=args.background)
    hands = render_batch(jax.random.key(args.seed), args.count, spec)
    Image.fromarray(make_sheet(hands, columns=args.columns)).save(args.output, optimize=True)


if __name__ == "__main__":
    main()
