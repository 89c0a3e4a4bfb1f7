"""Filter rules: each field, comparison, direction and action is set on the page, and messages fare as it says."""

import base64
import binascii
import json

import pytest

from smtpd_classic.config.option import options_of
from smtpd_classic.config.schema import FilterRule
from smtpd_classic.smtp.events import Event, RcptTo
from smtpd_classic.smtp.reply import Reply
from tests.client.fake_host import FakeHost, Talk, hosts
from tests.waiting import until
from tests.wire.panel import Panel, options
from tests.wire.world import ANN, AWAY, JOE, World, to
from tests.zip_files import zipped

pytestmark = pytest.mark.screen

PAGE = "Filter Rules"
ROW = options("filter-rule", named=True)
STRANGER = "x@there.test"
ACCEPTED, REFUSED = "250", "550 5.7.1 The message is refused by a rule"
PLAIN = {"filter": {"sender_domain": "no"}}


def test_every_option_has_a_test() -> None:
    assert [each.name for each in options_of(FilterRule) if f"test_{each.name}" not in globals()] == []


def rules(**more: dict[str, str]) -> dict[str, dict[str, str]]:
    """Sections: the rule alpha refuses by the subject; others by their names."""
    alpha = {"field": "subject", "text": "prize", "action": "refuse"}
    return {**PLAIN, **{f"filter-rule {name}": {**alpha, **values} for name, values in more.items()}}


def set_row(world: World, **values: str) -> None:
    panel = row(world)
    for name, value in values.items():
        panel.fill(ROW[name], value)
    panel.button("OK").hides(f"{PAGE}: alpha").shows("*alpha")
    world.panel.apply(*(f"+{name} = {value}" for name, value in values.items()))


def row(world: World) -> Panel:
    return world.panel.open(PAGE).row("alpha").button("Edit").shows(f"{PAGE}: alpha")


def reply(
    world: World,
    *headers: str,
    sender: str = STRANGER,
    recipients: tuple[str, ...] = (JOE,),
    body: str = "A line.",
    tag: str = "",
    ip: str = "",
    login: str = "",
) -> str:
    """The last reply to a message."""
    with world.client(login, ip=ip) as client:
        answer = client.envelope(sender, *recipients)
        text = world.text(tag or world.tag(), sender, *headers, body=body)
        return client.content(text) if answer.startswith("250") else answer


def folder_of(world: World, user: str, tag: str) -> str:
    """The folder of a mailbox with the message; blank if it has none."""
    folder = world.instance.folder / "mail" / "example.test" / user
    for name in ("", ".Junk/"):
        if any(tag in path.read_text() for path in (folder / f"{name}new").glob("*")):
            return name.strip("./").lower() or "inbox"
    return ""


def attached(name: str, data: bytes = b"x", kind: str = "application/octet-stream") -> tuple[str, str]:
    """A header field and a body with an attached file."""
    part = f"Content-Type: {kind}\nContent-Disposition: attachment; {name}\nContent-Transfer-Encoding: base64\n\n"
    text = part + base64.encodebytes(data).decode()
    return "Content-Type: multipart/mixed; boundary=B", f"--B\n\nText.\n--B\n{text}--B--\n"


@pytest.mark.parametrize(
    ("field", "text", "good", "bad"),
    [
        ("from", "bad@there.test", "From: Good <good@there.test>", "From: Bad\n <BAD@There.test>"),
        ("to", "team@there.test", "To: x@there.test", "Cc: y@there.test, Team <team@there.test>"),
        ("subject", "große Preise", "X: 1", "Subject: =?utf-8?q?GRO=C3=9FE?=\n =?utf-8?b?IFByZWlzZQ==?="),
        ("header X-Mailer", "bulk", "X-Other: bulk", "X-Mailer: The\n\tBulk mailer"),
    ],
    ids=["from", "to", "subject", "header"],
)
def test_field(world: World, field: str, text: str, good: str, bad: str) -> None:
    world.given(rules(alpha={}))
    set_row(world, **({"field": field} if field != "subject" else {}), text=text)
    assert reply(world, good).startswith(ACCEPTED)
    assert reply(world, bad).startswith(REFUSED)


def test_field_sender(world: World) -> None:
    world.given(rules(alpha={}))
    set_row(world, field="sender", text="@There.test")
    assert reply(world).startswith(REFUSED)
    assert reply(world, sender="x@here.test").startswith(ACCEPTED)
    assert reply(world, sender="").startswith(ACCEPTED)
    assert reply(world, recipients=("postmaster@example.test",)).startswith(ACCEPTED)


