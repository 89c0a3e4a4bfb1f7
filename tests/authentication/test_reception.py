"""Mail of strangers at a running server: results, junk folder, refusals, forged fields."""

import email
import json
import smtplib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from tests.client.fake_host import FakeHost
from tests.instance import Instance, running
from tests.mailauth.messages import key_record, rsa_key, signed, signing_key
from tests.test_dns import name_server
from tests.waiting import until

CLIENT = "127.0.0.1"
TEXT = b"From: Ann <ann@example.org>\nTo: joe@example.test\nSubject: hello\n\nA line.\n"


def txt(name: str, text: str) -> str:
    pieces = ",".join(f'"{text[at : at + 250]}"' for at in range(0, len(text), 250))
    return f"txt-record={name},{pieces}"


ZONE = [
    txt("example.org", "v=spf1 ip4:127.0.0.1 -all"),
    txt("sel._domainkey.example.org", key_record(rsa_key()).decode()),
    txt("_dmarc.example.org", "v=DMARC1; p=reject"),
    txt("quarantine.example", "v=spf1 -all"),
    txt("_dmarc.quarantine.example", "v=DMARC1; p=quarantine"),
    txt("reject.example", "v=spf1 -all"),
    txt("_dmarc.reject.example", "v=DMARC1; p=reject"),
    txt("example.test", "v=spf1 ip4:127.0.0.9 ~all"),
    txt("forwarder.example", "v=spf1 ip4:127.0.0.1 -all"),
    "host-record=plain.example,127.0.0.1",
]


