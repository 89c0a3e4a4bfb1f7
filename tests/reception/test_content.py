"""What becomes of the content: transparency, destinations, limits that are found on the way, and bounded memory."""

import base64
import gc
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtpd_classic.dns.fixed import FixedResolver
from smtpd_classic.message.headers import HeaderBlock, end_of_header_block
from smtpd_classic.smtp.content import stuff
from tests.reception.world import PASSWORD, Talk, World, unchecked_world, world

RULE = "[filter-rule mark]\nfield = subject\ntext = x\naction = hold\ndirection = both\n"
TRUSTED = "[trusted]\nhosts = 192.0.2.7\n"


def begun(here: World, *recipients: str, ip: str = "203.0.113.5", sender: str = "x@elsewhere.example") -> Talk:
    """A session after DATA."""
    talk = here.talk(ip)
    talk()
    talk.line("EHLO client.example")
    assert talk.line(f"MAIL FROM:<{sender}> SMTPUTF8").startswith("250")
    for recipient in recipients:
        assert talk.line(f"RCPT TO:<{recipient}>").startswith("250"), recipient
    assert talk.line("DATA").startswith("354")
    return talk


def sent(here: World, content: bytes, *recipients: str, ip: str = "203.0.113.5", cut: int = 0) -> str:
    """The reply to a message with this content (LF line ends), sent in pieces of `cut` octets."""
    talk = begun(here, *recipients, ip=ip)
    wire = b"".join(stuff([content]))
    said = b""
    for at in range(0, len(wire), cut or len(wire)):
        said += talk(wire[at : at + (cut or len(wire))])
    return said.decode()


def queued(here: World) -> list[bytes]:
    return [here.services.spool.open_content(queue_id).read() for queue_id in here.queue()]


def below_trace(message: bytes) -> bytes:
    """The message without what final delivery and reception put on top."""
    lines = message.split(b"\n")
    at = 0
    while lines[at].startswith((b"Return-Path:", b"Envelope-To:", b"Received:", b"\t")):
        at += 1
    return b"\n".join(lines[at:])


CONTENTS = [
    b"Subject: x\n\nbody\n",
    b"Subject: x\n",
    b"\nbody without header\n",
    b"\n\n\nempty lines\n",
    b"no header at all\nand no empty line\n",
    b"",
    b"Subject: x\nno field\n: no name\nTo: y\n\nbody\n",
    b"From joe Sat Nov 22 12:00:00 2025\nSubject: mbox\n\nbody\n",
    b">From joe\nSubject: mbox\n\nbody\n",
    b"Subject: x\n folded\n\tand folded\n\n.\n..\n.dots\n",
    b"X-\xff\xfe: octets \x80\n\n\x01\x02\xff 8-bit \n",
    b"Subject: " + b"x" * 5000 + b"\n\n" + b"y" * 5000 + b"\n",
    b"Subject : odd\nRECEIVED: by\n\nx\n",
    b"Subject: x\n \n\nthe line above is not empty\n",
]


@pytest.mark.parametrize("content", CONTENTS, ids=[repr(each[:40]) for each in CONTENTS])
@pytest.mark.parametrize("cut", [0, 1])
def test_nothing_of_the_content_is_touched(tmp_path: Path, content: bytes, cut: int) -> None:
    here = unchecked_world(tmp_path)
    assert sent(here, content, "joe@example.org", cut=cut).startswith("250")
    assert sent(here, content, "mix@example.org", cut=cut).startswith("250")
    assert [below_trace(message) for message in here.mailbox("joe@example.org")] == [content]
    assert [below_trace(message) for message in queued(here)] == [content]
    assert not here.leftovers()


LINE = st.one_of(st.binary(max_size=40), st.sampled_from([b"", b"A: b", b" c", b".", b"Received: x"]))
LINES = st.lists(LINE.map(lambda line: line.translate(None, b"\r\n\0") + b"\n")).map(b"".join)


