"""Mailboxes of a Dovecot behind LMTP: the mail that arrives, waits or comes back."""

import pwd
import subprocess
from collections.abc import Iterator

import pytest

from tests.dovecot_lmtp import MailStoreServer, mail_store_server
from tests.tools import need
from tests.waiting import until
from tests.wire.panel import options
from tests.wire.world import ANN, JOE, World

SERVER = options("server")
AT_ONCE = {"retry_interval": "1s", "max_retry_interval": "1s"}


@pytest.fixture(scope="module")
def store(everything: World) -> Iterator[MailStoreServer]:
    version = subprocess.run([need("dovecot"), "--version"], capture_output=True, text=True, check=True).stdout
    if not version.startswith("2.3"):
        pytest.skip(f"the fixture is written for Dovecot 2.3, and this is {version}")
    owner = pwd.getpwuid((everything.instance.folder / "mail").stat().st_uid).pw_name
    with mail_store_server({JOE: 0, ANN: 3000}, owner) as server:
        server.sender_log = everything.log
        yield server


def place(store: MailStoreServer) -> str:
    return f"lmtp:unix:{store.socket}"


def test_mailbox(world: World, store: MailStoreServer) -> None:
    """The option of [server], from the screen: mail goes into the other server's mailbox, and none into ours."""
    world.given({})
    world.set("Server", SERVER["mailbox"], place(store))
    tag = world.tag()
    queue_id = world.send(JOE, ANN, tag=tag)
    text = store.arrives(JOE, f"Subject: {tag}")
    assert f"Return-Path: <{JOE}>" in text
    store.arrives(ANN, f"Subject: {tag}")
    assert world.mail("joe", tag) == []
    line = world.logged("smtpd-classic/lmtp", f"{queue_id}: to=<{JOE}>")
    assert f"relay={store.socket}" in line
    assert "status=sent" in line


def test_mailbox_of_one_domain(world: World, store: MailStoreServer) -> None:
    """A domain may have its own place, also by TCP; the others stay where they are."""
    world.given({"server": {"mailbox": place(store)}, "domain example.test": {"mailbox": "maildir"}})
    tag = world.tag()
    world.send(JOE, tag=tag)
    world.arrives("joe", tag)
    world.given({"domain example.test": {"mailbox": f"lmtp:127.0.0.1:9, lmtp:127.0.0.1:{store.port}"}})
    world.send(JOE, tag=tag + "b")
    store.arrives(JOE, f"Subject: {tag}b")


def test_a_tag_stays_in_the_address_and_the_quota_of_dovecot_defers(world: World, store: MailStoreServer) -> None:
    """A full mailbox waits in the queue, and the other recipients have their mail."""
    world.given({"server": {"mailbox": place(store), "verify_recipients": "no"}})
    tag = world.tag()
    world.send("joe+list@example.test", tag=tag)  # alone: Dovecot names the recipient only where there is one
    assert "Delivered-To: joe+list@example.test" in store.arrives(JOE, tag)
    tag = world.tag()
    queue_id = world.send(JOE, ANN, text=world.text(tag, JOE, body="A long line. \n" * 250))
    store.arrives(JOE, tag)
    row = world.deferred(queue_id)
    line = world.logged(f"{queue_id}: to=<{ANN}>", "status=deferred")
    assert "dsn=4.2.2" in line
    assert row["attempts"] == 1
    assert "status=bounced" not in world.log(queue_id)


def test_mail_waits_while_the_server_is_down(world: World, store: MailStoreServer) -> None:
    """250 to the client, deferred, delivered after the return; nothing comes back."""
    world.given({"server": {"mailbox": place(store)}, "basic": AT_ONCE})
    store.stop()
    try:
        tag = world.tag()
        queue_id = world.send(JOE, tag=tag)
        world.deferred(queue_id)
    finally:
        store.start()
    store.arrives(JOE, tag)
    assert "status=bounced" not in world.log(queue_id)


def test_an_unknown_user_of_the_server_comes_back(world: World, store: MailStoreServer) -> None:
    """An account here that the mail store does not know: its sender gets the words of the store."""
    world.given({"server": {"mailbox": place(store), "verify_recipients": "no"}})
    store.set_users({JOE: 0})
    try:
        queue_id = world.send(ANN)
        assert "said: 550 5.1.1" in world.logged(f"{queue_id}: to=<{ANN}>", "status=bounced")
        store.arrives(JOE, "5.1.1", ANN)
    finally:
        store.set_users({JOE: 0, ANN: 3000})


def test_verify_recipients(world: World, store: MailStoreServer) -> None:
    """The mail store is asked at RCPT: it knows no Ann, and Joe's mailbox is full; while it is down, mail waits."""
    world.given({"server": {"mailbox": place(store), "verify_recipients": "no"}})
    tag = world.tag()
    try:
        store.set_users({JOE: 0})
        world.send(JOE, text=world.text(tag, JOE, body="A line. \n" * 100))
        store.arrives(JOE, tag)
        store.set_users({JOE: 500})
        with world.client() as client:
            assert client.envelope("eve@reject.test", ANN, JOE).startswith("250")
        world.set("Server", SERVER["verify_recipients"], "yes")
        with world.client() as client:
            assert client.envelope("eve@reject.test", ANN).startswith("550 5.1.1")
            until(lambda: client.say(f"RCPT TO:<{JOE}>").startswith("452 4.2.2"), 20)
            assert client.say("RCPT TO:<postmaster>").startswith("250")
        store.stop()
        with world.client() as client:
            assert client.envelope("eve@reject.test", JOE).startswith("250")
        world.logged("verification of recipients of lmtp:unix:", "accepted unverified")
        store.start()
    finally:
        store.set_users({JOE: 0, ANN: 3000})


def test_junk_is_marked_and_filed_by_the_shipped_script(world: World, store: MailStoreServer) -> None:
    world.given({"server": {"mailbox": place(store)}, "authentication": {"check": "yes"}})
    tag = world.tag()
    with world.client(ip="127.77.9.1") as client:
        assert client.envelope("eve@reject.test", JOE).startswith("250")
        assert client.content(world.text(tag, "eve@reject.test")).startswith("250")
    text = store.arrives(JOE, f"Subject: {tag}", folder=".Junk")
    assert "X-Spam-Flag: YES\n" in text
    assert "Authentication-Results: " in text


def test_a_place_that_is_none_is_refused_on_the_screen(world: World) -> None:
    world.given({})
    for wrong in ("lmtp:127.0.0.1", "lmtp:127.0.0.1:25", "smtp:unix:/run/x", "lmtp:unix:run/x"):
        done = world.command("config", "set", "server", "mailbox", wrong)
        assert done.returncode != 0, wrong
    port = world.instance.ports["smtp"]
    loop = world.command("config", "set", "server", "mailbox", f"lmtp:127.0.0.1:{port}")
    assert "mail would loop" in loop.stderr
