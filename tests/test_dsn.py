"""Notifications: read by a person first, by flufl.bounce, by the standard library; spoiled by nobody."""

import email
import email.policy
from collections.abc import Iterable
from dataclasses import replace
from email.message import EmailMessage, Message

import pytest
from flufl.bounce import all_failures
from hypothesis import given
from hypothesis import strategies as st

from smtpd_classic.dsn import Notification, RecipientStatus, compose, eight_bit, plain_notice

NOW = 1_800_000_000.0
HEADER = b"From: Joe <joe@us.test>\nSubject: hello\nMessage-ID: <42@us.test>\n"
FAILED = RecipientStatus(
    "bob@example.org",
    "failed",
    "5.1.1",
    "550 5.1.1 <bob@example.org>: no such user",
    "mx.example.org",
    "192.0.2.1",
    "RCPT TO",
    last_attempt=NOW,
)
NOTE = Notification("ABC123", "token1", "mail.us.test", "postmaster@us.test", "joe@us.test", NOW - 60, NOW, (FAILED,))


def whole(note: Notification, header: bytes = HEADER, content: Iterable[bytes] | None = None) -> bytes:
    return b"".join(compose(note, header, content))


def parts(note: Notification, header: bytes = HEADER, content: Iterable[bytes] | None = None) -> list[Message]:
    found = email.message_from_bytes(whole(note, header, content))
    assert found.get_content_type() == "multipart/report"
    assert found.get_param("report-type") == "delivery-status"
    payload = within(found)
    assert len(payload) == 3
    return payload


def within(found: Message) -> list[Message]:
    payload = found.get_payload()
    assert isinstance(payload, list)
    return [each for each in payload if isinstance(each, Message)]


def words(note: Notification) -> str:
    payload = parts(note)[0].get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode()


def fields(note: Notification) -> list[Message]:
    """Those of the message, and those of each recipient."""
    return within(parts(note)[1])


def test_a_person_understands_it() -> None:
    assert words(NOTE) == (
        "Your message could not be delivered to <bob@example.org>.\n\n"
        "The mail server mx.example.org (192.0.2.1) said in answer to RCPT TO:\n"
        "    550 5.1.1 <bob@example.org>: no such user\n\n"
        "It will not be tried again. Details for your administrator, and your\n"
        "message or its headers, follow.\n\n"
        "The mail system at mail.us.test, message ABC123\n"
    )


def test_the_frame() -> None:
    found = email.message_from_bytes(whole(NOTE), policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    assert found["From"].addresses[0].addr_spec == "postmaster@us.test"
    assert found["To"] == "joe@us.test"
    assert found["Subject"] == "Your message could not be delivered"
    assert found["Auto-Submitted"] == "auto-replied"
    assert found["References"] == found["In-Reply-To"] == "<42@us.test>"
    assert found["Message-ID"] == "<token1@mail.us.test>"
    assert found["Date"].datetime.timestamp() == NOW
    assert not found.defects


def test_the_fields_of_rfc_3464() -> None:
    fate = replace(FAILED, orcpt="rfc822;bob+2Bx@old.example", original="alias@us.test")
    message, recipient = fields(replace(NOTE, envid="QQ314159", statuses=(fate,)))
    assert (message["Reporting-MTA"], message["Original-Envelope-Id"]) == ("dns; mail.us.test", "QQ314159")
    assert email.utils.parsedate_to_datetime(message["Arrival-Date"]).timestamp() == NOW - 60
    assert recipient["Final-Recipient"] == "rfc822; bob@example.org"
    assert recipient["Original-Recipient"] == "rfc822; bob+x@old.example"
    assert (recipient["Action"], recipient["Status"]) == ("failed", "5.1.1")
    assert recipient["Remote-MTA"] == "dns; mx.example.org"
    assert recipient["Diagnostic-Code"] == "smtp; 550 5.1.1 <bob@example.org>: no such user"
    assert email.utils.parsedate_to_datetime(recipient["Last-Attempt-Date"]).timestamp() == NOW
    assert recipient["Will-Retry-Until"] is None


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("mx.example.org", "dns; mx.example.org"),
        ("192.0.2.1", "dns; [192.0.2.1]"),
        ("[192.0.2.1]", "dns; [192.0.2.1]"),
        ("2001:db8::1", "dns; [IPv6:2001:db8::1]"),
        ("/run/dovecot/lmtp", "x-unix; /run/dovecot/lmtp"),
    ],
)
def test_a_host_without_a_name_is_an_address_literal(host: str, expected: str) -> None:
    found = fields(replace(NOTE, statuses=(replace(FAILED, host=host, ip=host.strip("[]")),)))[1]
    assert found["Remote-MTA"] == expected