def test_any_content_in_any_pieces_arrives_as_it_was(tmp_path: Path) -> None:
    here = unchecked_world(tmp_path)
    new = tmp_path / "mail" / "example.org" / "joe" / "new"

    @settings(deadline=None)
    @given(content=LINES, cut=st.integers(0, 20))
    def arrives(content: bytes, cut: int) -> None:
        assert sent(here, content, "joe@example.org", cut=cut).startswith("250")
        [message] = new.iterdir()
        trace = b"Return-Path: <x@elsewhere.example>\nEnvelope-To: joe@example.org\nReceived: from client.example"
        assert re.sub(trace + rb"[^\n]*\n\tby [^\n]*\n\tfor [^\n]*\n", b"", message.read_bytes(), count=1) == content
        message.unlink()

    arrives()


def test_final_delivery_says_who_and_for_whom(tmp_path: Path) -> None:
    here = unchecked_world(tmp_path)
    sent(here, b"\nx\n", "sales@example.org")
    sent(here, b"\nx\n", "joe@example.org", "ann@example.org")
    sent(here, b"\nx\n", "team@example.org")
    one, two, three = here.mailbox("joe@example.org")
    assert one.startswith(b"Return-Path: <x@elsewhere.example>\nEnvelope-To: sales@example.org\nReceived: ")
    assert b"\n\tfor <sales@example.org>; " in one
    assert two.startswith(b"Return-Path: <x@elsewhere.example>\nReceived: ")
    assert b"\tfor <" not in two
    assert b"Envelope-To" not in two
    assert b"Envelope-To" not in three  # it lies in two mailboxes, and the address leads to no single one
    assert b"\tfor <team@example.org>; " in three


def test_the_address_in_the_final_form_leads_back_to_the_mailbox(tmp_path: Path) -> None:
    """What a crash leaves complete is delivered by its own envelope, whatever kind of address that names."""
    here = unchecked_world(tmp_path, "[basic]\npostmaster = joe@example.org\n")
    for address in ("sales@example.org", "joe+x@example.net", "postmaster@second.example", "joe@example.org"):
        assert sent(here, b"\nx\n", address).startswith("250")
    assert sent(here, b"\nx\n", "who.ever@all.example").startswith("250")
    messages = here.mailbox("joe@example.org") + here.mailbox("ann@example.org")
    named = [message.split(b"\n")[1].removeprefix(b"Envelope-To: ").decode() for message in messages]
    assert len(named) == 5
    folders = [here.services.folder_of(address) for address in named]
    assert folders == [str(tmp_path / "mail" / "example.org" / "joe")] * 4 + [str(tmp_path / "mail/example.org/ann")]
    assert here.services.folder_of("team@example.org") is None
    assert here.services.folder_of("friend@elsewhere.example") is None


# Submission ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "added"),
    [
        (b"", {b"Date", b"Message-ID"}),
        (b"Date: today\n", {b"Message-ID"}),
        (b"message-id : <1@x>\n", {b"Date"}),
        (b"DATE: x\nMessage-Id: <1@x>\n", set()),
        (b"X-Date: x\nSubject: Date: Message-ID:\n", {b"Date", b"Message-ID"}),
    ],
)
def test_missing_fields_are_added_to_mail_of_our_own(tmp_path: Path, header: bytes, added: set[bytes]) -> None:
    here = unchecked_world(tmp_path, TRUSTED)
    content = header + b"Subject: x\n\nbody\n"
    sent(here, content, "friend@elsewhere.example", ip="192.0.2.7")
    sent(here, content, "joe@example.org", ip="192.0.2.7")
    sent(here, content, "joe@example.org")
    for message in [*queued(here), here.mailbox("joe@example.org")[0]]:
        above = message.removesuffix(content)
        assert {line.partition(b":")[0] for line in above.split(b"\n")} >= added
        assert len([line for line in above.split(b"\n") if line.startswith((b"Date:", b"Message-ID:"))]) == len(added)
    assert below_trace(here.mailbox("joe@example.org")[1]) == content


FOREIGN_TRACE = (
    b"Return-Path: <evil@far.example>\nEnvelope-To: ann@example.org\nDelivered-To: <ann@Example.org>\n"
    b"Delivered-To: list@far.example\nreturn-path\t: <second@far.example>\nX-Return-Path: stays\n"
)


