"""Reports of other servers need no account: their mailboxes exist by themselves, and are emptied."""

import time
from pathlib import Path

import pytest

from smtpd_classic.accounts import delete_account
from smtpd_classic.accounts.former_accounts import report_box_problems
from smtpd_classic.accounts.report_boxes import dmarc_reports_to, report_boxes, tls_reports_to
from smtpd_classic.config import parse
from smtpd_classic.daemon.mail_expiry import mail_expiry
from tests.reception.world import ALIASES, CONFIG, PASSWORD, USERS, World, unchecked_world

DAY = 86_400.0


def send(place: World, to: str) -> str:
    """Send a message as a stranger; return the reply to RCPT."""
    talk = place.talk()
    talk.line("EHLO client.example")
    talk.line("MAIL FROM:<reports@elsewhere.example>")
    said = talk.line(f"RCPT TO:<{to}>")
    if said.startswith("250"):
        talk.line("DATA")
        assert talk(b"Subject: report\r\n\r\ntext\r\n.\r\n").startswith(b"250")
    return said


@pytest.mark.parametrize(
    ("address", "mailbox"),
    [
        ("dmarc-reports@example.org", "dmarc-reports@example.org"),
        ("DMARC-Reports@example.net", "dmarc-reports@example.org"),  # another name of the domain
        ("tls-reports@second.example", "tls-reports@second.example"),
        ("tls-reports@all.example", "tls-reports@all.example"),  # not to the catch-all
    ],
)
def test_reports_are_taken_without_an_account(tmp_path: Path, address: str, mailbox: str) -> None:
    place = unchecked_world(tmp_path)
    assert send(place, address).startswith("250")
    assert len(place.mailbox(mailbox)) == 1
    assert not place.queue()


def test_an_account_or_an_alias_of_the_name_comes_first(tmp_path: Path) -> None:
    users = f"{USERS}tls-reports@example.org:{{PLAIN}}x::::::\n"
    place = unchecked_world(tmp_path, users=users, aliases=f"{ALIASES}dmarc-reports: joe@example.org\n")
    assert send(place, "dmarc-reports@example.org").startswith("250")
    assert len(place.mailbox("joe@example.org")) == 1
    assert send(place, "tls-reports@example.org").startswith("250")
    mail_expiry_at(place, 31)
    assert len(place.mailbox("tls-reports@example.org")) == 1


def test_many_domains_cost_no_more_than_each_of_them(tmp_path: Path) -> None:
    domains = "".join(f"[domain d{number}.example]\n" for number in range(600))
    config = parse(CONFIG.format(folder=tmp_path) + domains, tmp_path / "smtpd-classic.conf")
    began = time.process_time()
    assert len(report_boxes(config)) > 1200
    assert time.process_time() - began < 0.3


def test_an_address_of_the_option_is_such_a_mailbox_too(tmp_path: Path) -> None:
    place = unchecked_world(
        tmp_path, "[signing]\ndmarc_reports_to = reports@second.example\ntls_reports_to = x@far.example\n"
    )
    assert set(report_boxes(place.config)) == {"reports@second.example"}
    assert send(place, "reports@second.example").startswith("250")
    assert send(place, "dmarc-reports@example.org").startswith("550 5.1.1")


def mail_expiry_at(place: World, days: float) -> int:
    place.clock.now = time.time() + days * DAY
    return mail_expiry(place.services).step()


def test_reports_are_kept_for_thirty_days(tmp_path: Path) -> None:
    place = unchecked_world(tmp_path)
    send(place, "dmarc-reports@example.org")
    send(place, "joe@example.org")
    assert mail_expiry_at(place, 29.9) == 0
    assert mail_expiry_at(place, 30.1) == 1
    assert not place.mailbox("dmarc-reports@example.org")
    assert len(place.mailbox("joe@example.org")) == 1
    assert "removed 1 messages from the mailboxes of reports: their time is over" in place.log()[-1]


@pytest.mark.parametrize(
    ("users", "aliases"),
    [
        (f"{USERS}reports@second.example\n", ALIASES),  # a line that cannot be read
        (USERS, f"{ALIASES}reports@second.example: joe@example.org\n"),
    ],
)
def test_a_mailbox_that_may_be_of_an_account_is_not_emptied(tmp_path: Path, users: str, aliases: str) -> None:
    option = "[signing]\ndmarc_reports_to = reports@second.example\n"
    send(unchecked_world(tmp_path, option), "reports@second.example")
    later = unchecked_world(tmp_path, option, users=users, aliases=aliases)
    assert mail_expiry_at(later, 31) == 0
    assert len(later.mailbox("reports@second.example")) == 1