def test_an_address_is_named_once() -> None:
    note = replace(NOTE, statuses=(replace(FAILED, host="192.0.2.1", ip="192.0.2.1"),))
    assert "The mail server 192.0.2.1 said in answer to RCPT TO:" in words(note)


def test_an_independent_reader_finds_the_failures() -> None:
    second = replace(FAILED, recipient="eve@second.example", status="4.4.7", said="no answer for five days", host="")
    found = all_failures(email.message_from_bytes(whole(replace(NOTE, statuses=(FAILED, second)))))
    assert found == (frozenset(), frozenset({b"bob@example.org", b"eve@second.example"}))


def test_a_delay_is_no_failure_for_it() -> None:
    late = replace(FAILED, action="delayed", status="4.7.1", retry_until=NOW + 86400)
    note = replace(NOTE, statuses=(late,))
    assert all_failures(email.message_from_bytes(whole(note))) == (frozenset({b"bob@example.org"}), frozenset())
    assert fields(note)[1]["Will-Retry-Until"]
    assert "You need not do anything" in words(note).replace("\n", " ")


@pytest.mark.parametrize("action", ["delivered", "relayed", "expanded"])
def test_good_news(action: str) -> None:
    note = replace(NOTE, statuses=(replace(FAILED, action=action, status="2.0.0", said="250 2.0.0 OK"),))
    assert fields(note)[1]["Action"] == action
    assert fields(note)[1]["Status"] == "2.0.0"
    assert all_failures(email.message_from_bytes(whole(note)))[1] == set()
    assert "250" not in words(note)


@pytest.mark.parametrize(
    ("action", "status", "expected"),
    [
        ("failed", "5.1.1", "5.1.1"),
        ("failed", "4.4.7", "4.4.7"),
        ("failed", "2.0.0", "5.0.0"),
        ("failed", "", "5.0.0"),
        ("delayed", "5.7.8", "4.7.8"),
        ("delayed", "4.2.2", "4.2.2"),
        ("delivered", "junk\nStatus: 5.0.0", "2.0.0"),
    ],
)
def test_the_status_fits_the_action(action: str, status: str, expected: str) -> None:
    assert fields(replace(NOTE, statuses=(replace(FAILED, action=action, status=status),)))[1]["Status"] == expected


def test_our_own_words_are_not_put_into_a_servers_mouth() -> None:
    ours = replace(FAILED, host="", said="the domain example.org does not exist")
    note = replace(NOTE, statuses=(ours,))
    assert fields(note)[1]["Diagnostic-Code"] == "x-smtpd-classic; the domain example.org does not exist"
    assert fields(note)[1]["Remote-MTA"] is None
    assert "The reason:\n    the domain example.org does not exist\n" in words(note)


def test_an_alias_is_named_beside_the_address_that_it_leads_to() -> None:
    note = replace(NOTE, statuses=(replace(FAILED, original="sales@us.test"),))
    assert "to <sales@us.test>, which leads to\n<bob@example.org>." in words(note)


def test_the_headers_come_back_or_the_whole_message() -> None:
    assert parts(NOTE)[2].get_content_type() == "text/rfc822-headers"
    assert parts(NOTE)[2].get_payload() == HEADER.decode()
    returned = parts(NOTE, content=[HEADER, b"\nBody.\n", b"--token1\n"])[2]
    assert returned.get_content_type() == "message/rfc822"
    assert within(returned)[0].get_payload() == "Body.\n--token1\n"


def test_eight_bit_headers_are_declared() -> None:
    header = "Subject: Grüße\n".encode()
    found = email.message_from_bytes(whole(NOTE, header))
    assert (found["Content-Transfer-Encoding"], eight_bit(NOTE, header)) == ("8bit", True)
    assert (email.message_from_bytes(whole(NOTE))["Content-Transfer-Encoding"], eight_bit(NOTE, HEADER)) == (
        None,
        False,
    )


def test_internationalised_addresses_have_a_seven_bit_form_in_the_report() -> None:
    note = replace(NOTE, statuses=(replace(FAILED, recipient="jörg@bücher.example"),))
    report = parts(note)[1].as_bytes()
    assert report.isascii()
    assert b"Final-Recipient: utf-8; j\\x{F6}rg@b\\x{FC}cher.example" in report
    assert "<jörg@bücher.example>" in words(note)