class World:
    """A server with a name server that knows the zone."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance

    def send(
        self,
        text: bytes,
        sender: str = "ann@example.org",
        *to: str,
        ip: str = CLIENT,
        helo: str = "client.example",
        login: bool = False,
    ) -> str:
        """The last reply."""
        with smtplib.SMTP(
            "127.0.0.1", self.instance.ports["smtp"], local_hostname=helo, timeout=30, source_address=(ip, 0)
        ) as client:
            client.ehlo()
            if login:
                client.starttls(context=self.instance.tls())
                client.login(self.instance.login, self.instance.password)
            for command in (f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{each}>" for each in to or ["joe@example.test"])):
                code, said = client.docmd(command)
                if code >= 300:
                    return f"{code} {said.decode()}"
            code, said = client.data(text.replace(b"\n", b"\r\n"))
            return f"{code} {said.decode()}"

    def files(self, folder: str = "") -> list[Path]:
        new = self.instance.folder / "mail" / "example.test" / "joe" / folder / "new"
        return sorted(new.iterdir(), key=lambda path: path.stat().st_mtime_ns) if new.is_dir() else []

    def newest(self, folder: str = "") -> str:
        return self.files(folder)[-1].read_text(encoding="utf-8", errors="surrogateescape")

    def reload(self) -> None:
        before = self.instance.log().count("reload -- ")
        self.instance.reload()
        until(lambda: self.instance.log().count("reload -- ") > before, 20, self.instance.log)

    def results(self, folder: str = "") -> str:
        """The field of the newest message, unfolded."""
        message = email.message_from_string(self.newest(folder))
        return " ".join(str(message["Authentication-Results"]).split())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    hole = silent()  # the name server of slow.example
    zone = [*ZONE, f"server=/slow.example/127.0.0.1#{hole.getsockname()[1]}"]
    process, port = name_server(tmp_path_factory.mktemp("dns"), zone)
    try:
        with running("example.test", server__name_servers=f"127.0.0.1:{port}", authentication__check="yes") as instance:
            yield World(instance)
    finally:
        process.terminate()
        process.wait(10)
        hole.close()


@pytest.fixture
def world(server: World) -> Iterator[World]:
    """The server with its file as it was at first."""
    before = server.instance.file.read_text()
    yield server
    if server.instance.file.read_text() != before:
        server.instance.file.write_text(before)
        server.reload()


def test_the_results_stand_on_top_under_the_envelope(world: World) -> None:
    assert world.send(signed(TEXT.partition(b"\n\n")[0] + b"\n", b"A line.\n")).startswith("250")
    lines = world.newest().splitlines()
    assert [line.partition(":")[0] for line in lines[:3]] == ["Return-Path", "Envelope-To", "Authentication-Results"]
    assert world.results() == (
        "example.test; dkim=pass header.d=example.org header.s=sel header.a=rsa-sha256"
        f" header.b={world.results().split('header.b=')[1].split(';')[0]};"
        " spf=pass smtp.mailfrom=example.org; dmarc=pass (dis=mark) policy.dmarc=reject header.from=example.org;"
        " iprev=pass policy.iprev=127.0.0.1"
    )
    assert "X-Spam-Flag: NO\nX-Spam-Reason: none\n" in world.newest()
    assert "auth: spf=pass (example.org) dkim=pass (example.org/sel) dmarc=pass p=reject -> inbox" in (
        world.instance.log()
    )


@pytest.mark.parametrize(
    ("text", "sender", "words"),
    [
        (TEXT, "ann@example.org", "dkim=none; spf=pass smtp.mailfrom=example.org; dmarc=pass"),
        (TEXT.replace(b"example.org", b"plain.example"), "x@plain.example", "spf=none"),
        (TEXT.replace(b"example.org", b"nowhere.example"), "", "spf=none smtp.helo=client.example; dmarc=none"),
        (signed(TEXT.partition(b"\n\n")[0] + b"\n", b"other\n"), "x@plain.example", "dkim=pass"),
        (
            signed(TEXT.partition(b"\n\n")[0] + b"\n", b"x\n", signing_key("gone")),
            "ann@example.org",
            "dkim=permerror header.d=example.org header.s=gone",
        ),
    ],
)
def test_words(world: World, text: bytes, sender: str, words: str) -> None:
    assert world.send(text, sender).startswith("250")
    assert words in world.results()


def test_a_large_message_has_its_results_in_the_room_kept_for_them(world: World) -> None:
    header = TEXT.partition(b"\n\n")[0] + b"\n"
    body = b"0123456789 abcdef\n" * 20_000
    assert world.send(signed(header, body)).startswith("250")
    text = world.newest()
    assert "dmarc=pass" in world.results()
    assert "dkim=pass" in world.results()
    assert text.endswith(body.decode())
    top = text.partition("\n\n")[0]
    assert max(len(line) for line in top.splitlines()) < 998
    assert all(line.strip() for line in top.splitlines())
    assert f",S={len(text.encode())}" in world.files()[-1].name


def test_mail_that_looks_forged_goes_to_the_junk_folder(world: World) -> None:
    for domain in ("quarantine.example", "reject.example"):
        text = TEXT.replace(b"example.org", domain.encode())
        assert world.send(text, f"x@{domain}").startswith("250")
        assert "dmarc=fail (dis=junk)" in world.results(".Junk")
        assert f"X-Spam-Flag: YES\nX-Spam-Reason: dmarc=fail p={domain.split('.')[0]}\n" in world.newest(".Junk")
    assert (world.files(".Junk")[0].parent.parent / "maildirfolder").exists()
    assert "-> junk" in world.instance.log()


@pytest.mark.parametrize(
    "header",
    [
        b"From: a@one.example, b@two.example\n",
        b"From: a@one.example\nFrom: a@one.example\n",
        b"Subject: no author\n",
    ],
)
def test_a_message_without_one_author_is_junk(world: World, header: bytes) -> None:
    before = len(world.files(".Junk"))
    assert world.send(header + b"\ntext\n").startswith("250")
    assert len(world.files(".Junk")) == before + 1
    assert "dmarc=permerror" in world.results(".Junk")


NOTED = " name=boss@example.net -> inbox"


@pytest.mark.parametrize(
    ("author", "reason"),
    [
        (b'"boss@example.net" <ann@example.org>', "the author's name shows another address"),
        (b"ann@example.org (boss@example.net)", "the author's name shows another address"),
        (b"=?utf-8?q?boss=40example=2Enet?= <ann@example.org>", "the author's name shows another address"),
        (b'"ANN@example.org" <ann@example.org>', "none"),
        (b"Ann at work <ann@example.org>", "none"),
    ],
)
def test_a_name_that_shows_another_address_is_marked(world: World, author: bytes, reason: str) -> None:
    before, noted = len(world.files()), world.instance.log().count(NOTED)
    assert world.send(TEXT.replace(b"Ann <ann@example.org>", author)).startswith("250")
    assert len(world.files()) == before + 1
    assert f"X-Spam-Flag: NO\nX-Spam-Reason: {reason}\n" in world.newest()
    assert world.instance.log().count(NOTED) == noted + (reason != "none")


def test_forged_results_and_spam_fields_are_removed(world: World) -> None:
    forged = (
        b"Authentication-Results: example.test; spf=pass\n"
        b"AUTHENTICATION-Results:\n\t(a (nested) comment) EXAMPLE.test 1\n ; dkim=pass\n"
        b'Authentication-Results: "example.test"; none\n'
        b"Authentication-Results: unreadable (\n"
        b"Authentication-Results:\n"
        b"Authentication-Results: other.example; spf=pass smtp.mailfrom=kept.example\n"
        b"X-Spam-Flag: NO\nX-spam-reason: none\n"
    )
    assert world.send(forged + TEXT).startswith("250")
    text = world.newest()
    assert text.lower().count("authentication-results:") == 2
    assert "kept.example" in text
    assert text.lower().count("x-spam-flag") == text.lower().count("x-spam-reason") == 1
    assert world.send(forged + TEXT.replace(b"ann@example.org", b"joe@example.test"), "joe@example.test", login=True)
    assert world.newest().lower().count("authentication-results:") == 1


def test_results_of_a_gateway_of_ours_stay(world: World) -> None:
    world.instance.set("authentication", "trusted_results", "127.0.0.7")
    world.instance.set("server", "authserv_ids", "gate.example")
    world.reload()
    field = b"Authentication-Results: gate.example; spf=pass smtp.mailfrom=kept.example\n"
    world.send(field + TEXT, ip="127.0.0.7")
    assert "kept.example" in world.newest()
    world.send(field + TEXT)
    assert "kept.example" not in world.newest()


def test_clients_that_are_not_strangers_are_not_checked(world: World) -> None:
    text = TEXT.replace(b"ann@example.org", b"joe@example.test")
    assert world.send(text, "joe@example.test", login=True).startswith("250")
    assert "Authentication-Results" not in world.newest()


def test_mail_in_our_own_name_without_a_login(world: World) -> None:
    own = TEXT.replace(b"ann@example.org", b"boss@example.test")
    before = len(world.files(".Junk"))
    assert world.send(own, "x@forwarder.example").startswith("250")
    assert len(world.files(".Junk")) == before + 1
    assert "X-Spam-Reason: own domain without a login" in world.newest(".Junk")
    # A service that our SPF record authorises may use the name.
    assert world.send(own, "boss@example.test").startswith("530")
    assert world.send(own, "boss@example.test", ip="127.0.0.9").startswith("250")
    assert "spf=pass smtp.mailfrom=example.test" in world.results()
    world.instance.set("authentication", "own_domains", "refuse")
    world.reload()
    assert world.send(own, "x@forwarder.example").startswith(
        "550 5.7.26 Mail from example.test must be sent after a login"
    )


def test_a_sender_with_slow_name_servers_hides_no_forgery(world: World) -> None:
    """The look-ups for names that the sender chooses leave time for the policy of the author's domain."""
    world.instance.set("authentication", "deadline", "1s")
    world.reload()
    for author, reason in (
        ("boss@example.test", "own domain without a login"),
        ("x@reject.example", "dmarc=fail p=reject"),
    ):
        before = len(world.files(".Junk"))
        assert world.send(TEXT.replace(b"ann@example.org", author.encode()), "x@slow.example").startswith("250")
        assert len(world.files(".Junk")) == before + 1
        assert "spf=temperror" in world.results(".Junk")
        assert f"X-Spam-Reason: {reason}" in world.newest(".Junk")