@pytest.mark.parametrize("left", ["", f"{USERS}tls-reports@exam"], ids=["empty", "a half line"])
def test_a_users_file_that_has_lost_its_accounts_costs_them_no_mail(tmp_path: Path, left: str) -> None:
    place = unchecked_world(tmp_path, users=f"{USERS}tls-reports@example.org:{{PLAIN}}x::::::\n")
    send(place, "tls-reports@example.org")
    (tmp_path / "users").write_text(left)
    assert mail_expiry_at(place, 31) == 0
    assert len(place.mailbox("tls-reports@example.org")) == 1


OPTION = "[signing]\ndmarc_reports_to = old@example.org\n"
OLD = f"{USERS}old@example.org:{{PLAIN}}x::::::\n"


def test_an_account_that_is_deleted_by_hand_keeps_its_mail(tmp_path: Path) -> None:
    place = unchecked_world(tmp_path, OPTION, users=OLD)
    send(place, "old@example.org")
    assert mail_expiry_at(place, 1) == 0  # it is marked
    later = unchecked_world(tmp_path, OPTION)
    assert send(later, "old@example.org").startswith("250")
    assert mail_expiry_at(later, 31) == 0
    assert len(later.mailbox("old@example.org")) == 2
    assert "reports come to old@example.org, which was an account" in said_by_check(later)


def test_an_account_that_is_deleted_by_a_command_keeps_its_mail(tmp_path: Path) -> None:
    place = unchecked_world(tmp_path, OPTION, users=OLD)
    send(place, "old@example.org")
    assert "was an account" not in said_by_check(place)
    delete_account(place.config, "old@example.org", force=True)
    later = unchecked_world(tmp_path, OPTION)
    assert mail_expiry_at(later, 31) == 0
    assert "nothing in" in said_by_check(later)


def test_a_mailbox_that_another_program_has_read_keeps_its_mail(tmp_path: Path) -> None:
    place = unchecked_world(tmp_path, OPTION)
    send(place, "old@example.org")
    assert "was an account" not in said_by_check(place)
    (tmp_path / "mail/example.org/old/.Sent").mkdir()
    assert mail_expiry_at(place, 31) == 0


def said_by_check(place: World) -> str:
    return "\n".join(map(str, report_box_problems(place.config, place.services.accounts)))


@pytest.mark.parametrize("part", ["new", "cur", ".Junk/new"])
def test_a_mailbox_of_reports_has_an_end(tmp_path: Path, part: str) -> None:
    place = unchecked_world(tmp_path)
    send(place, "dmarc-reports@example.org")
    new = tmp_path / "mail/example.org/dmarc-reports" / part
    new.mkdir(parents=True, exist_ok=True)
    (new / f"1.M1P1Q1.mx,S={64 << 20}").write_bytes(b"")
    assert send(place, "dmarc-reports@example.org").startswith("452 4.2.2")


def test_it_is_no_account(tmp_path: Path) -> None:
    accounts = unchecked_world(tmp_path).services.accounts
    assert accounts.authenticate("dmarc-reports@example.org", PASSWORD) is None
    assert accounts.authenticate("dmarc-reports@example.org", "") is None
    assert accounts.scram_keys("dmarc-reports@example.org") is None
    joe = accounts.account("joe@example.org")
    assert joe is not None
    assert not accounts.owns(joe, "dmarc-reports@example.org")
    assert "dmarc-reports@example.org" not in accounts.addresses()


def test_a_domain_whose_mailboxes_are_elsewhere_has_the_postmaster(tmp_path: Path) -> None:
    text = CONFIG.format(folder=tmp_path) + "[domain dove.example]\nmailbox = lmtp:127.0.0.1:24\n"
    config = parse(text, tmp_path / "smtpd-classic.conf")
    assert dmarc_reports_to(config, "dove.example") == "postmaster@dove.example"
    assert tls_reports_to(config, "example.org") == "tls-reports@example.org"
    assert not [name for name in report_boxes(config) if name.endswith("dove.example")]