def test_field_recipient(world: World) -> None:
    world.given(rules(alpha={}))
    set_row(world, field="recipient", text="ann@")
    assert reply(world, recipients=(ANN,)).startswith(REFUSED)
    assert reply(world).startswith(ACCEPTED)


def test_field_client(world: World) -> None:
    world.given(rules(alpha={}))
    set_row(world, field="client", text="127.77.20.0/24, 192.0.2.1")
    assert reply(world, ip="127.77.20.9").startswith(REFUSED)
    assert reply(world, ip="127.77.21.9").startswith(ACCEPTED)


def test_field_size(world: World) -> None:
    world.given(rules(alpha={}))
    set_row(world, field="size", match="over", text="100K")
    large = "x" * 900 + ("\n" + "x" * 900) * 120
    assert reply(world, body=large).startswith(REFUSED)
    assert reply(world).startswith(ACCEPTED)
    set_row(world, match="under")
    assert reply(world, body=large).startswith(ACCEPTED)
    assert reply(world).startswith(REFUSED)


def tnef(name: str) -> bytes:
    title = name.encode() + b"\0"
    blocks = b"".join(
        b"\x02" + number.to_bytes(4, "little") + len(data).to_bytes(4, "little") + data + b"\0\0"
        for number, data in ((0x00069002, b"\0" * 14), (0x00018010, title), (0x0006800F, b"x" * 5000))
    )
    return bytes.fromhex("789f3e220100") + blocks


def uuencoded(name: str, data: bytes = b"x" * 100) -> str:
    """A text with a file in it."""
    lines = "".join(binascii.b2a_uu(data[at : at + 45]).decode() for at in range(0, len(data), 45))
    return f"Hello,\n\nbegin 644 {name}\n{lines}`\nend\n\nBye.\n"


BAD_FILES = {
    "plain": attached('filename="invoice.EXE"'),
    "RFC 2047": attached('filename="=?utf-8?b?aW52b2ljZS5leGU=?="'),
    "RFC 2231": attached("filename*0*=utf-8''inv%6Fice;\n filename*1=\".exe\""),
    "RFC 2231 and for others": attached("filename*=utf-8''invoice.exe; filename=\"invoice.pdf\""),
    "with a dot behind": attached('filename="invoice.exe."'),
    "twice": attached('filename="invoice.exe"; filename="invoice.pdf"'),
    "in a zip": attached("filename=x.zip", zipped("a.txt", "dir/invoice.exe")),
    "in winmail.dat": attached("filename=winmail.dat", tnef("invoice.exe"), "application/ms-tnef"),
    "uuencoded": ("X: 1", uuencoded("the invoice.EXE")),
    "uuencoded, said to be so": ("Content-Transfer-Encoding: x-uuencode", uuencoded("invoice.exe")),
    "uuencoded in base64": (
        "Content-Transfer-Encoding: base64",
        base64.encodebytes(uuencoded("a.exe").encode()).decode(),
    ),
    "in a uuencoded zip": ("Content-Type: text/plain", uuencoded("a.zip", zipped("a.txt", "invoice.exe"))),
    "uuencoded in a part": (
        "Content-Type: multipart/mixed; boundary=B",
        f"--B\nContent-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\n{uuencoded('a.exe')}\n--B--\n",
    ),
}


@pytest.fixture(name="by_attachment")
def _by_attachment(world: World) -> World:
    world.given(rules(alpha={"field": "attachment", "match": "ends", "text": ".exe"}))
    return world


def test_field_attachment_on_the_page(world: World) -> None:
    world.given(rules(alpha={}))
    set_row(world, field="attachment", match="ends", text=".exe")
    for name, answer in {"invoice.EXE": REFUSED, "invoice.exe.txt": ACCEPTED}.items():
        header, body = attached(f'filename="{name}"')
        assert reply(world, header, body=body).startswith(answer)


@pytest.mark.parametrize("name", BAD_FILES)
def test_field_attachment(by_attachment: World, name: str) -> None:
    header, body = BAD_FILES[name]
    assert reply(by_attachment, header, body=body).startswith(REFUSED)


def test_a_text_about_files_has_none(by_attachment: World) -> None:
    for text in (
        "begin 644 invoice.exe",
        "Write\nbegin 644 invoice.exe\nand then the data.",
        "A\n begin 644 a.exe\n!\n",
    ):
        assert reply(by_attachment, body=text).startswith(ACCEPTED), text


