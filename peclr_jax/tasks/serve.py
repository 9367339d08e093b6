"""A page in the browser to try a network on photos and with the camera."""

import dataclasses
import io
import os
import sys
import webbrowser
from pathlib import Path
from typing import Annotated, Any, Literal

from ml_collections import ConfigDict
from PIL import Image

from peclr_jax import specs
from peclr_jax.console import say
from peclr_jax.errors import UserError
from peclr_jax.networks.estimator import open_estimator
from peclr_jax.networks.spec import TorchFileSpec
from peclr_jax.pages import server
from peclr_jax.pages.gallery import json_entry
from peclr_jax.photos import kinds
from peclr_jax.photos.boxes import Hand, Request
from peclr_jax.photos.prepare import Skipped, prepare
from peclr_jax.places import Place
from peclr_jax.prediction.photographs import predict_photos
from peclr_jax.prediction.spec import (
    BoneLength,
    PredictSpec,
    bone_length_of,
    describe,
    largest_error_of,
    options_of,
)
from peclr_jax.specs import Between, Spec
from peclr_jax.weights import RELEASED


@dataclasses.dataclass(frozen=True)
class ServeSpec(Spec):
    """A page to try a network.

    Attributes:
      checkpoint, init, hands, field_of_view_deg, bone_length_m: As of `PredictSpec`.
      port: Of the page's address on this machine; 0 for any free one.
      open_browser: Whether the browser is opened, where there is a screen.
    """

    task: Literal["serve"] = "serve"
    checkpoint: Place = RELEASED
    init: TorchFileSpec = TorchFileSpec()
    port: Annotated[int, Between(0, 65535)] = 8000
    open_browser: bool = True
    hands: Annotated[int, Between(1, 1000)] = 1
    field_of_view_deg: Annotated[float, Between(1, 170)] = 40.0
    bone_length_m: BoneLength = 0.0


def run(config: ConfigDict, workdir: Path) -> None:
    """Serves the page until a signal comes; nothing is written, not even to `workdir`."""
    spec = specs.from_config(ServeSpec, config)
    try:
        serve(spec)
    # The server raises signals again when it has stopped: they are the way to end it, not an error.
    except KeyboardInterrupt:
        say("Stopped.")


def serve(spec: ServeSpec) -> None:
    """Opens the network, compiles it, and serves the page until a signal comes."""
    with server.listen(spec.port) as listener:  # before the network, which takes long to open
        predict = open_predictor(spec)
        say("Compiling the network ...")
        predict(_grey_photo(), "grey.png", "auto")
        address = f"http://{server.HOST}:{listener.getsockname()[1]}/"
        say(f"Ready: open {address} in a browser on this machine; Ctrl-C ends it.")
        if spec.open_browser and _has_screen():
            webbrowser.open(address)
        server.serve(server.application(predict), listener)


def open_predictor(spec: ServeSpec) -> server.Predict:
    """Opens the network; returns the function that predicts one photo.

    The function takes the photo's bytes, its name, and the side of its hand. It returns what
    `predictions.json` would hold for this photo alone, without the overlay's path, and raises a
    `UserError` if the photo cannot be used.
    """
    settings = PredictSpec(
        checkpoint=spec.checkpoint,
        init=spec.init,
        hands=spec.hands,
        field_of_view_deg=spec.field_of_view_deg,
        bone_length_m=spec.bone_length_m,
    )
    estimator = open_estimator(settings.checkpoint, settings.init.torch_checkpoint)
    bone_length = bone_length_of(settings, estimator)
    options = options_of(settings, estimator)

    def predict(content: bytes, name: str, handedness: str) -> dict[str, Any]:
        if kinds.is_film(content[: kinds.HEAD]):
            raise UserError(
                f"{name}: a film, and the page takes photos: configs/predict.py predicts films, by "
                "--config.images=FILM"
            )
        photo = prepare(Path(name), Request((Hand(handedness),)), options, content)
        (result,) = predict_photos(
            estimator,
            [photo],
            bone_length,
            passes=settings.passes,
            rows=settings.batch_size,  # always, so that the network is compiled once
            hands=settings.hands,
            worst=largest_error_of(settings, estimator),
        )
        if isinstance(result, Skipped):
            raise UserError(f"{name}: {result.reason}")
        asked = specs.changed(settings, {"handedness": handedness}, "the request")
        meta = describe(asked, estimator, bone_length)
        meta["notes"] += [f"{name}: {remark}" for remark in result[0].remarks]
        return {"meta": meta, "images": [json_entry(*result)], "skipped": []}

    return predict


def _grey_photo() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (256, 256), (128, 128, 128)).save(file, "PNG")
    return file.getvalue()


def _has_screen() -> bool:
    # Without one a browser of the terminal would start in this terminal, and wait for keys.
    elsewhere = sys.platform in ("darwin", "win32")
    return elsewhere or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
