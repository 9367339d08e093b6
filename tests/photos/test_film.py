"""Films written and read again; those that are damaged, turned, or none."""

import struct
import sys
from fractions import Fraction

import av
import numpy as np
import pytest

from peclr_jax.errors import UserError
from peclr_jax.photos import read
from peclr_jax.photos.film import Fault, describe_film, read_frames, writing_film

TIMES = [0.0, 0.1, 0.25, 0.3, 0.4, 0.6]
IDENTITY = bytes.fromhex("00010000" + "00" * 12 + "00010000" + "00" * 12 + "40000000")
# As phones write that are held upright: to be turned clockwise by a right angle.
UPRIGHT = bytes.fromhex("00000000" + "00010000" + "00" * 4 + "ffff0000" + "00" * 16 + "40000000")


def pictures(width=64, height=48, count=6):
    """A red square in the top left corner, and grey that grows brighter."""
    for number in range(count):
        image = np.full((height, width, 3), 20 * number, np.uint8)
        image[:16, :16] = (250, 0, 0)
        yield image


def save(path, *, times=TIMES, **size):
    images = list(pictures(count=len(times), **size))
    height, width, _ = images[0].shape
    with writing_film(path, (width, height), Fraction(10)) as add:
        for image, time in zip(images, times, strict=True):
            add(image, time)
    return path


def test_what_is_written_is_read(tmp_path):
    film = describe_film(save(tmp_path / "film.mp4"))
    frames = list(read_frames(film))
    assert film.frames == len(frames) == len(TIMES)
    assert [frame.number for frame in frames] == list(range(len(TIMES)))
    np.testing.assert_allclose([frame.time for frame in frames], TIMES, atol=1e-3)
    for frame, image in zip(frames, pictures(), strict=True):
        assert np.abs(frame.image.astype(int) - image).mean() < 8


def test_odd_sides_are_padded(tmp_path):
    frame = next(read_frames(describe_film(save(tmp_path / "film.mp4", width=63, height=47))))
    assert frame.image.shape == (48, 64, 3)


def test_times_that_do_not_grow_are_moved(tmp_path):
    film = describe_film(save(tmp_path / "film.mp4", times=[0.0, 0.1, 0.1, 0.05]))
    assert len(list(read_frames(film))) == 4


def test_films_of_phones_are_turned_upright(tmp_path):
    path = save(tmp_path / "film.mp4")
    content = path.read_bytes()
    at = content.index(IDENTITY, content.index(b"tkhd"))
    path.write_bytes(content[:at] + UPRIGHT + content[at + len(UPRIGHT) :])
    frame = next(read_frames(describe_film(path)))
    assert frame.image.shape == (64, 48, 3)
    assert frame.image[5, -5, 0] > 200 > 50 > frame.image[5, 5, 0]


def matrix(a, b, c, d):
    return struct.pack(">9i", *(round(65536 * x) for x in (a, b, 0, c, d, 0, 0, 0)), 0x40000000)


def with_matrix(folder, noted):
    content = save(folder / "film.mp4").read_bytes()
    at = content.index(IDENTITY, content.index(b"tkhd"))
    path = folder / "turned.mp4"
    path.write_bytes(content[:at] + noted + content[at + len(noted) :])
    return path


@pytest.mark.parametrize(
    ("noted", "corner"),
    [
        ((1, 0, 0, 1), "top left"),
        ((0, 1, -1, 0), "top right"),
        ((-1, 0, 0, -1), "bottom right"),
        ((0, -1, 1, 0), "bottom left"),
        # Mirrored, as by cameras that show the person who holds them.
        ((-1, 0, 0, 1), "top right"),
        ((1, 0, 0, -1), "bottom left"),
        ((0, 1, 1, 0), "top left"),
        ((0, -1, -1, 0), "bottom right"),
        # Twice as large, which players do not heed either.
        ((2, 0, 0, 2), "top left"),
    ],
)
def test_films_are_turned_and_mirrored_as_noted(tmp_path, noted, corner):
    film = describe_film(with_matrix(tmp_path, matrix(*noted)))
    image = next(read_frames(film)).image
    assert film.remarks == ()
    assert image.shape == ((48, 64, 3) if noted[0] else (64, 48, 3))
    down, right = (-5 if side in ("bottom", "right") else 5 for side in corner.split())
    assert image[down, right, 0] > 200 > 50 > image[-down, -right, 0]


