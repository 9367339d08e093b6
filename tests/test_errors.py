import errno

import av
import pytest

from peclr_jax import errors

FULL = OSError(errno.ENOSPC, "No space left on device", "/data/run/train.log")


# As TensorStore, TensorFlow, ArrayRecord, safetensors (in Rust, twice) and FFmpeg say it.
FOREIGN = (
    (
        ValueError(
            'OUT_OF_RANGE: Error writing "params/0" in OCDBT database at local file "/d/run": '
            'Failed writing: "/d/run/7988": Failed to write 9 bytes to file 20: File too large '
            "[os_error_code='27', x='1']"
        ),
        "/d/run/7988 may not grow",
    ),
    (
        RuntimeError("{{node SaveV2}} /d/v.index; No space left on device [Op:SaveV2]"),
        "is full (/d/v.index)",
    ),
    (
        RuntimeError("/d/saved_model.pb.tmp1; Input/output error"),
        "/d/saved_model.pb.tmp1 cannot be rea",
    ),
    (
        RuntimeError(
            "finalize: write() failed: Disk quota exceeded; writing /d/a; at byte 9; Failed"
        ),
        "is full (/d/a)",
    ),
    (
        RuntimeError("Error: No such device (os error 19)"),
        "a file in run cannot be reached now (ENODEV",
    ),
    (
        RuntimeError('IoError(Os { code: 28, kind: StorageFull, message: "No space" })'),
        "run is full",
    ),
    (av.error.FFmpegError(28, "No space left on device", "/d/film.mp4"), "is full (/d/film.mp4)"),
)


def caused(cause):
    error = RuntimeError("saving failed")
    error.__cause__ = cause
    return error


def beside(context):
    error = ValueError("another")
    error.__context__, error.__suppress_context__ = context, True
    return error


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (FULL, "the disk that holds run is full (/data/run/train.log): free some space and go on"),
        (ValueError("No space left on device [os_error_code='28']"), "run is full"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/data/hands.jpg"),
            "/data/hands.jpg may not be opened (EACCES): see to its rights and go on",
        ),
        (
            caused(OSError(errno.EROFS, "Read-only file system", "x")),
            "may not be written to (EROFS)",
        ),
        (OSError(errno.ESTALE, "Stale file handle", "x"), "x cannot be reached now (ESTALE)"),
        (OSError(errno.EFBIG, "File too large"), "a file in run may not grow any larger (EFBIG)"),
        (OSError(errno.ENOTCONN, "x", "/fuse/a"), "/fuse/a cannot be reached now (ENOTCONN)"),
        *((error, sentence) for error, sentence in FOREIGN),
    ],
)
def test_faults_of_the_machine_are_explained(error, sentence):
    assert errors.is_machine_fault(error)
    assert sentence in errors.explain_machine_fault(error, "run", "go on")


@pytest.mark.parametrize("name", ["EIO", "ENOTCONN", "EHOSTDOWN", "ENODEV", "EREMOTEIO", "ENOLCK"])
def test_any_code_of_the_system_is_of_the_machine(name):
    error = caused(OSError(getattr(errno, name), "words", "x"))
    assert errors.is_machine_fault(error)
    assert f"cannot be reached now ({name})" in errors.explain_machine_fault(error, "run", "go on")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("another"),
        beside(FULL),
        FileNotFoundError(errno.ENOENT, "none", "x"),
        OSError(errno.EINVAL, "Invalid argument"),  # of a place in a damaged file
        av.error.InvalidDataError(1094995529, "Invalid data found"),
        ValueError("a note; No space left on device, says a label"),
    ],
)
def test_other_errors_are_not_of_the_machine(error):
    assert not errors.is_machine_fault(error)


def test_a_field_and_its_problem_make_a_sentence():
    error = errors.FieldError("model.width", "is 0, but must be positive")
    assert str(error) == "model.width is 0, but must be positive"
    assert (error.field, error.problem) == ("model.width", "is 0, but must be positive")


def test_similar_names_are_told():
    assert errors.nearest("temprature", ["temperature", "chunk"]) == "; did you mean 'temperature'?"
    assert errors.nearest("x", ["temperature"]) == ""


@pytest.mark.parametrize("kind", [errors.UserError, errors.MachineError, errors.MissingFileError])
def test_of_an_endless_message_both_ends_stay(kind):
    told = str(kind(f"a.zip is broken ({'x' * 100_000}): fetch it again"))
    assert len(told) < 1300
    assert told.startswith("a.zip is broken")
    assert told.endswith("fetch it again")
    assert str(kind("a.zip is broken: fetch it again")) == "a.zip is broken: fetch it again"


def test_what_libraries_wrap_is_told_as_it_was():
    with (
        pytest.raises(errors.MissingFileError, match=r"^a.jpg is gone$"),
        errors.explaining("d", "x"),
    ):
        raise caused(errors.MissingFileError("a.jpg is gone"))
    with pytest.raises(errors.MachineError, match="d is full"), errors.explaining("d", "go on"):
        raise FULL
    for bug in (KeyError("bug"), ValueError("bug")):
        with pytest.raises(type(bug), match="bug"), errors.explaining("d", "go on"):
            raise bug
    assert errors.explain(KeyError("bug"), "d", "go on") is None
    absent = FileNotFoundError(errno.ENOENT, "No such file or directory", "/d/x")
    told = "/d/x cannot be read or written (No such file or directory): see to it and go on"
    assert errors.explain(absent, "d", "go on") == told
