"""The page to try a network: what the command does; test_serve_in_browser.py has the page."""

import dataclasses
import json
import os
import re
import signal
import socket
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from configs import serve as recipes
from peclr_jax import specs
from peclr_jax.errors import UserError
from peclr_jax.networks.label_statistics import LabelStatistics
from peclr_jax.pages import server
from peclr_jax.tasks import predict, serve
from peclr_jax.tasks.serve import ServeSpec, open_predictor
from tests.marked_photos import TRUTH, mark_finder, marked


@pytest.fixture
def finder(monkeypatch):
    estimator = mark_finder()
    monkeypatch.setattr(serve, "open_estimator", lambda *_: estimator)
    return estimator


@pytest.fixture
def photo(shared):
    return shared / "fixtures" / "hands_unlabelled" / "wilor_test1.jpg"


def png(tmp_path, image):
    image.save(tmp_path / "photo.png")
    return (tmp_path / "photo.png").read_bytes()


def test_a_photo_in_memory_is_predicted_as_a_file_is(tmp_path, finder, monkeypatch):
    content = png(tmp_path, marked())
    monkeypatch.setattr(predict, "open_estimator", lambda *_: finder)
    for handedness in ("right", "left"):
        spec = predict.PredictSpec(
            checkpoint="a run", images=str(tmp_path / "photo.png"), handedness=handedness
        )
        predict.predict(spec, tmp_path / "out")
        written = json.loads((tmp_path / "out" / "predictions.json").read_text())
        del written["images"][0]["overlay"]
        written["images"][0]["file"] = "a.png"
        answer = open_predictor(ServeSpec(checkpoint="a run"))(content, "a.png", handedness)
        assert json.loads(json.dumps(answer)) == written
        keypoints = answer["images"][0]["hands"][0]["keypoints_2d"]
        np.testing.assert_allclose(keypoints, TRUTH, atol=1.5)


@pytest.fixture
def written():
    """Files that this process opens for writing from here to the end of the test."""
    found = []
    listening = [True]

    def listen(event, arguments):
        if listening and event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR):
            found.append(arguments[0])

    sys.addaudithook(listen)  # for good: it cannot be taken away
    yield found
    listening.clear()


def test_nothing_is_written_to_disk(tmp_path, finder, written):
    content = png(tmp_path, marked())
    assert written.pop() == str(tmp_path / "photo.png")
    assert open_predictor(ServeSpec(checkpoint="a run"))(content, "a.png", "right")["images"]
    assert not written


def test_the_fields_reach_the_prediction(tmp_path, finder):
    content = png(tmp_path, marked())
    spec = ServeSpec(checkpoint="a run", bone_length_m=0.05, field_of_view_deg=90.0)
    answer = open_predictor(spec)(content, "a.png", "right")
    assert answer["meta"]["bone_length_m"] == 0.05
    assert answer["images"][0]["intrinsics"][0][0] == pytest.approx(320)


def test_what_is_no_photo_is_refused_by_name(tmp_path, finder, postscript):
    ask = open_predictor(ServeSpec(checkpoint="a run"))
    for content in (b"no image", postscript.read_bytes()):
        with pytest.raises(UserError, match=r"^a\.png: not a JPEG, PNG or WebP image"):
            ask(content, "a.png", "right")
    whole = png(tmp_path, marked())
    with pytest.raises(UserError, match="cannot be decoded"):
        ask(whole[: len(whole) // 2], "a.png", "right")


def test_a_film_is_told_who_takes_it(finder):
    with pytest.raises(UserError, match=r"^a\.mp4: a film, .*configs/predict\.py predicts films"):
        open_predictor(ServeSpec(checkpoint="a run"))(b"\0\0\0\x18ftypmp42", "a.mp4", "auto")


def test_an_image_that_grows_in_memory_is_refused(tmp_path, finder, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    with pytest.raises(UserError, match="million pixels; shrink it"):
        open_predictor(ServeSpec(checkpoint="a run"))(png(tmp_path, marked()), "a.png", "right")


def test_a_network_that_knows_no_size_asks_for_it(finder, monkeypatch):
    unknown = dataclasses.replace(finder, statistics=LabelStatistics())
    monkeypatch.setattr(serve, "open_estimator", lambda *_: unknown)
    with pytest.raises(UserError, match="bone_length_m"):
        open_predictor(ServeSpec(checkpoint="a run"))


def test_the_port_is_tried_before_the_network_is_opened(tmp_path):
    with server.listen(0) as listener:
        config = recipes.get_config()
        config.update({"port": listener.getsockname()[1], "checkpoint": str(tmp_path)})
        with pytest.raises(UserError, match="is in use"):
            serve.run(config, tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"port": 70_000}, "--config.port must lie in"),
        ({"field_of_view_deg": 180.0}, "field_of_view_deg"),
        ({"bone_length_m": -1.0}, "bone_length_m"),
    ],
)
def test_impossible_configs_are_refused(tmp_path, change, said):
    config = recipes.get_config()
    config.update(change)
    with pytest.raises(UserError, match=said):
        serve.run(config, tmp_path)


@pytest.mark.parametrize(("screen", "opened"), [("", 0), (":0", 1)])
def test_the_browser_is_opened_where_there_is_a_screen(finder, monkeypatch, capsys, screen, opened):
    shown = []
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("DISPLAY", screen)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(serve.webbrowser, "open", shown.append)

    def interrupted(app, listener):
        assert len(finder.seen) > 0  # compiled before the page is announced
        raise KeyboardInterrupt

    monkeypatch.setattr(server, "serve", interrupted)
    assert not serve.run(specs.to_config(ServeSpec(checkpoint="a run", port=0)), Path("unused"))
    assert len(shown) == opened
    (address,) = re.findall(r"Ready: open (http://127.0.0.1:\d+/)", capsys.readouterr().out)
    assert shown in ([], [address])


def test_a_real_photo_is_answered(photo, finetuned):
    answer = open_predictor(ServeSpec(checkpoint=str(finetuned)))(photo.read_bytes(), "a", "left")
    (image,) = answer["images"]
    (hand,) = image["hands"]
    assert (image["file"], image["width"], image["height"]) == ("a", *Image.open(photo).size)
    assert np.shape(hand["keypoints_2d"]) == (21, 2)
    assert np.shape(hand["keypoints_3d"]) == (21, 3)
    assert np.isfinite(hand["keypoints_3d"]).all()
    json.dumps(answer, allow_nan=False)


@pytest.fixture
def interrupting():
    """Handlers that raise, as those of a whole program do."""
    numbers = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
    before = {n: signal.signal(n, signal.default_int_handler) for n in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("interrupting")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_without_an_error(finder, tmp_path, monkeypatch, number):
    """In this process: the handlers that are set are those that count."""
    config = specs.to_config(ServeSpec(checkpoint="a run", port=0, open_browser=False))
    listening = server.listen
    ports = []

    def listen(port):
        listener = listening(port)
        ports.append(listener.getsockname()[1])
        return listener

    def end_when_it_answers():
        with socket.create_connection(("127.0.0.1", ports[0]), timeout=60) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            if connection.recv(1):  # its own handlers are set
                os.kill(os.getpid(), number)

    def say(sentence):
        if sentence.startswith("Ready"):
            threading.Thread(target=end_when_it_answers).start()
        said.append(sentence)

    said = []
    monkeypatch.setattr(server, "listen", listen)
    monkeypatch.setattr(serve, "say", say)
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    assert not serve.run(config, tmp_path)
    assert said[-1] == "Stopped."
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    assert not list(tmp_path.iterdir())