def test_a_policy_may_refuse(world: World) -> None:
    world.instance.set("authentication", "dmarc_reject", "refuse")
    world.instance.set("authentication", "dmarc_quarantine", "mark")
    world.instance.set("authentication", "spf_fail", "refuse")
    world.reload()
    said = world.send(TEXT.replace(b"example.org", b"reject.example"), "x@forwarder.example")
    assert said.startswith("550 5.7.26 reject.example's DMARC policy asks us to refuse mail")
    before = len(world.files())
    assert world.send(TEXT.replace(b"example.org", b"quarantine.example"), "x@forwarder.example").startswith("250")
    assert len(world.files()) == before + 1
    assert "dmarc=fail (dis=mark)" in world.results()
    said = world.send(TEXT, "x@quarantine.example")
    assert said == "550 5.7.23 The SPF record of quarantine.example does not allow 127.0.0.1 to send for it"


def test_mail_of_a_trusted_forwarder_is_only_marked(world: World) -> None:
    world.instance.set("authentication", "trusted_forwarders", "127.0.0.0/24")
    world.reload()
    before = len(world.files())
    assert world.send(TEXT.replace(b"example.org", b"reject.example"), "x@forwarder.example").startswith("250")
    assert len(world.files()) == before + 1
    assert "dmarc=fail (dis=mark)" in world.results()