def test_the_trace_of_other_deliveries_goes_at_final_delivery(tmp_path: Path) -> None:
    here = unchecked_world(tmp_path)
    sent(here, FOREIGN_TRACE + b"\nbody\n", "joe@example.org")
    sent(here, FOREIGN_TRACE + b"\nbody\n", "joe@example.org", "ann@example.org")
    for message in here.mailbox("joe@example.org"):
        assert below_trace(message) == b"Delivered-To: list@far.example\nX-Return-Path: stays\n\nbody\n"
        block = HeaderBlock(message[: end_of_header_block(message)])
        assert block.values(b"return-path") == [b"<x@elsewhere.example>"]
        assert block.values(b"envelope-to") in ([b"joe@example.org"], [])
    sent(here, FOREIGN_TRACE + b"\nbody\n", "forward@example.org")
    assert queued(here)[0].endswith(FOREIGN_TRACE + b"\nbody\n")


def test_forwarded_mail_over_the_limit_is_refused_in_the_session(tmp_path: Path) -> None:
    here = unchecked_world(tmp_path, "[basic]\nmax_outgoing_size = 1000\n")
    content = b"Subject: x\n\n" + b"x" * 76 + b"\n"
    fits = content + b"y" * (1000 - len(content) - content.count(b"\n") - 2) + b"\n"
    assert sent(here, fits, "forward@example.org").startswith("250")
    assert sent(here, b"z" + fits[1:-1] + b"z\n", "forward@example.org").startswith("552 5.3.4")
    assert sent(here, fits * 2, "joe@example.org").startswith("250")


def authors(here: World, message: bytes) -> list[bytes]:
    return HeaderBlock(message[: end_of_header_block(message)]).values(b"from")


@pytest.mark.parametrize("login", ["", "joe@example.org"], ids=["trusted", "logged in"])
def test_a_missing_from_is_added_from_the_envelope_sender(tmp_path: Path, login: str) -> None:
    here = unchecked_world(tmp_path, TRUSTED)
    for sender, header in (("sales@example.org", b""), ("", b""), ("joe@example.org", b"From: joe (Joe)\n")):
        talk = here.talk("203.0.113.5" if login else "192.0.2.7", tls=True)
        talk()
        talk.line("EHLO client.example")
        if login:
            credentials = base64.b64encode(f"\0{login}\0{PASSWORD}".encode()).decode()
            assert talk.line(f"AUTH PLAIN {credentials}").startswith("235")
        talk.line(f"MAIL FROM:<{sender}>")
        talk.line("RCPT TO:<ann@example.org>")
        talk.line("DATA")
        assert talk(header.replace(b"\n", b"\r\n") + b"Subject: x\r\n\r\nbody\r\n.\r\n").startswith(b"250"), here.log()
    found = [authors(here, message) for message in here.mailbox("ann@example.org")]
    default = f"<{login or 'postmaster@example.org'}>".encode()
    assert sorted(found) == sorted([[b"<sales@example.org>"], [default], [b"joe@example.org (Joe)"]])


def test_a_strangers_from_stays_as_it_came(tmp_path: Path) -> None:
    here = unchecked_world(tmp_path)
    sent(here, b"Subject: x\n\nbody\n", "joe@example.org")
    sent(here, b"From: root\n\nbody\n", "joe@example.org")
    assert sorted(authors(here, message) for message in here.mailbox("joe@example.org")) == [[], [b"root"]]


REPLACE = "[replace Sales <sales@example.org>]\naddresses = joe@pc.lan\nlocal = yes\nremote = no\n"


def test_header_replacement_for_local_copies_of_our_own_mail(tmp_path: Path) -> None:
    here = unchecked_world(tmp_path, TRUSTED + REPLACE)
    content = b"From: joe@pc.lan\nDate: x\nMessage-ID: <1@x>\n\njoe@pc.lan\n"
    sent(here, content, "joe@example.org", ip="192.0.2.7")
    sent(here, content, "joe@example.org")
    sent(here, content, "mix@example.org", ip="192.0.2.7")
    ours, foreign = here.mailbox("joe@example.org")
    assert below_trace(ours) == content.replace(b"joe@pc.lan", b"Sales <sales@example.org>", 1)
    assert below_trace(foreign) == content
    assert [below_trace(message) for message in queued(here)] == [content]  # stored once, edited per destination
    [entry] = [here.services.spool.read(queue_id)[0] for queue_id in here.queue()]
    assert entry.envelope.originates_here


