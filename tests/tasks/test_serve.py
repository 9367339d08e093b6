"""The page to try a network: the command with a real tiny network, and the page in Chromium."""

import dataclasses
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
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

ROOT = Path(__file__).parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture
def finder(monkeypatch):
    estimator = mark_finder()
    monkeypatch.setattr(serve, "open_estimator", lambda *_: estimator)
    return estimator


@pytest.fixture(scope="module")
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


def test_the_fields_reach_the_prediction(tmp_path, finder):
    content = png(tmp_path, marked())
    spec = ServeSpec(checkpoint="a run", bone_length_m=0.05, field_of_view_deg=90)
    answer = open_predictor(spec)(content, "a.png", "right")
    assert answer["meta"]["bone_length_m"] == 0.05
    assert answer["images"][0]["intrinsics"][0][0] == pytest.approx(320)


def test_what_is_no_photo_is_refused_by_name(tmp_path, finder, postscript):
    ask = open_predictor(ServeSpec(checkpoint="a run"))
    for content in (b"no image", postscript.read_bytes()):
        with pytest.raises(UserError, match=r"^a\.png: not a JPEG, PNG or WebP image$"):
            ask(content, "a.png", "right")
    whole = png(tmp_path, marked())
    with pytest.raises(UserError, match="cannot be decoded"):
        ask(whole[: len(whole) // 2], "a.png", "right")


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


@pytest.fixture(scope="module")
def command(finetuned):
    """The command with a real tiny network: its process and its port."""
    words = [sys.executable, "-u", "main.py", "--config=configs/serve.py", "--config.port=0"]
    words += [f"--config.checkpoint={finetuned}", "--config.open_browser=False"]
    process = subprocess.Popen(
        words, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said = []
    for line in process.stdout:
        said.append(line)
        if found := re.search(r"Ready: open http://127\.0\.0\.1:(\d+)/", line):
            yield process, int(found[1])
            break
    else:
        pytest.fail("".join(said))
    process.kill()
    process.wait()


def post(port, content):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/predict?name=hand.jpg", content)
    answer = connection.getresponse()
    found = answer.status, json.load(answer)
    connection.close()
    return found


def test_a_real_photo_is_answered(command, photo):
    status, answer = post(command[1], photo.read_bytes())
    (image,) = answer["images"]
    (hand,) = image["hands"]
    assert status == 200
    assert (image["file"], image["width"], image["height"]) == ("hand.jpg", *Image.open(photo).size)
    assert np.shape(hand["keypoints_2d"]) == (21, 2)
    assert np.isfinite(hand["keypoints_3d"]).all()
    assert np.shape(hand["keypoints_3d"]) == (21, 3)


@pytest.fixture(scope="module")
def chromium():
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    flags = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags.append("--no-sandbox")  # which Chromium does not start with for root
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=flags)
        yield browser
        browser.close()


@pytest.fixture(params=[(1280, 900, "light"), (390, 844, "dark")], ids=["desktop", "phone"])
def page(request, chromium, command):
    """The page, and what is wrong on it: errors of scripts, and what the policy forbids."""
    width, height, scheme = request.param
    size = {"width": width, "height": height}
    page = chromium.new_page(viewport=size, color_scheme=scheme)
    wrong = []
    page.on("pageerror", wrong.append)
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.goto(f"http://127.0.0.1:{command[1]}/")
    yield page
    assert not [w for w in map(str, wrong) if "422" not in w]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


def colours(page, selector):
    """Returns how many colours a canvas shows, 0 for one that nothing was drawn on."""
    read = (
        "c => new Set(new Uint32Array(c.getContext('2d')"
        ".getImageData(0, 0, c.width, c.height).data.buffer)).size"
    )
    return page.locator(selector).first.evaluate(read)


def test_photos_on_the_page(page, photo, tmp_path):
    from playwright.sync_api import expect

    (tmp_path / "text.jpg").write_text("no image")
    page.set_input_files("#files", [photo, tmp_path / "text.jpg"])
    expect(page.locator("#status")).to_have_text("1 hand in 1 photo.")
    expect(page.get_by_role("alert")).to_have_text("text.jpg: not a JPEG, PNG or WebP image")
    expect(page.locator("figcaption")).to_contain_text("right hand")
    assert colours(page, ".photo") > 1000
    hand = page.get_by_role("img", name="right hand in 3D")
    before = hand.screenshot()
    assert colours(page, ".skeleton") > 10
    hand.focus()
    page.keyboard.press("ArrowRight")
    assert hand.screenshot() != before
    page.select_option("#handedness", "left")
    page.set_input_files("#files", photo)
    expect(page.locator("figcaption").first).to_contain_text("left hand")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download JSON").click()
    saved = json.loads(Path(download.value.path()).read_text())
    assert download.value.suggested_filename == "predictions.json"
    assert [image["hands"][0]["handedness"] for image in saved["images"]] == ["left", "right"]
    assert len(saved["meta"]["joints"]) == 21
    page.get_by_role("button", name="Remove all").click()
    expect(page.locator("article")).to_have_count(0)


def test_the_skeleton_lies_where_the_numbers_say(page, photo):
    from playwright.sync_api import expect

    with page.expect_response("**/predict?*") as answer:
        page.set_input_files("#files", photo)
    expect(page.locator("article")).to_have_count(1)
    (image,) = answer.value.json()["images"]
    joints = np.array(image["hands"][0]["keypoints_2d"])
    inside = (joints > 0).all(1) & (joints < [image["width"] - 1, image["height"] - 1]).all(1)
    tip = max(joint for joint in range(21) if inside[joint])  # drawn last
    read = "(c, [x, y]) => [...c.getContext('2d').getImageData(x * c.width, y * c.height, 1, 1).data]"
    place = (joints[tip] + 0.5) / [image["width"], image["height"]]
    shown = page.locator(".photo").evaluate(read, place.tolist())
    wanted = page.evaluate("joint => HAND.colors[joint]", int(tip))
    assert bytes(shown[:3]).hex() == wanted[1:]


def test_the_camera_on_the_page(page):
    from playwright.sync_api import expect

    page.get_by_role("button", name="Use camera").click()
    page.get_by_role("button", name="Take photo").click()
    expect(page.locator("article")).to_have_count(1)
    assert colours(page, ".photo") > 3
    with page.expect_response("**/predict?*"):
        page.get_by_label("Keep looking").check()
    with page.expect_response("**/predict?*"):
        pass  # and again, without being asked
    expect(page.locator("article")).to_have_count(2)
    page.get_by_role("button", name="Stop camera").click()
    expect(page.locator("#viewfinder")).to_be_hidden()


def test_a_program_that_is_gone_is_told(page, photo):
    from playwright.sync_api import expect

    page.route("**/predict?*", lambda route: route.abort())
    page.set_input_files("#files", photo)
    expect(page.get_by_role("alert")).to_contain_text("does it still run")
    page.evaluate("console.clear()")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_without_an_error(finder, tmp_path, monkeypatch, capsys, number):
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
            connection.recv(1)
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