@pytest.mark.parametrize(
    "noted",
    [bytes(36), b"\x7f" * 36, matrix(0.7, 0.7, -0.7, 0.7), matrix(0.98, 0.17, -0.17, 0.98)],
    ids=["zero", "largest", "45 degrees", "10 degrees"],
)
def test_other_turns_are_ignored_and_said(tmp_path, noted):
    film = describe_film(with_matrix(tmp_path, noted))
    assert "turn" in film.remarks[0]
    assert next(read_frames(film)).image.shape == (48, 64, 3)


@pytest.mark.parametrize(("scale", "rate"), [(1, 10**9), (10**9, 1), (1, 20_000)])
def test_impossible_rates_are_ignored_and_said(tmp_path, scale, rate):
    noise(tmp_path / "film.avi")
    content = (tmp_path / "film.avi").read_bytes()
    at = content.index(b"strh") + 28
    path = tmp_path / "odd.avi"
    path.write_bytes(content[:at] + struct.pack("<II", scale, rate) + content[at + 8 :])
    film = describe_film(path)
    assert "frames a second" in film.remarks[0]
    times = [frame.time for frame in read_frames(film)]
    assert len(times) == 20
    np.testing.assert_allclose(np.diff(times), 1 / float(film.rate))
    assert 1 <= film.rate <= 100


def test_without_its_library_films_are_refused(tmp_path, monkeypatch):
    path = save(tmp_path / "film.mp4")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match="pip install av"):
        describe_film(path)


def test_a_number_of_frames_that_cannot_be_is_unknown(tmp_path):
    noise(tmp_path / "film.avi")
    content = (tmp_path / "film.avi").read_bytes()
    path = tmp_path / "odd.avi"
    for name, after in ((b"avih", 24), (b"strh", 40)):
        at = content.index(name) + after
        content = content[:at] + struct.pack("<I", 2**31 - 1) + content[at + 4 :]
    path.write_bytes(content)
    film = describe_film(path)
    assert film.frames is None or film.frames <= len(content)
    assert [frame.number for frame in read_frames(film)] == list(range(20))


def test_pixels_that_are_no_squares_are_said(tmp_path):
    for name, ratio in (("square", Fraction(1)), ("wide", Fraction(4, 3))):
        path = tmp_path / f"{name}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.codec_context.sample_aspect_ratio = ratio
            picture = np.zeros((48, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
        remarks = describe_film(path).remarks
        assert ["4/3 times as wide" in remark for remark in remarks] == [True] * (ratio != 1)


def test_too_large_films_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(read, "MOST_PIXELS", 64 * 47)
    with pytest.raises(UserError, match=r"64x48 px.*ffmpeg"):
        describe_film(save(tmp_path / "film.mp4"))


def noise(path, ticks=range(20), *, rate=Fraction(10), b_frames=0, sound=0.0, **settings):
    """Writes a film of noise, a frame at each tick of a clock, and seconds of silence."""
    generator = np.random.default_rng(0)
    with av.open(str(path), "w", **settings) as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.max_b_frames = b_frames
        silence = container.add_stream("aac", rate=44100) if sound else None
        for tick in ticks:
            image = generator.integers(0, 256, (48, 64, 3), np.uint8)
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            picture.pts, picture.time_base = tick, 1 / rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
        if silence:
            write_silence(container, silence, sound)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_the_frames_before_a_fault_are_kept(tmp_path, suffix):
    path = tmp_path / f"film.{suffix}"
    noise(path, options={"movflags": "faststart"} if suffix == "mp4" else {})
    assert len(list(read_frames(describe_film(path)))) == 20
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    *frames, fault = read_frames(describe_film(path))
    assert isinstance(fault, Fault)
    assert 2 < len(frames) == fault.frames < 15


def frames_of(path):
    """Returns the frames, of which the last may be a fault, and their number as it is said."""
    film = describe_film(path)
    return list(read_frames(film)), film.frames


def is_damaged_if_cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return isinstance(frames_of(path)[0][-1], Fault)


@pytest.mark.parametrize("rate", [Fraction(2), Fraction(1), Fraction(1, 5)])
def test_the_last_frame_of_a_slow_film_lasts_long(tmp_path, rate):
    noise(tmp_path / "film.mkv", rate=rate)
    frames, _ = frames_of(tmp_path / "film.mkv")
    assert [frame.time for frame in frames] == [number / rate for number in range(20)]
    assert is_damaged_if_cut(tmp_path / "film.mkv")


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "avi"])
def test_sound_may_last_longer(tmp_path, suffix):
    noise(tmp_path / f"film.{suffix}", sound=4.0)
    frames, _ = frames_of(tmp_path / f"film.{suffix}")
    assert [frame.number for frame in frames] == list(range(20))