@pytest.mark.parametrize("orcpt", ["utf-8;jörg@bücher.example", "UTF-8;j\\x{F6}rg@bücher.example"])
def test_an_internationalised_original_recipient_keeps_its_letters(orcpt: str) -> None:
    found = fields(replace(NOTE, statuses=(replace(FAILED, orcpt=orcpt),)))[1]["Original-Recipient"]
    assert found == f"{orcpt[:5]}; j\\x{{F6}}rg@b\\x{{FC}}cher.example"


def test_the_fields_name_a_domain_as_dns_has_it() -> None:
    """A host without SMTPUTF8 takes no other header, and the notice is for it too."""
    note = replace(NOTE, postmaster="postmaster@bücher.example", to="joe@bücher.example")
    top = whole(note).partition(b"\n\n")[0]
    assert b"From: Mail Delivery System <postmaster@xn--bcher-kva.example>\nTo: <joe@xn--bcher-kva.example>\n" in top


def test_the_subject_names_a_domain_as_dns_has_it() -> None:
    notice = plain_notice(NOTE, "Approval of a message of joe@bücher.example", "Words.")
    assert b"\nSubject: Approval of a message of joe@xn--bcher-kva.example\n" in notice


def test_the_header_of_a_notice_is_ascii() -> None:
    """A host without SMTPUTF8 takes it for another address that stands for this one."""
    top = whole(replace(NOTE, to="jörg@bücher.example")).partition(b"\n\n")[0]
    assert top.isascii()
    assert email.message_from_bytes(top, policy=email.policy.default)["To"].groups[0].display_name == (
        "jörg@xn--bcher-kva.example"
    )


EVIL = st.text('aZ0 <>"@:;\r\n\t\x00\x1b\x85\u2028\u202e-=_token1é', max_size=300)


@given(EVIL, EVIL, EVIL, EVIL, EVIL)
def test_nothing_that_strangers_say_ends_a_field_or_a_part(
    said: str, host: str, recipient: str, envid: str, orcpt: str
) -> None:
    fate = RecipientStatus(
        recipient, "failed", said[:7], said, host, command=envid, original=host, orcpt=orcpt, last_attempt=NOW
    )
    note = replace(NOTE, statuses=(fate,), envid=envid)
    header, report = whole(note).split(b"\n\n", 1)[0], parts(note)[1]
    assert [line.split(b":")[0] for line in header.split(b"\n") if line[:1] != b"\t"][:4] == [
        b"Date",
        b"From",
        b"To",
        b"Subject",
    ]
    payload = within(report)
    assert len(payload) == 2
    known = {
        *("reporting-mta", "x-queue-id", "original-envelope-id", "arrival-date", "final-recipient", "action", "status"),
        *("original-recipient", "remote-mta", "diagnostic-code", "last-attempt-date"),
    }
    assert {name.lower() for each in payload for name in each.keys()} <= known  # noqa: SIM118
    assert [each.defects for each in payload] == [[], []]
    assert max(map(len, whole(note).split(b"\n"))) <= 998
    assert b"\r" not in whole(note)
    assert b"\x1b" not in whole(note)


@given(st.binary(max_size=300))
def test_a_hostile_header_of_the_original_stays_where_it_is(junk: bytes) -> None:
    found = email.message_from_bytes(whole(NOTE, b"Message-ID: " + junk))
    assert set(found.keys()) <= {
        *("Date", "From", "To", "Subject", "References", "In-Reply-To", "Message-ID", "Auto-Submitted"),
        *("MIME-Version", "Content-Type", "Content-Transfer-Encoding"),
    }


@pytest.mark.parametrize(("length", "shown"), [(5000, 5000), (50_000, 8188)])
def test_a_reply_is_quoted_whole_up_to_8_kib_and_folded(length: int, shown: int) -> None:
    note = replace(NOTE, statuses=(replace(FAILED, said="550 " + "Z" * length),))
    assert max(map(len, whole(note).split(b"\n"))) <= 998
    assert whole(note).count(b"Z") == 2 * shown  # for people, and in Diagnostic-Code


def test_a_plain_notice_is_a_message_in_plain_words() -> None:
    found = email.message_from_bytes(plain_notice(NOTE, "Login refused\nBcc: x@y", "One.\n\nTwo, “quoted”.\x07"))
    assert found["Bcc"] is None
    assert found["Subject"] == "Login refused Bcc: x@y"
    assert found.get_content_type() == "text/plain"
    payload = found.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert payload.decode() == "One.\n\nTwo, “quoted”.\n"
