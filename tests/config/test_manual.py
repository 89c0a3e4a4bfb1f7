"""The generated files: in step with the declarations, readable by their programs, and true."""

import subprocess
from pathlib import Path

import pytest

from smtpd_classic.config import check, load, parse
from smtpd_classic.config.document import scan
from smtpd_classic.config.manual import EXAMPLES, generated, main, manual
from smtpd_classic.config.sample import sample
from smtpd_classic.config.schema import SECTIONS
from tests.tools import need

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", generated(ROOT), ids=lambda path: path.name)
def test_generated_file_is_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == generated(ROOT)[path], "run python -m smtpd_classic.config.manual"


def test_files_are_written_where_one_says(tmp_path: Path) -> None:
    main(tmp_path)
    assert {path: path.read_text(encoding="utf-8") for path in tmp_path.glob("*/*")} == generated(tmp_path)


def test_sample_is_a_server_on_the_three_usual_ports(tmp_path: Path) -> None:
    file = tmp_path / "smtpd-classic.conf"
    file.write_text(sample())
    config = load(file)
    assert config.server.primary_domain == "example.org"
    assert [(listener.port, listener.tls, listener.auth) for listener in config.listeners] == [
        (25, "starttls", "none"),
        (587, "starttls", "required"),
        (465, "implicit", "required"),
    ]
    assert check(config) == ()


def test_every_commented_line_of_the_sample_is_a_right_one() -> None:
    """Without its “# ”, each setting loads; so an administrator who takes it away changes nothing by that."""
    text = "".join(
        line.removeprefix("# ") if scan_of_setting(line) else line for line in sample().splitlines(keepends=True)
    )
    whole = parse(text, "/etc/x.conf")
    more_listeners = 3 + 4  # lines of the two that set only what they need
    assert len(whole.lines) == sum(len(section.options()) + 1 for section in SECTIONS) + more_listeners
    assert check(whole) == ()
    bare = parse(sample(), "/etc/x.conf")
    assert (whole.basic, whole.remote, whole.access, whole.server) == (
        bare.basic,
        bare.remote,
        bare.access,
        bare.server,
    )


def scan_of_setting(line: str) -> bool:
    names = {option.name for section in SECTIONS for option in section.options()}
    bare = line.removeprefix("# ")
    return line.startswith("# ") and (bare.partition(" =")[0] in names or bare.startswith("["))


def test_sample_and_manual_explain_every_option() -> None:
    file, page = sample(), manual()
    unbroken = file.replace("\n# ", " ")
    for section in SECTIONS:
        for option in section.options():
            assert f"{option.name} =" in file
            assert f".It Ic {option.name} Li = Ar" in page
            assert f"{option.label}: {option.doc}" in unbroken


@pytest.mark.parametrize(("title", "text"), EXAMPLES)
def test_example_of_the_manual_is_sound(title: str, text: str) -> None:
    assert title.endswith(":")
    assert scan(text).complaints == ()
    assert check(parse(text, "/etc/smtpd-classic/smtpd-classic.conf")) == ()


def test_manual_is_good_mdoc() -> None:
    page = str(ROOT / "man" / "smtpd-classic.conf.5")
    lint = subprocess.run(
        [need("mandoc"), "-T", "lint", "-W", "warning", page], capture_output=True, text=True, check=False
    )
    assert (
        lint.stdout,
        lint.stderr.replace("mandoc: outdated mandoc.db lacks aliases(5) entry, run makewhatis /usr/share/man\n", ""),
    ) == ("", "")
    groff = subprocess.run(
        [need("groff"), "-mdoc", "-ww", "-Tutf8", "-z", page], capture_output=True, text=True, check=False
    )
    assert (groff.stdout, groff.stderr) == ("", "")


def test_manual_is_plain_ascii() -> None:
    assert manual().isascii()