def test_films_with_sound_are_damaged_if_they_are_cut(tmp_path):
    noise(tmp_path / "film.mkv", sound=4.0)
    assert is_damaged_if_cut(tmp_path / "film.mkv")


@pytest.mark.parametrize("b_frames", [0, 2])
def test_what_an_edit_list_cuts_off_is_not_missing(tmp_path, b_frames):
    path = tmp_path / "film.mp4"
    noise(path, b_frames=b_frames, options={"movflags": "faststart"})
    content = bytearray(path.read_bytes())
    at = content.index(b"elst") + 12
    (duration,) = struct.unpack(">I", content[at : at + 4])
    content[at : at + 4] = struct.pack(">I", duration // 2)
    path.write_bytes(content)
    frames, said = frames_of(path)
    assert [frame.number for frame in frames] == list(range(10))
    assert said == 10
    path.write_bytes(content[: len(content) // 3])
    assert isinstance(frames_of(path)[0][-1], Fault)


def test_frames_that_repeat_the_last_one_are_not_missing(tmp_path):
    ticks = [0, 1, 2, 5, 6, 7, 12, 13, 14, 15]
    noise(tmp_path / "film.avi", ticks)
    frames, _ = frames_of(tmp_path / "film.avi")
    np.testing.assert_allclose([frame.time for frame in frames], np.array(ticks) / 10)
    assert is_damaged_if_cut(tmp_path / "film.avi")


def test_times_of_avi_grow_whatever_the_order_of_its_packets(tmp_path):
    path = tmp_path / "film.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.options = {"x264-params": "bframes=3:b-adapt=0"}
        for number, image in enumerate(pictures(count=12)):
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            picture.pts = number
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    frames, said = frames_of(path)
    assert len(frames) == said == 12
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(12) / 10, atol=1e-6)
    levels = [frame.image[-5, -5, 0].astype(int) for frame in frames]
    assert levels == sorted(levels)


def test_empty_frames_are_not_missing(tmp_path):
    path = tmp_path / "film.mp4"
    noise(path)
    content = bytearray(path.read_bytes())
    at = content.index(b"stsz") + 16
    *before, second_last, last = struct.unpack(">20I", content[at : at + 80])
    content[at : at + 80] = struct.pack(">20I", *before, 0, second_last + last)
    path.write_bytes(content)
    frames, _ = frames_of(path)
    assert [frame.number for frame in frames] == list(range(19))


def write_silence(container, stream, seconds):
    for start in range(0, round(44100 * seconds), 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = 44100, start
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def sound(path):
    with av.open(str(path), "w") as container:
        write_silence(container, container.add_stream("aac", rate=44100), 0.02)


def test_sound_alone_is_no_film(tmp_path):
    sound(tmp_path / "sound.mp4")
    with pytest.raises(UserError, match="no video stream"):
        describe_film(tmp_path / "sound.mp4")


@pytest.mark.parametrize("content", [b"", b"no film", b"#EXTM3U\n#EXTINF:1\nother.mp4\n"])
def test_other_files_are_no_films(tmp_path, content):
    """A playlist would name other files, also of the network."""
    save(tmp_path / "other.mp4")
    path = tmp_path / "film.mp4"
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot be opened as a film"):
        describe_film(path)


def test_a_film_that_fails_is_absent(tmp_path):
    with pytest.raises(ValueError):
        save(tmp_path / "film.mp4", times=[0.0, 0.1, float("nan")])
    assert not list(tmp_path.iterdir())