# The queue -------------------------------------------------------------------------------------------------------


def test_the_envelope_in_the_queue_tells_all(tmp_path: Path) -> None:
    here = unchecked_world(tmp_path)
    talk = here.talk(tls=True)
    talk()
    talk.line("EHLO client.example")
    talk.line("AUTH LOGIN")
    talk.line("Y2xlcms=")
    assert talk.line("dGVhIGZvciB0d28=").startswith("235")
    assert PASSWORD == "tea for two"
    talk.line("MAIL FROM:<clerk@example.org> BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=id+2B1")
    talk.line("RCPT TO:<mix@example.org> NOTIFY=FAILURE,DELAY ORCPT=rfc822;old@x.example")
    talk.line("RCPT TO:<joe+tag@example.org>")
    talk.line("RCPT TO:<forward@example.org> NOTIFY=NEVER")
    talk.line("RCPT TO:<other@elsewhere.example>")
    talk.line("DATA")
    assert talk(b"From: clerk@example.org\r\n\r\nx\r\n.\r\n").startswith(b"250")
    [queue_id] = here.queue()
    envelope = here.services.spool.read(queue_id)[0].envelope
    assert (envelope.sender, envelope.ret, envelope.envid) == ("clerk@example.org", "HDRS", "id+1")
    assert envelope.body_8bit
    assert envelope.smtputf8
    assert envelope.originates_here
    assert (envelope.login, envelope.client) == ("clerk@example.org", "client.example[203.0.113.5]")
    assert [(each.address, each.original, set(each.notify), each.orcpt) for each in envelope.recipients] == [
        ("joe@example.org", "mix@example.org", {"FAILURE", "DELAY"}, "rfc822;old@x.example"),
        ("friend@elsewhere.example", "mix@example.org", {"FAILURE", "DELAY"}, "rfc822;old@x.example"),
        ("other@elsewhere.example", "", set(), ""),
    ]
    assert b"with UTF8SMTPSA id " in queued(here)[0]
    assert b"(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256 bits))" in queued(here)[0]
    assert queue_id.encode() in queued(here)[0]


def test_the_retry_thread_is_woken(tmp_path: Path) -> None:
    here = unchecked_world(tmp_path)
    wakes = here.services.runtime.wakes()
    sent(here, b"\nx\n", "mix@example.org")
    assert list(wakes.read()) == here.queue()


TNEF = b"Content-Type: application/ms-tnef; name=x\n\nx\n"
LARGE = b"x" * 70_000 + b"\n"


