"""The limits of an account, whichever name of its domain the configuration or a command has."""

from pathlib import Path

import pytest

from smtpd_classic.config import parse
from smtpd_classic.counters.sender_limits import limits_for, named_group

CONFIG = """\
[server]
primary_domain = example.org
[domain example.org]
aliases = example.net
[domain bücher.example]
aliases = books.example
[listener smtp]
port = 25
"""


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("joe@example.org", "account joe@example.org"),
        ("JOE@Example.NET", "account joe@example.org"),
        ("ann@books.example", "account ann@bücher.example"),
        ("ann@xn--bcher-kva.example", "account ann@bücher.example"),
        ("ann@bücher.example", "account ann@bücher.example"),
        ("x@elsewhere.example", "account x@elsewhere.example"),
    ],
)
def test_an_account_has_its_limits_under_each_name_of_its_domain(tmp_path: Path, name: str, group: str) -> None:
    section = f"[account-limits {name}]\nrecipients_per_hour = 3\n"
    config = parse(CONFIG + section, tmp_path / "smtpd-classic.conf")
    assert named_group(config, name) == group
    assert limits_for(config, group).hour == 3
    assert limits_for(config, "account other@example.org").hour == 200


@pytest.mark.parametrize(
    ("sender", "group"),
    [
        ("joe", "account joe@example.org"),
        ("192.0.2.1", "host 192.0.2.1"),
        ("2001:DB8::0:1", "host 2001:db8::1"),
        ("local programs", "local programs"),
    ],
)
def test_a_sender_that_a_person_names(tmp_path: Path, sender: str, group: str) -> None:
    assert named_group(parse(CONFIG, tmp_path / "smtpd-classic.conf"), sender) == group
