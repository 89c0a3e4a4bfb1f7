"""The whole truth of who may send what to whom, against tables that were written by hand."""

import datetime
import itertools
from pathlib import Path

import pytest

from smtpd_classic.policy import ClientContext, Transaction
from smtpd_classic.smtp.events import MailFrom, RcptTo
from smtpd_classic.srs import srs_for
from tests.reception.world import World, world

TRUSTING = """\
[trusted]
hosts = 192.0.2.0/24, 10.1., 2001:db8:1::/48
[open-relay]
domains = backup.example, .sub.example
[direct partner.example]
hosts = 198.51.100.9
    mx.partner.example
[direct named.example]
hosts = gateway.partner.example
trust_hosts = yes
[direct secret.example]
hosts = 198.51.100.11 user=u password=p
[direct proud.example]
hosts = 198.51.100.12
trust_hosts = no
[direct gate.example]
hosts = 198.51.100.13
open = yes
"""

# Who connects, and whether that makes it trusted.
CLIENTS = {
    "203.0.113.5": False,
    "2001:db8:2::1": False,
    "192.0.3.1": False,
    "192.0.2.1": True,
    "::ffff:192.0.2.1": True,
    "10.1.255.255": True,
    "10.2.0.0": False,
    "2001:db8:1:ffff::1": True,
    "198.51.100.9": True,  # a direct host, written as an address
    "198.51.100.77": True,  # a direct host by name, switched on
    "198.51.100.11": False,  # a direct host that we log in to
    "198.51.100.12": False,  # switched off
    "127.0.0.1": False,  # loopback is nobody in particular
}

# What RCPT is answered: to a stranger, to who is known (trusted or logged in), to a stranger when the relay is open.
OK, NO_USER, OFF, FULL, DENIED = "250 2.1.5", "550 5.1.1", "550 5.2.1", "452 4.2.2", "550 5.7.1"
RECIPIENTS = {
    "joe@example.org": (OK, OK, OK),
    "JOE@example.org": (OK, OK, OK),
    "joe+lists@example.org": (OK, OK, OK),
    "joe@example.net": (OK, OK, OK),
    "anything@all.example": (OK, OK, OK),
    "sales@example.org": (OK, OK, OK),
    "forward@example.org": (OK, OK, OK),
    "mix@example.org": (OK, OK, OK),
    "away@example.org": (OK, OK, OK),
    "postmaster": (OK, OK, OK),
    "postmaster@second.example": (OK, OK, OK),
    "nobody@example.org": (NO_USER, NO_USER, NO_USER),
    "joe@second.example": (NO_USER, NO_USER, NO_USER),
    "gone@example.org": (OFF, OFF, OFF),
    "togone@example.org": (OFF, OFF, OFF),
    "full@example.org": (FULL, FULL, FULL),
    "tofull@example.org": (FULL, FULL, FULL),
    "SRS": (OK, OK, OK),
    "SRS0=AAAAAA=AA=elsewhere.example=x@example.org": (NO_USER, NO_USER, NO_USER),
    "friend@elsewhere.example": (DENIED, OK, OK),
    "joe@evilexample.org": (DENIED, "550 5.1.2", OK),
    "joe%elsewhere.example@example.org": (NO_USER, NO_USER, NO_USER),
    "elsewhere.example!joe@example.org": (NO_USER, NO_USER, NO_USER),
    '"friend@elsewhere.example"@example.org': (NO_USER, NO_USER, NO_USER),
    "x@backup.example": (OK, OK, OK),
    "x@a.sub.example": (OK, "550 5.1.2", OK),
    "x@sub.example": (DENIED, "550 5.1.2", OK),
    "x@backup.example.evil.example": (DENIED, "550 5.1.2", OK),
    "x@partner.example": (DENIED, OK, OK),
    "x@gate.example": (OK, OK, OK),
    "x@null.example": (DENIED, "556 5.1.10", OK),
    "x@broken.example": (DENIED, OK, OK),
    "x@[198.51.100.9]": (DENIED, OK, OK),
}

# What MAIL is answered with every switch on: to a stranger, to who is trusted, to joe who has logged in.
FINE, LOGIN, FOREIGN, NOT_OWN = "250 2.1.0", "530 5.7.0", "550 5.1.0", "553 5.7.1"
SENDERS = {
    "": (FINE, FINE, FINE),
    "joe@example.org": (LOGIN, FINE, FINE),
    "joe+tag@example.net": (LOGIN, FINE, FINE),
    "sales@example.org": (LOGIN, FINE, FINE),
    "team@example.org": (LOGIN, FINE, NOT_OWN),
    "ann@example.org": (LOGIN, FINE, NOT_OWN),
    "nobody@example.org": (LOGIN, FINE, FOREIGN),
    "friend@elsewhere.example": (FINE, FINE, FOREIGN),
}
SWITCHES = ("require_auth_for_local_sender", "require_local_sender", "require_own_sender")


