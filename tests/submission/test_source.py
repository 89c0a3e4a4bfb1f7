"""A message from standard input, however it is cut into pieces."""

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd_classic.submission.source import StandardInput, read_message


def read(data: bytes, *, dot_ends: bool, cuts: list[int] | None = None) -> bytes:
    """What is understood, when the pipe is filled in these pieces."""
    reading, writing = os.pipe()

    def write() -> None:
        at = 0
        for cut in [*(cuts or []), len(data)]:
            os.write(writing, data[at : at + cut])
            at += cut
        os.write(writing, data[at:])
        os.close(writing)

    thread = threading.Thread(target=write)
    thread.start()
    source = read_message(reading, dot_ends=dot_ends)
    while os.read(reading, 65536):  # what stands behind the dot
        pass
    thread.join()
    os.close(reading)
    found = source.read(0, source.size + 1)
    assert len(found) == source.size
    return found


READ = {
    "text": (b"a\nb\n", b"a\nb\n"),
    "CR LF": (b"a\r\nb\r\n", b"a\nb\n"),
    "CR alone": (b"a\rb\r", b"a\rb\r"),
    "a dot ends it": (b"a\n.\nb\n", b"a\n"),
    "a dot with CR LF ends it": (b"a\r\n.\r\nb\r\n", b"a\n"),
    "a dot at the end": (b"a\n.", b"a\n"),
    "a dot at the beginning": (b".\na\n", b""),
    "only a dot": (b".", b""),
    "two dots are no end": (b"a\n..\nb\n", b"a\n..\nb\n"),
    "a dot in a line is no end": (b"a\n.b\nc.\n", b"a\n.b\nc.\n"),
    "no line end": (b"a\nb", b"a\nb"),
    "nothing": (b"", b""),
    "NUL": (b"a\0b\n", b"a\0b\n"),
}


@pytest.mark.parametrize(("data", "found"), READ.values(), ids=READ)
def test_a_dot_on_its_own_line_ends_the_message(data: bytes, found: bytes) -> None:
    assert read(data, dot_ends=True) == found


def test_with_the_flag_it_does_not() -> None:
    assert read(b"a\r\n.\r\nb\n.\n", dot_ends=False) == b"a\n.\nb\n.\n"


@given(st.text("a.\r\n", max_size=30).map(str.encode), st.lists(st.integers(1, 5), max_size=10), st.booleans())
def test_any_cut_of_the_octets_gives_the_same(data: bytes, cuts: list[int], dot_ends: bool) -> None:
    lines = data.replace(b"\r\n", b"\n")
    expected = lines
    if dot_ends:
        kept: list[bytes] = []
        for line in lines.splitlines(keepends=True) if b"\r" not in lines else _lines(lines):
            if line in {b".", b".\n"}:
                break
            kept.append(line)
        expected = b"".join(kept)
    assert read(data, dot_ends=dot_ends, cuts=cuts) == expected


def _lines(data: bytes) -> list[bytes]:
    """As splitlines(), but CR alone ends no line."""
    found = [line + b"\n" for line in data.split(b"\n")]
    found[-1] = found[-1][:-1]
    return found


def test_a_large_message_is_kept_in_a_file_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = StandardInput()
    pieces = [bytes([65 + number]) * 100_000 for number in range(25)]
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for piece in pieces:
        source.write(piece)
    assert os.readlink(f"/proc/self/fd/{source._fd}").startswith(str(tmp_path))
    whole = b"".join(pieces)
    assert source.read(0, len(whole) + 5) == whole
    assert source.read(1_050_000, 7) == whole[1_050_000:1_050_007]
    assert source.size == len(whole)
    assert os.listdir(tmp_path) == []


def test_where_there_are_no_nameless_files_it_is_kept_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/nowhere")
    source = StandardInput()
    source.write(b"x" * 2_000_000)
    assert source.read(1_999_999, 5) == b"x"


@pytest.mark.parametrize(("data", "eight_bit"), [(b"abc\n", False), (b"ab\xe4\n", True)])
def test_eight_bit_text_is_noticed(data: bytes, eight_bit: bool) -> None:
    source = StandardInput()
    source.write(b"first\n")
    source.write(data)
    source.write(b"last\n")
    assert source.eight_bit is eight_bit