def test_field_attachment_of_a_large_message(by_attachment: World) -> None:
    header, body = attached("filename=x.zip", bytes(200_000) + zipped("invoice.exe"))
    assert reply(by_attachment, header, body=body).startswith(ACCEPTED)  # it does not begin as a zip file does
    header, body = attached("filename=x.zip", zipped(*(f"{number}.txt" for number in range(900)), "invoice.exe"))
    assert reply(by_attachment, header, body=body).startswith(REFUSED)
    header, body = attached("filename=x.zip", zipped("invoice.exe.txt"))
    assert reply(by_attachment, header, body=body).startswith(ACCEPTED)
    text = "A line.\n" * 20_000
    assert reply(by_attachment, body=text + uuencoded("invoice.exe", bytes(300_000)) + text).startswith(REFUSED)


@pytest.mark.parametrize(
    ("match", "text", "subject"),
    [
        ("is", "a  PRIZE", "a prize"),
        ("starts", "a pri", "A Prize for you"),
        ("ends", "you", "A Prize for YOU"),
        ("wildcard", "*pri?e*you", "a prize for you"),
    ],
)
def test_match(world: World, match: str, text: str, subject: str) -> None:
    world.given(rules(alpha={}))
    set_row(world, match=match, text=text)
    assert reply(world, f"Subject: {subject}").startswith(REFUSED)
    assert reply(world, f"Subject: not {subject} .").startswith(ACCEPTED)


def test_text(world: World) -> None:
    world.given(rules(alpha={}))
    assert reply(world, "Subject: the prize").startswith(REFUSED)
    set_row(world, text="lottery")
    assert reply(world, "Subject: the prize").startswith(ACCEPTED)
    assert reply(world, "Subject: the lottery").startswith(REFUSED)


def test_direction(world: World) -> None:
    world.given(rules(alpha={}))
    prize = "Subject: the prize"
    assert reply(world, prize, sender=JOE, login=JOE).startswith(ACCEPTED)
    set_row(world, direction="out")
    assert reply(world, prize, sender=JOE, login=JOE).startswith(REFUSED)
    assert reply(world, prize).startswith(ACCEPTED)
    set_row(world, direction="both")
    assert reply(world, prize, sender=JOE, login=JOE).startswith(REFUSED)
    assert reply(world, prize).startswith(REFUSED)


def test_action(world: World) -> None:
    world.given(rules(alpha={}))
    set_row(world, action="junk")
    tag = world.tag()
    assert reply(world, "Subject: the prize", tag=tag).startswith(ACCEPTED)
    assert folder_of(world, "joe", tag) == "junk"
    world.logged("filter rules: alpha (junk) -> junk")


def test_action_hold(world: World) -> None:
    world.given(rules(alpha={}))
    set_row(world, action="hold")
    for body in ("A line.", "x" * 900 + ("\n" + "x" * 900) * 120):
        tag = world.tag()
        assert reply(world, "Subject: the prize", tag=tag, body=body).startswith(ACCEPTED)
        assert folder_of(world, "joe", tag) == ""
    rows = [json.loads(line) for line in world.command("queue", "list", "--json").stdout.splitlines()]
    assert [(each["hold_reason"], each["hold_text"]) for each in rows] == [("quarantine", "filter rule alpha")] * 2


def test_action_copy_and_redirect_here(world: World) -> None:
    world.given(rules(alpha={}))
    set_row(world, action=f"copy {ANN}")
    tag = world.tag()
    assert reply(world, "Subject: the prize", tag=tag).startswith(ACCEPTED)
    assert (folder_of(world, "joe", tag), folder_of(world, "ann", tag)) == ("inbox", "inbox")
    set_row(world, action=f"redirect {ANN}")
    tag = world.tag()
    assert reply(world, "Subject: the prize", tag=tag).startswith(ACCEPTED)
    assert (folder_of(world, "joe", tag), folder_of(world, "ann", tag)) == ("", "inbox")


def test_a_recipient_is_redirected_once(world: World) -> None:
    """The first rule counts: one about recipients redirects those that it matches, and a later one the others."""
    for address, target in (("office", ANN), ("post", "p@away.test"), ("other", "o@away.test")):
        assert world.command("alias", "set", f"{address}@example.test", target).returncode == 0
    joe = {"field": "recipient", "match": "is", "text": JOE, "action": "redirect office@example.test"}
    both = rules(alpha=joe, beta={"action": "redirect post@example.test"})
    with hosts(peer := FakeHost()):
        world.given({**both, "direct away.test": to(peer)})
        tag = world.tag()
        for recipients in ((JOE,), (JOE, "other@example.test")):
            assert reply(world, "Subject: the prize", recipients=recipients, tag=tag).startswith(ACCEPTED)
        until(lambda: peer.got, 20, world.log)
        assert [each.recipients for each in peer.got] == [("p@away.test",)]
        until(lambda: len(world.mail("ann", tag)) == 2, 20, world.log)
        assert not world.mail("joe", tag)