def short(reply: object) -> str:
    return " ".join(str(reply).split(" ")[:2])


def build(folder: Path, *, closed: bool, on: tuple[bool, ...]) -> World:
    basic = "".join(f"{name} = {'yes' if value else 'no'}\n" for name, value in zip(SWITCHES, on, strict=True))
    basic += f"postmaster = joe@example.org\nclose_open_relay = {'yes' if closed else 'no'}\n"
    made = world(folder, f"{TRUSTING}[basic]\n{basic}")
    new = folder / "mail" / "example.org" / "full" / "new"
    new.mkdir(parents=True, exist_ok=True)
    (new / "1.M1P1Q1.here,S=1000").write_bytes(b"x" * 1000)
    return made


def expected_mail(sender: str, who: str, listener: str, on: tuple[bool, ...]) -> str:
    """By the tables alone. The order of the checks matters where two of them object."""
    if who == "stranger" and listener == "submission":
        return LOGIN
    auth_for_local, local, own = on
    stranger, trusted, user = SENDERS[sender]
    if who == "stranger":
        return stranger if auth_for_local or stranger == FINE else FINE
    if who == "trusted":
        return trusted
    if user == FOREIGN:
        return FOREIGN if local else NOT_OWN if own else FINE
    return user if own else FINE


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "open relay"])
@pytest.mark.parametrize("on", list(itertools.product([True, False], repeat=3)), ids=str)
def test_every_combination_is_decided_as_the_tables_say(tmp_path: Path, on: tuple[bool, ...], *, closed: bool) -> None:
    here = build(tmp_path, closed=closed, on=on)
    srs = srs_for(str(tmp_path / "spool"), "example.org").forward("someone@elsewhere.example", date_of(here.clock.now))
    joe = here.services.accounts.account("joe@example.org")
    wrong = []
    combinations = itertools.product(CLIENTS.items(), (None, joe), ("smtp", "submission"), SENDERS, RECIPIENTS)
    asked = 0
    for (ip, trusted), login, listener, sender, recipient in combinations:
        if (ip not in {"203.0.113.5", "192.0.2.1"}) and sender not in {"", "joe@example.org"}:
            continue  # where the client is has nothing to do with all senders: two stand for the rest
        who = "user" if login else "trusted" if trusted else "stranger"
        policy = here.policy(listener)
        peer = ClientContext(here.client(ip, listener), policy.rules, login)
        transaction = Transaction(peer, policy.rules, sender)
        reply = policy.first_objection(transaction, MailFrom(sender))
        found, wanted = short(reply or FINE), expected_mail(sender, who, listener, on)
        asked += 1
        if reply is None:
            column = 2 if who == "stranger" and not closed else 0 if who == "stranger" else 1
            wanted = wanted if wanted != FINE else RECIPIENTS[recipient][column]
            path = srs if recipient == "SRS" else recipient
            found = short(policy.first_objection(transaction, RcptTo(path)) or OK)
        if found != wanted:
            wrong.append((ip, who, listener, sender, recipient, f"wanted {wanted}", f"got {found}"))
    assert asked > 3000
    assert not wrong, "\n".join(map(str, wrong[:10]))
    assert not here.log()


def date_of(now: float) -> datetime.date:
    return datetime.datetime.fromtimestamp(now, datetime.UTC).date()


def test_a_trusting_name_that_does_not_resolve_defers_who_needs_it_and_nobody_else(tmp_path: Path) -> None:
    here = world(tmp_path, "[direct far.example]\nhosts = dead.partner.example\ntrust_hosts = yes\n")
    policy = here.policy()
    transaction = Transaction(ClientContext(here.client(), policy.rules), policy.rules)
    assert policy.first_objection(transaction, MailFrom("a@elsewhere.example")) is None
    assert policy.first_objection(transaction, RcptTo("joe@example.org")) is None
    assert short(policy.first_objection(transaction, RcptTo("friend@elsewhere.example"))) == "451 4.3.0"
    assert "close_open_relay cannot decide" in here.log()[-1]


def test_names_of_direct_hosts_confer_no_trust_unless_switched_on(tmp_path: Path) -> None:
    here = world(tmp_path, "[direct far.example]\nhosts = gateway.partner.example\n")
    assert ClientContext(here.client("198.51.100.77"), here.policy().rules).trust() == ""


def test_the_local_socket_is_trusted(tmp_path: Path) -> None:
    here = world(tmp_path)
    assert ClientContext(here.client("", local=True), here.policy().rules).trust() == "local submission"
