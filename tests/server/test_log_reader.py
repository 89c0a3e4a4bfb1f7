"""Reading a log: from its end, on from there, and over a rotation."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd_classic import log_reader
from smtpd_classic.log_reader import LogFollower, last_lines, lines
from tests.waiting import until


def every(line: str) -> bool:
    return True


@pytest.mark.parametrize("number", [0, 1, 2, 3, 10])
@pytest.mark.parametrize("text", ["", "one\n", "one\ntwo\nthree\n", "one\ntwo\nthree", "\n\none\n\ntwo\n"])
def test_the_last_lines(tmp_path: Path, text: str, number: int) -> None:
    path = tmp_path / "log"
    path.write_text(text)
    expected = [line for line in text.split("\n") if line]
    assert last_lines(str(path), number, every) == (expected[-number:] if number else [])


def test_the_last_lines_of_a_long_file_are_found_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("".join(f"line {number} {'x' * (number % 90)}\n" for number in range(20_000)))
    assert [line.split()[1] for line in last_lines(str(path), 1500, every)] == [str(n) for n in range(18_500, 20_000)]
    assert [line.split()[1] for line in last_lines(str(path), 3, lambda line: " 7 " in line)] == ["7"]
    assert len(last_lines(str(path), 50_000, every)) == 20_000


@given(st.lists(st.text(st.characters(blacklist_characters="\n\r", blacklist_categories=["Cs"]), min_size=1)))
def test_every_line_comes_back(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    path.write_text("".join(text + "\n" for text in texts), encoding="utf-8", newline="")
    assert last_lines(str(path), 10_000, every) == texts
    assert list(lines(str(path))) == texts


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * (4 << 20) + b"\nlast\n")
    assert last_lines(str(path), 1, every) == ["last"]
    assert max(map(len, lines(str(path)))) <= 65536


def test_no_file(tmp_path: Path) -> None:
    assert list(lines(str(tmp_path / "none"))) == []
    with pytest.raises(FileNotFoundError):
        last_lines(str(tmp_path / "none"), 1, every)


def test_following(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    follower = LogFollower(str(path))
    assert follower.read() == []
    with path.open("a") as file:
        file.write("one\ntw")
        file.flush()
        assert follower.read() == ["one"]
        file.write("o\n")
        file.flush()
        assert follower.wait() == ["two"]
        file.write("last of the old file\n")
    path.rename(tmp_path / "log.1")
    path.write_text("first of the new one\n")
    assert until(follower.read) == ["last of the old file"]
    assert until(follower.read) == ["first of the new one"]
    path.write_text("")
    assert follower.read() == []
    path.write_text("after it was emptied\n")
    assert until(follower.read) == ["after it was emptied"]
    follower.close()


def test_a_file_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    follower = LogFollower(str(tmp_path / "log"))
    assert follower.read() == []
    (tmp_path / "log").write_text("here\n")
    assert until(follower.read) == ["here"]
    follower.close()


def test_all_is_exported() -> None:
    assert set(log_reader.__all__) == {"LogFollower", "last_lines", "lines"}
