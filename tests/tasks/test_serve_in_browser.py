"""The command and its page from end to end, in Chromium: with a tiny network and real photos."""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def photo(shared):
    return shared / "fixtures" / "hands_unlabelled" / "wilor_test1.jpg"


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
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=120)[0]
    assert process.returncode == 0, rest
    assert "Traceback" not in rest


def post(port, content):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/predict?name=hand.jpg", content)
    answer = connection.getresponse()
    found = answer.status, json.load(answer)
    connection.close()
    return found


def test_the_command_answers(command, photo):
    status, answer = post(command[1], photo.read_bytes())
    assert status == 200
    assert np.shape(answer["images"][0]["hands"][0]["keypoints_2d"]) == (21, 2)
    status, answer = post(command[1], b"no image")
    assert status == 422
    assert answer["error"].startswith("hand.jpg: not a JPEG, PNG or WebP image")


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
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.goto(f"http://127.0.0.1:{command[1]}/")
    yield page
    # The browser notes answers that are refusals, and that there is none.
    assert not [w for w in wrong if "422" not in w and "ERR_FAILED" not in w]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


@pytest.fixture
def expect(chromium):
    from playwright.sync_api import expect

    return expect


def colours(page, selector):
    """Returns how many colours a canvas shows, 0 for one that nothing was drawn on."""
    read = (
        "c => new Set(new Uint32Array(c.getContext('2d')"
        ".getImageData(0, 0, c.width, c.height).data.buffer)).size"
    )
    return page.locator(selector).first.evaluate(read)


def test_photos_on_the_page(page, expect, photo, tmp_path):
    (tmp_path / "text.jpg").write_text("no image")
    page.set_input_files("#files", [photo, tmp_path / "text.jpg"])
    expect(page.locator("#status")).to_have_text("1 hand in 1 photo.")
    expect(page.get_by_role("alert")).to_contain_text("text.jpg: not a JPEG, PNG or WebP image")
    expect(page.locator("figcaption")).to_contain_text("right hand")
    assert colours(page, ".photo") > 1000
    hand = page.get_by_role("img", name="right hand in 3D")
    before = hand.evaluate("canvas => canvas.toDataURL()")
    assert colours(page, ".skeleton") > 10
    hand.focus()
    page.keyboard.press("ArrowRight")
    assert hand.evaluate("canvas => canvas.toDataURL()") != before
    page.keyboard.press("Home")
    assert hand.evaluate("canvas => canvas.toDataURL()") == before
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
    expect(page.locator("#files")).to_be_focused()


def test_the_focus_goes_to_the_next_photo(page, expect, photo, tmp_path):
    for name in ("a.jpg", "b.jpg"):
        shutil.copy(photo, tmp_path / name)
    page.set_input_files("#files", [tmp_path / "a.jpg", tmp_path / "b.jpg"])
    expect(page.locator("article")).to_have_count(2)
    page.get_by_role("button", name="Remove b.jpg").press("Enter")
    expect(page.get_by_role("button", name="Remove a.jpg")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#files")).to_be_focused()


def test_photos_in_line_keep_their_side_and_may_be_gone(page, expect, tmp_path):
    asked = []
    page.route("**/predict?*", lambda route: asked.append(route))
    paths = [tmp_path / name for name in ("a.jpg", "gone.jpg", "b.jpg")]
    for path in paths:
        path.write_bytes(b"x")
    page.select_option("#handedness", "left")
    with page.expect_request("**/predict?*"):
        page.set_input_files("#files", paths)
    page.select_option("#handedness", "right")
    paths[1].unlink()
    with page.expect_request("**/predict?*") as last:
        asked[0].abort()
    assert last.value.url.endswith("name=b.jpg&handedness=left")
    expect(page.get_by_role("alert")).to_contain_text("gone.jpg cannot be read: is it a folder")
    asked[1].abort()
    expect(page.locator("#errors li")).to_have_count(3)


def test_hands_of_photos_that_browsers_do_not_show(page, expect, photo, tmp_path):
    with Image.open(photo) as image:
        image.save(tmp_path / "photo.tiff")
    page.set_input_files("#files", tmp_path / "photo.tiff")
    expect(page.locator("#status")).to_have_text("1 hand in 1 photo.")
    assert colours(page, ".photo") > 10
    assert colours(page, ".skeleton") > 10


def test_the_page_does_not_take_photos_without_end(page, expect):
    page.route("**/predict?*", lambda route: route.abort())
    photo = {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": b"x"}
    page.set_input_files("#files", [photo] * 203)
    expect(page.get_by_role("alert")).to_contain_text("3 of 203 photos left out")
    expect(page.locator("#errors li")).to_have_count(201, timeout=30_000)


def test_the_skeleton_lies_where_the_numbers_say(page, expect, command, photo):
    page.set_input_files("#files", photo)
    expect(page.locator("article")).to_have_count(1)
    (image,) = post(command[1], photo.read_bytes())[1]["images"]
    joints = np.array(image["hands"][0]["keypoints_2d"])
    inside = (joints > 0).all(1) & (joints < [image["width"] - 1, image["height"] - 1]).all(1)
    tip = max(joint for joint in range(21) if inside[joint])  # drawn last
    read = (
        "(c, [x, y]) => [...c.getContext('2d').getImageData(x * c.width, y * c.height, 1, 1).data]"
    )
    place = (joints[tip] + 0.5) / [image["width"], image["height"]]
    shown = page.locator(".photo").evaluate(read, place.tolist())
    wanted = page.evaluate("joint => HAND.colors[joint]", int(tip))
    assert bytes(shown[:3]).hex() == wanted[1:]


def test_the_camera_on_the_page(page, expect):
    asked = []
    page.on("request", lambda request: asked.append(request))
    page.locator("#snap").dispatch_event("click")  # before there is a picture
    page.wait_for_timeout(200)
    assert not asked
    page.get_by_role("button", name="Use camera").click()
    expect(page.get_by_role("button", name="Take photo")).to_be_focused()  # it shows something
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
    expect(page.get_by_role("button", name="Use camera")).to_be_focused()


def test_a_program_that_is_gone_is_told(page, expect, photo):
    page.route("**/predict?*", lambda route: route.abort())
    page.set_input_files("#files", photo)
    expect(page.get_by_role("alert")).to_contain_text("does it still run")
