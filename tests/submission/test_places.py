"""Where the server is looked for: as its own reading of the configuration says."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smtpd_classic.cli import DEFAULT_CONFIG as DEFAULT_OF_THE_COMMAND
from smtpd_classic.config import ConfigProblems, load, parse
from smtpd_classic.config.schema import Server
from smtpd_classic.submission.places import DEFAULT_CONFIG, RUN_FOLDER, SPOOL_FOLDER, NotReadable, places

TEXTS = {
    "nothing": "[server]\nprimary_domain = example.org\n",
    "absolute": "[server]\nprimary_domain = example.org\nrun_folder = /a/run\nspool_folder=/a/spool\n",
    "relative": "[server]\nrun_folder = run\nprimary_domain = example.org\nspool_folder = ../spool\n",
    "blanks": "[ server ]\nprimary_domain = example.org\nrun_folder  =   /a b/c   \n",
    "comments": "# [server]\n[server]\n# run_folder = /x\n; spool_folder = /y\nprimary_domain = example.org\n",
    "another section": "[server]\nprimary_domain = example.org\n[basic]\nhelo_name = a.example\n",
    "CR LF": "[server]\r\nprimary_domain = example.org\r\nrun_folder = /a/run\r\n",
    "a mark of the byte order": "\ufeff[server]\nprimary_domain = example.org\nrun_folder = /a/run\n",
    "a sign of equality in the value": "[server]\nprimary_domain = example.org\nrun_folder = /a=b\n",
}


def agree(path: Path) -> None:
    server = load(path).server
    found = places(str(path))
    assert (found.config, found.socket, found.spool) == (str(path), f"{server.run_folder}/submit", server.spool_folder)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_both_readings_agree(text: str, tmp_path: Path) -> None:
    path = tmp_path / "conf"
    path.write_bytes(text.encode() + b"[listener smtp]\nport = 2525\n")
    path.chmod(0o600)
    agree(path)


LINES = st.lists(
    st.sampled_from(["run_folder", "spool_folder", "users_file", "# run_folder", ";spool_folder"]).flatmap(
        lambda name: st.text("abc/. =#;ä", min_size=1, max_size=12).map(lambda value: f"{name} = {value}")
    ),
    max_size=5,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(LINES)
def test_whatever_the_server_accepts_both_read_alike(tmp_path: Path, lines: list[str]) -> None:
    text = "\n".join(["[server]", "primary_domain = example.org", *lines, "[listener smtp]", "port = 2525", ""])
    path = tmp_path / "conf"
    path.write_text(text, encoding="utf-8")
    try:
        server = parse(text, path).server
    except ConfigProblems:
        return
    found = places(str(path))
    assert (found.socket, found.spool) == (os.path.join(server.run_folder, "submit"), server.spool_folder)


@pytest.mark.parametrize("line", ["[basic]\nrun_folder = /x", "  run_folder = /x", "run_folder =", "run_folder"])
def test_what_is_no_such_option_is_passed_over(line: str, tmp_path: Path) -> None:
    path = tmp_path / "conf"
    path.write_text(f"[server]\n{line}\n")
    assert places(str(path)).socket == "/run/smtpd-classic/submit"


def test_the_usual_places_are_those_of_the_server() -> None:
    assert DEFAULT_CONFIG == DEFAULT_OF_THE_COMMAND
    server = Server(primary_domain="example.org")
    assert (server.run_folder, server.spool_folder) == (RUN_FOLDER, SPOOL_FOLDER)


def test_who_may_not_read_the_usual_file_gets_the_usual_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SMTPD_CLASSIC_CONFIG", raising=False)
    monkeypatch.setattr("smtpd_classic.submission.places.DEFAULT_CONFIG", "/nowhere/smtpd-classic.conf")
    found = places()
    assert (found.socket, found.spool) == ("/run/smtpd-classic/submit", "/var/spool/smtpd-classic")


def test_the_flag_goes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("flag", "environment"):
        (tmp_path / name).write_text(f"[server]\nspool_folder = /{name}\n")
    monkeypatch.setenv("SMTPD_CLASSIC_CONFIG", str(tmp_path / "environment"))
    assert places().spool == "/environment"
    assert places(str(tmp_path / "flag")).spool == "/flag"


def test_a_file_that_was_named_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTPD_CLASSIC_CONFIG", "/nowhere.conf")
    with pytest.raises(NotReadable, match=r"^/nowhere\.conf cannot be read: No such file or directory$"):
        places()


def test_a_large_file_takes_no_time(tmp_path: Path) -> None:
    path = tmp_path / "conf"
    path.write_text("[server]\nspool_folder = /a\n" + "[replace a@b.example]\naddresses = c@d.example\n" * 50_000)
    began = time.monotonic()
    assert places(str(path)).spool == "/a"
    assert time.monotonic() - began < 2