def test_without_checks_nothing_is_added(world: World) -> None:
    world.instance.set("authentication", "check", "no")
    world.reload()
    assert world.send(TEXT.replace(b"example.org", b"reject.example"), "x@reject.example").startswith("250")
    assert "Authentication-Results" not in world.newest()


def test_without_a_junk_folder_junk_is_marked_in_the_inbox(world: World) -> None:
    world.instance.set("server", "junk_folder", "")
    world.reload()
    before = len(world.files())
    assert world.send(TEXT.replace(b"example.org", b"reject.example"), "x@reject.example").startswith("250")
    assert len(world.files()) == before + 1
    assert "X-Spam-Flag: YES" in world.newest()


def test_an_account_may_have_another_junk_folder(world: World) -> None:
    mail = world.instance.folder / "mail" / "example.test"
    for name, folder in (("spam", ".Spam"), ("inbox", "inbox")):
        assert world.instance.run("user", "add", name, "--password-stdin", input="secret words").returncode == 0
        assert world.instance.run("user", "junk-folder", name, folder).returncode == 0
    forged, sender = TEXT.replace(b"example.org", b"reject.example"), "x@reject.example"
    before = len(world.files(".Junk"))
    together = ["spam@example.test", "inbox@example.test", "joe@example.test"]
    assert world.send(forged, sender, *together).startswith("250")
    for each in together:
        assert world.send(forged, sender, each).startswith("250")
    assert len(list((mail / "spam" / ".Spam" / "new").iterdir())) == 2
    assert len(list((mail / "inbox" / "new").iterdir())) == 2
    assert len(world.files(".Junk")) == before + 2
    assert not (mail / "spam" / ".Junk").exists()


def test_junk_is_never_forwarded(world: World) -> None:
    peer = FakeHost()
    try:
        world.instance.set("direct away.test", "hosts", f"{peer.ip}:{peer.port}")
        world.reload()
        for name, target in (("away", "bob@away.test"), ("both", "joe@example.test, bob@away.test")):
            assert world.instance.run("alias", "set", f"{name}@example.test", *target.split(", ")).returncode == 0
        forged = TEXT.replace(b"example.org", b"reject.example")
        assert world.send(forged, "x@reject.example", "away@example.test").startswith("550 5.7.1")
        before = len(world.files(".Junk"))
        assert world.send(forged, "x@reject.example", "both@example.test").startswith("250")
        until(lambda: len(world.files(".Junk")) == before + 1, 20, world.instance.log)
        assert "dmarc=fail" in world.results(".Junk")
        assert world.send(forged, "x@reject.example", "joe@example.test", "away@example.test").startswith("250")
        until(lambda: len(world.files(".Junk")) == before + 2, 20, world.instance.log)
        assert "held: junk is not forwarded to bob@away.test" in world.instance.log()
        assert not peer.got
        assert world.send(TEXT, "ann@example.org", "both@example.test").startswith("250")
        until(lambda: bool(peer.got), 20, world.instance.log)
        assert b"Authentication-Results: example.test;" in peer.got[0].content
    finally:
        peer.close()


def test_queue_and_status_tell_the_results(world: World) -> None:
    world.instance.set("direct away.test", "hosts", "127.0.0.99:9")
    world.reload()
    assert world.instance.run("alias", "set", "later@example.test", "bob@away.test").returncode == 0
    before = json.loads(world.instance.run("status", "--json").stdout)["totals"]
    queue_id = world.send(TEXT, "ann@example.org", "later@example.test").split()[-1].strip(".")
    shown = json.loads(world.instance.run("queue", "show", queue_id, "--json").stdout)
    shown = shown[0] if isinstance(shown, list) else shown
    assert shown["authentication"].startswith("dkim=none; spf=pass smtp.mailfrom=example.org; dmarc=pass")
    assert not shown["junk"]
    assert "Checked:      dkim=none; spf=pass" in world.instance.run("queue", "show", queue_id).stdout
    assert world.send(TEXT.replace(b"example.org", b"reject.example"), "x@reject.example").startswith("250")
    after = json.loads(world.instance.run("status", "--json").stdout)["totals"]
    assert (after["auth_passed"], after["junk"]) == (before["auth_passed"] + 1, before["junk"] + 1)
    assert f"{after['junk']} junk" in world.instance.run("status").stdout


