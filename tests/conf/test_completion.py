"""The completion for bash: up to date, and what it offers where."""

import subprocess
from pathlib import Path

import pytest

from smtpd_classic.completion import script
from tests.tools import need

FILE = Path(__file__).parents[2] / "conf" / "completion" / "smtpd-classic"


def offered(line: str) -> set[str]:
    """What bash offers at the end of the line."""
    words = line.split(" ")
    program = f'. "{FILE}"; COMP_WORDS=("$@"); COMP_CWORD={len(words) - 1}; _smtpd_classic; echo "${{COMPREPLY[*]}}"'
    command = [need("bash"), "-c", program, "bash", *words]
    return set(subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.split())


def test_it_is_as_the_parsers_are_now() -> None:
    assert FILE.read_text(encoding="utf-8") == script(), "“make generated” writes it"


@pytest.mark.parametrize(
    ("line", "some"),
    [
        ("smtpd-classic qu", {"queue"}),
        ("smtpd-classic --config /etc/queue us", {"user"}),
        (
            "smtpd-classic queue ",
            {
                *("list", "show", "retry", "hold", "release", "approve", "refuse", "delete", "flush", "hosts", "adopt"),
                "--help",
            },
        ),
        ("smtpd-classic queue list --st", {"--state"}),
        ("smtpd-classic queue list --state ", {"new", "active", "waiting", "held"}),
        ("smtpd-classic user status joe su", {"suspended"}),
        ("smtpd-classic config move ", {"up", "down", "--help"}),
        ("smtpd-classic nonsense --js", set()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_offers(line: str, some: set[str]) -> None:
    assert offered(line) == some


NAMES = r"""
smtpd-classic() {
    case "$1 $2" in
        "config get") printf '[basic]\na = 1\n[listener smtp]\n' ;;
        "user list") printf 'joe@example.org  normal\nann@example.org  normal\n' ;;
    esac
}
. "$0"
COMP_WORDS=(smtpd-classic "$@")
COMP_CWORD=$#
_smtpd_classic
printf '%s\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["config", "set", "lis"], ["listener\\ smtp"]),
        (["config", "get", "bas"], ["basic"]),
        (["config", "set", "basic", "max_ho"], ["max_hops"]),
        (["config", "set", "listener\\ smtp", "p"], ["port", "proxy_protocol"]),
        (["user", "password", "j"], ["joe@example.org"]),
        (["--config", "x", "user", "show", "a"], ["ann@example.org"]),
    ],
)
def test_sections_options_and_accounts_are_known(words: list[str], expected: list[str]) -> None:
    done = subprocess.run(["bash", "-c", NAMES, str(FILE), *words], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:-1] == expected, done.stderr
