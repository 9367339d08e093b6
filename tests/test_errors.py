import errno

import pytest

from peclr_jax import errors

FULL = OSError(errno.ENOSPC, "No space left on device", "/data/run/train.log")


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
    "error", [ValueError("another"), beside(FULL), FileNotFoundError(errno.ENOENT, "none", "x")]
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