def silent() -> socket.socket:
    """A name server that never answers."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    return server


def lying(answer: Callable[[dns.message.Message], bytes]) -> socket.socket:
    """A name server that answers every question with these octets."""
    server = silent()

    def run() -> None:
        while True:
            try:
                data, client = server.recvfrom(4096)
                server.sendto(answer(dns.message.from_wire(data)), client)
            except OSError:
                return

    threading.Thread(target=run, daemon=True).start()
    return server


def refused_by_dns(query: dns.message.Message) -> bytes:
    """What a validating resolver says about a bogus zone."""
    reply = dns.message.make_response(query)
    reply.set_rcode(dns.rcode.SERVFAIL)
    return reply.to_wire()


def of_another_question(query: dns.message.Message) -> bytes:
    other = dns.message.make_query("liar.example", "TXT")
    other.id = query.id ^ 1
    reply = dns.message.make_response(other)
    reply.answer.append(dns.rrset.from_text("liar.example.", 60, "IN", "TXT", '"v=DMARC1; p=reject"'))
    return reply.to_wire()


def cut_off(query: dns.message.Message) -> bytes:
    """The rest is to be asked for by TCP, where nobody listens."""
    reply = dns.message.make_response(query)
    reply.flags |= dns.flags.TC
    return reply.to_wire()


@pytest.mark.parametrize(
    "answer",
    [None, refused_by_dns, of_another_question, cut_off, lambda _: b"\0" * 5],
    ids=["silent", "bogus", "lying", "truncated", "garbage"],
)
def test_while_dns_is_out_of_order_nothing_is_junk(
    world: World, answer: Callable[[dns.message.Message], bytes] | None
) -> None:
    """An outage, however long, marks mail and does no more, also mail in our own name."""
    server = silent() if answer is None else lying(answer)
    try:
        world.instance.set("server", "name_servers", f"127.0.0.1:{server.getsockname()[1]}")
        world.instance.set("authentication", "deadline", "1s")
        world.instance.set("authentication", "spf_fail", "refuse")
        world.reload()
        before = len(world.files()), len(world.files(".Junk"))
        for author in ("x@reject.example", "boss@example.test"):
            assert world.send(TEXT.replace(b"ann@example.org", author.encode()), "x@forwarder.example").startswith(
                "250"
            )
            assert "spf=temperror" in world.results()
            assert "dmarc=temperror" in world.results()
            assert "X-Spam-Flag: NO\n" in world.newest()
        assert (len(world.files()), len(world.files(".Junk"))) == (before[0] + 2, before[1])
    finally:
        server.close()


def test_explain_shows_each_word_and_why(world: World, tmp_path: Path) -> None:
    path = tmp_path / "message"
    path.write_bytes(signed(TEXT.partition(b"\n\n")[0] + b"\n", b"changed\n").replace(b"changed", b"another"))
    said = world.instance.run(
        *("explain", "--ip", "127.0.0.5", "--from", "ann@example.org", "--to", "joe@example.test"),
        *("--message", str(path)),
    ).stdout
    assert "action: junk (dmarc=fail p=reject)" in said
    assert "spf=fail example.org: example.org: -all" in said
    assert "dkim=fail example.org/sel: the body has been changed" in said
    assert "dmarc=fail example.org p=reject (example.org): neither SPF nor DKIM confirms the author's domain" in said


def test_explain_refuses_a_message_as_the_server_does(world: World, tmp_path: Path) -> None:
    path = tmp_path / "message"
    path.write_bytes(TEXT.replace(b"example.org", b"reject.example"))
    question = ("--from", "x@forwarder.example", "--to", "joe@example.test", "--message", str(path))

    def explained(*words: str) -> tuple[int, str]:
        done = world.instance.run("explain", *question, *words)
        return done.returncode, done.stdout

    code, said = explained("--ip", "203.0.113.5")
    assert (code, "action: junk (dmarc=fail p=reject)" in said) == (0, True)
    world.instance.set("authentication", "dmarc_reject", "refuse")
    code, said = explained("--ip", "203.0.113.5")
    assert (code, said.startswith("refused: 550 5.7.26 reject.example's DMARC policy")) == (1, True)
    code, said = explained("--ip", "203.0.113.5", "--json")
    shown = json.loads(said)
    assert (code, shown["accepted"], shown["authentication"]["action"]) == (1, False, "refuse")
    words = ("--ip", "203.0.113.5", "--login", "joe", "--from", "joe@example.test")
    assert "action: mark (the mail of this client is not checked)" in explained(*words)[1]
    world.instance.set("authentication", "check", "no")
    code, said = explained("--ip", "203.0.113.5")
    assert (code, "action: mark (the mail of this client is not checked)" in said) == (0, True)
