"""The bounds bind: what is tested within them would fail without the program's own care."""

import pytest

from tests.faults import bounded


def ran(tmp_path, program: str, **bounds) -> bounded.Ended:
    path = tmp_path / "program.py"
    path.write_text(program)
    return bounded.run([path], **bounds)


def test_memory_is_bounded(tmp_path):
    ended = ran(tmp_path, "bytes(3 * 2**30)")
    assert ended.code == 1
    assert "MemoryError" in ended.output


def test_time_is_bounded(tmp_path):
    with pytest.raises(TimeoutError):
        ran(tmp_path, "while True: pass", seconds=1)


def test_files_are_bounded(tmp_path):
    ended = ran(
        tmp_path,
        "with open('large', 'wb') as file: file.write(bytes(2000))",
        file_size=1000,
        cwd=tmp_path,
    )
    assert ended.code == 1
    assert "File too large" in ended.output


def test_one_sentence_is_told_from_a_traceback(tmp_path):
    assert ran(tmp_path, "print('error: it'); raise SystemExit(2)").is_one_sentence
    assert not ran(tmp_path, "print('error: it'); raise ValueError").is_one_sentence


def test_arguments_reach_a_module(tmp_path):
    ended = bounded.run(["-m", "json.tool", "--help"], cwd=tmp_path)
    assert ended.code == 0
    assert "usage" in ended.output
    assert not ended.is_one_sentence