def test_a_redirect_to_an_address_without_mail_does_nothing(world: World) -> None:
    made = world.instance.run("user", "add", "off@example.test", "--password-stdin", input="secret word")
    assert made.returncode == 0, made.stderr
    assert world.command("user", "status", "off@example.test", "disabled").returncode == 0
    for address in ("nobody-here@example.test", "off@example.test"):
        for word, effect in (("redirect", "redirects nothing"), ("copy", "makes no copy")):
            world.given(rules(alpha={"action": f"{word} {address}"}))
            said = world.command("check").stderr
            assert f"there is no {address} here that gets mail, so that the rule alpha {effect}" in said
            tag = world.tag()
            assert reply(world, "Subject: the prize", tag=tag).startswith(ACCEPTED)
            assert folder_of(world, "joe", tag) == "inbox"
            assert not world.mail("off", tag)
    assert world.command("user", "delete", "off@example.test").returncode == 0


def test_action_redirect_elsewhere(world: World) -> None:
    """The sender is rewritten, and a copy that comes back is recognised."""
    peer = FakeHost()
    with hosts(peer):
        world.given({**rules(alpha={}), "direct away.test": to(peer)})
        set_row(world, action=f"redirect {AWAY}")
        assert reply(world, "Subject: the prize").startswith(ACCEPTED)
        until(lambda: peer.got, 20, world.log)
        got = peer.got[0]
        assert got.recipients == (AWAY,)
        assert got.sender.startswith("SRS0=")
        assert f"Delivered-To: {JOE}" in got.content.decode()
        assert reply(world, f"Delivered-To: {JOE}", "Subject: the prize").startswith("554 5.4.6")


def test_action_header(world: World) -> None:
    world.given(rules(alpha={}))
    set_row(world, action="header X-Note: a prize")
    tag = world.tag()
    assert reply(world, "Subject: the prize", tag=tag).startswith(ACCEPTED)
    assert "X-Note: a prize\n" in world.arrives("joe", tag)


def test_action_accept_ends_the_list(world: World) -> None:
    good = {"field": "sender", "text": STRANGER, "action": "accept"}
    world.given(rules(alpha={}, beta=good))
    assert reply(world, "Subject: the prize").startswith(REFUSED)
    world.panel.open(PAGE).row("beta").button("Up")
    world.panel.apply()
    assert reply(world, "Subject: the prize").startswith(ACCEPTED)
    assert reply(world, "Subject: the prize", sender="y@here.test").startswith(REFUSED)


def test_action_accept_cancels_junk_of_lists(world: World) -> None:
    listed = {"sender_domain": "no", "blocklists": "list.test", "blocklist_action": "junk"}
    good = {"field": "subject", "text": "prize", "action": "accept"}
    world.given({"filter": listed, "filter-rule alpha": good})
    for subject, place in {"the prize": "inbox", "other": "junk"}.items():
        tag = world.tag()
        assert reply(world, f"Subject: {subject}", tag=tag, ip="127.77.10.1").startswith(ACCEPTED)
        assert folder_of(world, "joe", tag) == place


@pytest.mark.parametrize("word", ["copy", "redirect"])
def test_notices_about_a_copy_and_about_a_redirected_message(world: World, word: str) -> None:
    """A copy is not a matter of the sender, who must not learn its address from a bounce."""

    def refuse(event: Event, talk: Talk) -> Reply | None:
        return Reply(550, "5.1.1", "no such user") if isinstance(event, RcptTo) else None

    with hosts(peer := FakeHost(script=refuse)):
        direct = {"direct away.test": {"hosts": f"{peer.ip}:{peer.port}"}}
        rule = {"field": "subject", "text": "tag", "action": f"{word} {AWAY}", "direction": "both"}
        world.given({**PLAIN, **direct, "filter-rule alpha": rule})
        tags = {}
        for notify in ("", " NOTIFY=NEVER"):
            tags[notify] = world.tag()
            with world.client(JOE) as client:
                assert client.say(f"MAIL FROM:<{JOE}>").startswith("250")
                assert client.say(f"RCPT TO:<{ANN}>{notify}").startswith("250")
                queue_id = client.content(world.text(tags[notify])).split()[-1].strip(".")
            world.logged(f"{queue_id}: to=<{AWAY}>", "status=bounced")
            until(lambda: not world.waiting(), 20, world.log)
        assert len(world.mail("joe", "Action: failed", "To: <joe@example.test>", tags[""])) == (word == "redirect")
        assert not world.mail("joe", "Action: failed", tags[" NOTIFY=NEVER"])
        assert bool(world.mail("ann", tags[""])) == (word == "copy")
