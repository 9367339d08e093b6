"""Specs of the objectives: what `config.loss` describes, and what it computes."""

import dataclasses
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from peclr_jax import specs
from peclr_jax.errors import FieldError, UserError
from peclr_jax.geometry.affine import Similarity
from peclr_jax.objectives import contrastive, diagnostics, weighting
from peclr_jax.objectives.contrastive import Projections
from peclr_jax.objectives.maps import Maps, equivariance_loss
from peclr_jax.objectives.weighting import Keypoints
from peclr_jax.specs import (
    ELSEWHERE,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Spec,
)

# What NT-Xent compares, of the latent points and the views' transformations.
OBJECTIVES: dict[str, Callable[..., Float[Array, "views dim"]]] = {
    "peclr": contrastive.equivariant_projections,
    "simclr": contrastive.invariant_projections,
    "direct_translation": contrastive.direct_projections,
}


def _equal(
    projections: Projections, keypoints: Keypoints | None, temperature: float, chunk: int | None
) -> Float[Array, ""]:
    del keypoints
    return contrastive.nt_xent(projections, temperature, chunk=chunk)


def _adaptive(
    projections: Projections, keypoints: Keypoints | None, temperature: float, chunk: int | None
) -> Float[Array, ""]:
    del chunk
    if keypoints is None:
        raise UserError(
            "--config.loss.weights='adaptive' weighs pairs by their keypoints: set "
            "--config.data.labels=True"
        )
    weights = weighting.adaptive_weights(keypoints)
    return weighting.weighted_nt_xent(projections, weights, temperature)


# How NT-Xent compares them, by `ContrastiveLossSpec.weights`.
COMPARISONS: dict[str, Callable[..., Float[Array, ""]]] = {"equal": _equal, "adaptive": _adaptive}


@dataclasses.dataclass(frozen=True)
class ContrastiveLossSpec(Spec):
    """NT-Xent of projections.

    Attributes:
      objective: "peclr" undoes the transformations (Eqs. 3, 4); "simclr" does not (Eq. 1);
        "direct_translation" undoes translations by as many units of the points as pixels of the
        view (Sec. 7, Fig. 7).
      temperature: The paper gives none; 0.5 is the official code's.
      weights: Of the similarities: "equal", or beyond the paper "adaptive" to how alike the two
        views' joints are (SiMHand), for data with labels.
      maps: Weight of a second term, beyond the paper: the equivariance of the third stage's maps
        (see `objectives.maps`); 0 leaves it out.
      chunk: Views compared at a time; 0 for all of them (memory grows with the batch squared).
      view_size: Side of the views, pixels; in a config it is `views.size`.
    """

    objective: Literal["peclr", "simclr", "direct_translation"] = "peclr"
    temperature: PositiveFloat = 0.5
    weights: Literal["equal", "adaptive"] = "equal"
    maps: NonNegativeFloat = 0.0
    chunk: NonNegativeInt = 0
    view_size: PositiveInt = dataclasses.field(default=128, metadata=ELSEWHERE)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weights == "adaptive" and self.chunk:
            raise FieldError(
                "chunk", f"is {self.chunk}, but adaptive weights compare all views at once: give 0"
            )

    def project(
        self, points: Float[Array, "views points 2"], transform: Similarity
    ) -> Float[Array, "views dim"]:
        """Returns what NT-Xent compares.

        Args:
          points: Latent points of views.
          transform: Transformations of the images, source to view.
        """
        options = {"side": self.view_size} if self.objective == "direct_translation" else {}
        return OBJECTIVES[self.objective](points, transform, **options)

    def __call__(
        self,
        points: Float[Array, "views points 2"],
        transform: Similarity,
        *,
        keypoints: Keypoints | None = None,
        stage: tuple[Maps, Maps] | None = None,
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """Returns the loss and its parts, in which alignment and uniformity are plain NT-Xent's.

        Args:
          points: Latent points; rows i and i + N are one image's two views.
          transform: Transformations of the images, source to view.
          keypoints: Joints in the views, needed for adaptive weights.
          stage: Third stage's maps of all first and of all second views, needed for `maps`.
        """
        projections = self.project(points, transform)
        chunk = self.chunk or None
        loss = COMPARISONS[self.weights](projections, keypoints, self.temperature, chunk)
        plain = loss
        if self.weights != "equal":
            plain = contrastive.nt_xent(jax.lax.stop_gradient(projections), self.temperature)
        parts = diagnostics.alignment_and_uniformity(projections, plain, self.temperature)
        if self.maps:
            if stage is None:
                raise UserError(f"loss.maps={self.maps:g} compares maps, of which none were given")
            first, second = (
                jax.tree.map(lambda x, half=half: jnp.split(x, 2)[half], transform)
                for half in (0, 1)
            )
            parts["maps"] = equivariance_loss(
                *stage, (first, second), self.view_size, self.temperature
            )
            loss += self.maps * parts["maps"]
        return loss, parts


@dataclasses.dataclass(frozen=True)
class PoseLossSpec(Spec):
    """Weights of the terms of the pose loss (Eq. 5).

    Pixels are in halves of the view's side, depths in lengths of the reference bone. A hand of
    18 cm, drawn 1 / hand_margin of the side, makes half a side some 13 cm; the bone is 3 to 4.5 cm.
    So 1 : 1/3 weighs errors in the image plane and in depth alike. The root's depth is some 15 bone
    lengths, its error large and mostly not the pose's fault: a small weight keeps it from drowning
    the others.

    Attributes:
      keypoints_2d, relative_depth: Weights of the keypoints in the image, of root-relative depths.
      root_depth: Weight of the root's refined depth; 0 leaves the refinement out.
    """

    keypoints_2d: NonNegativeFloat = 1.0
    relative_depth: NonNegativeFloat = 0.33
    root_depth: NonNegativeFloat = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.keypoints_2d == 0:
            raise FieldError("keypoints_2d", "is 0, which leaves nothing to find the hand by")

    def total(self, terms: dict[str, Float[Array, ""]]) -> Float[Array, ""]:
        """Returns the weighted sum of the terms, given by the names of their weights' fields."""
        weights = specs.to_dict(self)
        return sum(weights[name] * term for name, term in terms.items() if weights[name] > 0)