@pytest.mark.parametrize(
    ("content", "waits"),
    [
        (TNEF, True),
        (b"Subject: x\n\nplain\n", False),
        (b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b--\n", False),
        (b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: APPLICATION/MS-TNEF\n\nx\n--b--\n", True),
        (b"Content-Type: multipart/mixed; boundary=b\n\n" + LARGE, True),
        (b"Content-Type: text/plain\n\n" + LARGE, False),
        (b"Content-Type: multipart/signed; boundary=b\n\nms-tnef\n", False),
        (b"Subject: winmail.dat\n", True),
        (b"", False),
    ],
)
@pytest.mark.parametrize("cut", [0, 999])
def test_what_may_hold_tnef_is_queued_for_conversion(tmp_path: Path, content: bytes, cut: int, *, waits: bool) -> None:
    here = unchecked_world(tmp_path, "[basic]\nconvert_tnef = yes\n")
    assert sent(here, content, "joe@example.org", cut=cut).startswith("250")
    assert (len(here.queue()), len(here.mailbox("joe@example.org"))) == ((1, 0) if waits else (0, 1))
    assert [below_trace(message) for message in [*queued(here), *here.mailbox("joe@example.org")]] == [content]


def test_tnef_that_is_not_to_be_converted_is_delivered_at_once(tmp_path: Path) -> None:
    here = unchecked_world(tmp_path)
    sent(here, TNEF, "joe@example.org")
    assert len(here.mailbox("joe@example.org")) == 1


# Limits that are found on the way --------------------------------------------------------------------------------


def test_a_message_over_the_limit_is_drained_and_nothing_is_kept(tmp_path: Path) -> None:
    here = unchecked_world(tmp_path, "[basic]\nmax_message_size = 200000\n")
    talk = begun(here, "joe@example.org")
    for _ in range(100):
        assert talk(b"x" * 9_998 + b"\r\n") == b""
        if talk.reception._reader and talk.reception._reader._octets > 200_000:
            assert not here.leftovers()
    assert talk(b".\r\n").startswith(b"552 5.3.4 ")
    assert talk.line("NOOP").startswith("250")
    assert not here.mailbox("joe@example.org")


def test_a_message_of_exactly_the_limit_passes_however_many_dots_are_stuffed(tmp_path: Path) -> None:
    here = unchecked_world(tmp_path, "[basic]\nmax_message_size = 1000\n")
    lines = b".\n" * 300 + b"x" * 98 + b"\n"  # 300 * 3 octets and 100 octets with CR LF
    assert sent(here, lines, "joe@example.org").startswith("250")
    assert sent(here, b"y" + lines, "joe@example.org").startswith("552 5.3.4")


@pytest.mark.parametrize("cut", [0, 7, 65_536])
def test_the_header_may_have_256_kilobytes(tmp_path: Path, cut: int) -> None:
    here = unchecked_world(tmp_path)
    fits = b"X: " + b"x" * (262_144 - 4) + b"\n"
    assert sent(here, fits + b"\nbody\n", "joe@example.org", cut=cut).startswith("250")
    assert sent(here, b"x" + fits + b"\nbody\n", "joe@example.org", cut=cut).startswith("552 5.3.4 The header")
    assert not here.leftovers()


def test_who_has_logged_in_hides_no_second_from_behind_text_of_any_length(tmp_path: Path) -> None:
    here = unchecked_world(tmp_path)
    talk = here.talk(tls=True)
    talk()
    talk.line("EHLO client.example")
    assert talk.line("AUTH PLAIN AGpvZQB0ZWEgZm9yIHR3bw==").startswith("235")
    talk.line("MAIL FROM:<joe@example.org>")
    talk.line("RCPT TO:<ann@example.org>")
    talk.line("DATA")
    said = talk(b"From: joe@example.org\r\n" + b"no field\r\n" * 40_000 + b"From: ann@example.org\r\n\r\n.\r\n")
    assert said.startswith(b"550 5.7.1 ")


@pytest.mark.parametrize(
    "recipients", [["joe@example.org"], ["joe@example.org", "ann@example.org"], ["mix@example.org"]]
)
def test_a_large_message_takes_constant_memory(tmp_path: Path, recipients: list[str]) -> None:
    here = unchecked_world(tmp_path, "[basic]\nmax_message_size = 40M\n")
    talk = begun(here, *recipients)
    talk(b"Subject: large\r\n\r\n")
    piece = (b"0123456789abcde" * 10 + b"\r\n") * 400
    tracemalloc.start()
    for _ in range(400):
        talk(piece)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert talk(b".\r\n").startswith(b"250")
    assert peak < 1_500_000
    stored = [*here.mailbox("joe@example.org"), *queued(here)]
    assert len(stored[0]) > 24_000_000


@pytest.mark.parametrize("cut", [0, 70_000, 1_001])
@pytest.mark.parametrize(
    ("content", "reply"),
    [
        (b"X: " + b"x" * 300_000 + b"\n\nbody\n", "552 5.3.4 The header"),
        (b"X" * 300_000 + b": x\n\nbody\n", "552 5.3.4 The header"),
        (b"X: x\n" * 60_000 + b"\nbody\n", "552 5.3.4 The header"),
        (b"text\n" * 60_000 + b"\nbody\n", "250"),
        (b"X: x\n" * 100 + b"more text\n" * 60_000, "250"),
        (b"more text " * 30_000, "250"),
    ],
    ids=["one field", "one name", "fields", "text", "fields and text", "one line"],
)
def test_what_is_header_and_what_text_does_not_depend_on_the_pieces(
    tmp_path: Path, content: bytes, reply: str, cut: int
) -> None:
    here = unchecked_world(tmp_path)
    assert sent(here, content, "joe@example.org", cut=cut).startswith(reply)
    assert [below_trace(message) for message in here.mailbox("joe@example.org")] == (
        [content if content.endswith(b"\n") else content + b"\n"] if reply == "250" else []
    )


@pytest.mark.parametrize("content", [b"From: joe@example.org\nno field\nFrom: ann@example.org\n"])
def test_a_second_from_is_seen_where_no_empty_line_follows(tmp_path: Path, content: bytes) -> None:
    here = unchecked_world(tmp_path)
    talk = here.talk(tls=True)
    talk()
    for line in ("EHLO client.example", "AUTH PLAIN AGpvZQB0ZWEgZm9yIHR3bw==", "MAIL FROM:<joe@example.org>"):
        talk.line(line)
    talk.line("RCPT TO:<ann@example.org>")
    talk.line("DATA")
    assert talk(b"".join(stuff([content]))).startswith(b"550 5.7.1 ")


MARK = "blocklists = list.example\nblocklist_action = mark\n"  # of [filter], which is the last section of the world


@pytest.mark.parametrize("checks", ["no", "yes"])
@pytest.mark.parametrize("ip", ["203.0.113.5", "203.0.113.6"], ids=["not listed", "listed"])
@pytest.mark.parametrize("length", [10, 100_000], ids=["small", "large"])
def test_room_for_fields_that_do_not_come_changes_nothing_else(
    tmp_path: Path, length: int, ip: str, checks: str
) -> None:
    """A large message is written before it is known whether its client is listed."""
    resolver = FixedResolver(addresses={f"{each}.list.example": ["127.0.0.2"] for each in ("2.0.0.127", "6.113.0.203")})
    here = world(tmp_path, f"{MARK}[authentication]\ncheck = {checks}\n", resolver=resolver)
    content = b"From: ann@elsewhere.example\nSubject: x\n\n" + (b"y" * 70 + b"\n") * (length // 70 + 1)
    assert sent(here, content, "joe@example.org", ip=ip).startswith("250")
    (message,) = here.mailbox("joe@example.org")
    header, _, body = message.partition(b"\n\n")
    assert body == content.partition(b"\n\n")[2]
    assert (b"X-Blocklist: list.example" in header) == ip.endswith("6")
    assert re.search(rb"^Received: from ", header, re.MULTILINE)
    assert all(line.strip() for line in header.split(b"\n"))
    assert header.endswith(b"\nFrom: ann@elsewhere.example\nSubject: x")


def left(act: Callable[[], object]) -> list[str]:
    """The kinds of our objects that only the garbage collector removes after `act`."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        act()
        gc.collect()
        kinds = [f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.garbage]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    return sorted({kind for kind in kinds if kind.startswith(("smtpd_classic.", "spool."))})


GARBAGE = {
    "plain": "",
    "rule": RULE,
    "refused": "[basic]\nmax_hops = 1\n",
    "marked": MARK,
    "attachments": "block_attachments = exe\n",
    "a milter": "[milter one]\naddress = unix:/nowhere\nwhen_down = accept\nfor = both\n",
    "checked": "[authentication]\ncheck = yes\n",
}


@pytest.mark.parametrize("length", [10, 100_000], ids=["small", "large"])
@pytest.mark.parametrize("more", GARBAGE.values(), ids=GARBAGE)
@pytest.mark.parametrize("recipient", ["joe@example.org", "friend@elsewhere.example", "mix@example.org"])
def test_nothing_of_a_message_waits_for_the_garbage_collector(
    tmp_path: Path, recipient: str, more: str, length: int
) -> None:
    here = world(tmp_path, more + TRUSTED)
    content = b"Received: a\nReceived: b\nFrom: ann@elsewhere.example\n\n" + (b"y" * 70 + b"\n") * (length // 70 + 1)

    def one() -> None:
        ip = "203.0.113.5" if recipient.startswith("joe") else "192.0.2.7"
        assert sent(here, content, recipient, ip=ip).startswith("554" if "max_hops" in more else "250")

    assert left(one) == []
