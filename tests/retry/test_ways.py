"""Which way a queued message takes, and how it looks there: aliases, header replacement, sizes, relay, mailboxes."""

import base64
import datetime
from pathlib import Path

import pytest

from smtpd_classic.smtp import events
from smtpd_classic.smtp.reply import Reply
from smtpd_classic.srs import srs_for
from spool import Recipient
from tests.client.fake_host import FakeHost
from tests.client.test_hosts import when
from tests.retry.world import JOE, MESSAGE, World, running
from tests.tools import TOOLS

BOB = "bob@example.org"
STRANGER = "stranger@far.example"


def forwarded(address: str, alias: str) -> Recipient:
    return Recipient(address, original=alias)


def today(world: World) -> datetime.date:
    return datetime.datetime.fromtimestamp(world.clock.now, datetime.UTC).date()


# Aliases that lead away ----------------------------------------------------------------------------------------------


def test_what_an_alias_sends_on_has_a_sender_of_ours_and_names_the_alias(tmp_path: Path) -> None:
    host = FakeHost()
    with running(tmp_path, host) as world:
        world.gone(world.send(forwarded(BOB, "sales@us.test"), sender=STRANGER))
        srs = srs_for(str(tmp_path / "spool"), "us.test")
        assert srs.reverse(host.got[0].sender, today(world)) == STRANGER
    assert host.got[0].content == b"Delivered-To: sales@us.test\n" + MESSAGE


@pytest.mark.parametrize(
    ("sender", "text"),
    [("", ""), (JOE, ""), (STRANGER, "[remote]\nsrs = no\n")],
    ids=["null sender", "our own sender", "switched off"],
)
def test_the_sender_of_a_forward_stays(tmp_path: Path, sender: str, text: str) -> None:
    host = FakeHost()
    with running(tmp_path, host, text=text) as world:
        world.gone(world.send(forwarded(BOB, "sales@us.test"), sender=sender))
    assert [each.sender for each in host.got] == [sender]
    assert host.got[0].content.startswith(b"Delivered-To: sales@us.test\n")


def test_a_bounce_of_a_forward_goes_to_the_first_sender(tmp_path: Path) -> None:
    host = FakeHost(script=when(events.EndContent, Reply(554, "5.7.1", "spam")))
    with running(tmp_path, host, text="[basic]\ncopy_bounces = none\n") as world:
        world.gone(world.send(forwarded(BOB, "sales@us.test"), sender="ann@us.test"))
        assert b"<sales@us.test>, which leads to" in world.arrived("ann@us.test")[0]


def test_recipients_of_two_aliases_and_of_none_do_not_learn_of_one_another(tmp_path: Path) -> None:
    host = FakeHost()
    with running(tmp_path, host) as world:
        recipients = (forwarded(BOB, "sales@us.test"), forwarded("eve@example.org", "team@us.test"), "sue@example.org")
        world.gone(world.send(*recipients))
    found = {each.recipients: each.content.partition(b"From:")[0] for each in host.got}
    assert found == {
        (BOB,): b"Delivered-To: sales@us.test\n",
        ("eve@example.org",): b"Delivered-To: team@us.test\n",
        ("sue@example.org",): b"",
    }


# Header replacement and size ------------------------------------------------------------------------------------------

REPLACE = "[replace sales@us.test]\naddresses = joe@us.test\nenvelope_sender = yes\nlocal = {}\n"


def test_headers_are_replaced_for_other_servers_and_not_in_the_queue(tmp_path: Path) -> None:
    host = FakeHost()
    with running(tmp_path, host, text=REPLACE.format("no")) as world:
        world.gone(world.send(BOB, "ann@us.test", originates_here=True))
        assert b"\nFrom: joe@us.test\n" in world.arrived("ann@us.test")[0]
    assert host.envelopes == [("sales@us.test", (BOB,))]
    assert host.got[0].content == MESSAGE.replace(b"joe@us.test\nTo", b"sales@us.test\nTo")


def test_headers_are_replaced_in_mailboxes_where_that_is_wanted(tmp_path: Path) -> None:
    with running(tmp_path, text=REPLACE.format("yes")) as world:
        world.gone(world.send("ann@us.test", originates_here=True))
        assert b"\nFrom: sales@us.test\n" in world.arrived("ann@us.test")[0]


def test_mail_that_only_passes_through_keeps_its_headers(tmp_path: Path) -> None:
    host = FakeHost()
    with running(tmp_path, host, text=REPLACE.format("yes")) as world:
        world.gone(world.send(BOB))
    assert (host.got[0].sender, host.got[0].content) == (JOE, MESSAGE)


def test_a_message_too_big_for_other_servers_is_returned_and_its_local_copy_delivered(tmp_path: Path) -> None:
    host = FakeHost()
    content = MESSAGE + b"0123456789\n" * 2000
    with running(tmp_path, host, text="[basic]\nmax_outgoing_size = 10K\n") as world:
        world.gone(world.send(BOB, "ann@us.test", content=content, originates_here=True))
        assert b"Status: 5.3.4" in world.arrived(JOE)[0]
        assert len(world.arrived("ann@us.test")) == 1
    assert not host.connections


def test_mail_of_others_is_never_returned_for_its_size(tmp_path: Path) -> None:
    """It was measured when it came; a limit that was lowered since makes no backscatter."""
    host = FakeHost()
    with running(tmp_path, host, text="[basic]\nmax_outgoing_size = 10K\n") as world:
        world.gone(
            world.send(forwarded(BOB, "sales@us.test"), sender=STRANGER, content=MESSAGE + b"0123456789\n" * 2000)
        )
    assert len(host.got) == 1


def test_the_trace_of_other_deliveries_goes_when_queued_mail_is_delivered(tmp_path: Path) -> None:
    with running(tmp_path) as world:
        content = b"Return-Path: <evil@far.example>\nEnvelope-To: root@us.test\nDelivered-To: ann@us.test\n" + MESSAGE
        world.gone(world.send("ann@us.test", sender=STRANGER, content=content))
        [message] = world.mailbox("ann@us.test")
    assert message == b"Return-Path: <stranger@far.example>\nEnvelope-To: ann@us.test\n" + MESSAGE


# The relay -----------------------------------------------------------------------------------------------------------


def relayed(host: FakeHost, more: str = "") -> str:
    return f"[remote]\ndead_host_time = 0\nrelay_always = yes\nrelay_hosts = relay.test:{host.port}\n{more}"


def test_after_so_many_tries_through_the_relay_the_message_is_returned(tmp_path: Path) -> None:
    relay = FakeHost("relay.test", script=when(events.RcptTo, Reply(451, "4.3.0", "busy")))
    text = relayed(relay, "relay_retries = 2\n")
    with running(tmp_path, relay, addresses={"relay.test": [relay.ip]}, text=text) as world:
        queue_id = world.send("bob@far.example")
        for attempt in (1, 2):
            state = world.tried(queue_id, attempt)
            assert state.recipients[0].relay_attempts == attempt
            world.later(86400 / 2)
        world.gone(queue_id)
        bounce = world.arrived(JOE, 2)
        assert b"Status: 4.4.7" in bounce[-1]
        assert b"451 4.3.0 busy" in bounce[-1]
    assert len([command for command in relay.commands if command.startswith("MAIL")]) == 3


def test_tries_that_end_before_mail_do_not_count(tmp_path: Path) -> None:
    relay = FakeHost("relay.test", script=when(events.Connected, Reply(421, "4.3.0", "busy")))
    text = "[basic]\ndelay_notice = 0\n" + relayed(relay, "relay_retries = 0\n")
    with running(tmp_path, relay, addresses={"relay.test": [relay.ip]}, text=text) as world:
        queue_id = world.send("bob@far.example")
        for attempt in (1, 2, 3):
            state = world.tried(queue_id, attempt)
            assert (state.recipients[0].state, state.recipients[0].relay_attempts) == ("waiting", 0)
            world.later(86400 / 2)


def test_an_exhausted_relay_leaves_the_mx(tmp_path: Path) -> None:
    defers = when(events.RcptTo, Reply(451, "4.3.0", "busy"))
    mx, relay = FakeHost(script=defers), FakeHost("relay.test", script=defers)
    text = (
        "[basic]\ndelay_notice = 0\n[remote]\ndead_host_time = 0\nrelay_when_delivery_fails = yes\n"
        f"relay_hosts = relay.test:{relay.port}\nrelay_retries = 1\n"
    )
    with running(tmp_path, mx, relay, addresses={"relay.test": [relay.ip]}, text=text) as world:
        queue_id = world.send(BOB)
        for attempt in range(1, 5):
            state = world.tried(queue_id, attempt)
            assert state.recipients[0].state == "waiting"
            assert state.recipients[0].relay_attempts == min(attempt, 2)
            world.later(86400 / 2)
        world.tried(queue_id, 5)
    tries = [len([command for command in host.commands if command.startswith("MAIL")]) for host in (mx, relay)]
    assert tries == [5, 2]


# Mailboxes -----------------------------------------------------------------------------------------------------------


def test_queued_mail_for_mailboxes_here(tmp_path: Path) -> None:
    with running(tmp_path) as world:
        world.gone(world.send(Recipient("ann@us.test", original="ann+tag@us.test"), sender=STRANGER))
        assert world.mailbox("ann@us.test") == [
            b"Return-Path: <stranger@far.example>\nEnvelope-To: ann+tag@us.test\n" + MESSAGE
        ]


def test_several_mailboxes_do_not_learn_of_one_another(tmp_path: Path) -> None:
    with running(tmp_path) as world:
        world.gone(world.send("ann@us.test", "root@us.test", sender=STRANGER))
        expected = b"Return-Path: <stranger@far.example>\n" + MESSAGE
        assert world.mailbox("ann@us.test") == world.mailbox("root@us.test") == [expected]


def test_a_full_mailbox_waits_and_one_that_is_gone_bounces(tmp_path: Path) -> None:
    with running(tmp_path) as world:
        queue_id = world.send("full@us.test", "gone@us.test", "ann@us.test")
        state = world.tried(queue_id)
        assert [row.state for row in state.recipients] == ["waiting", "failed", "delivered"]
        assert "mailbox is full" in state.recipients[0].last_reply
        assert b"Final-Recipient: rfc822; gone@us.test" in world.arrived(JOE)[0]


def test_a_message_whose_content_cannot_be_read_is_not_lost(tmp_path: Path) -> None:
    """A disk that fails in the middle of an attempt costs the attempt."""
    host = FakeHost()
    with running(tmp_path, host) as world:
        world.stop()
        queue_id = world.put(BOB, content=MESSAGE + b"x" * 300_000)
        new = tmp_path / "spool" / "new" / queue_id
        whole = new.read_bytes()
        start = whole.index(b"x" * 1000)
        new.write_bytes(whole[: start + 1000] + whole[-400:])
        world.start()
        world.gone(world.send(BOB))
        assert len(host.got) == 1
        assert world.state(queue_id) is None
        assert list((tmp_path / "spool" / "quarantine").iterdir()), "set aside, and said so in the log"


# winmail.dat ---------------------------------------------------------------------------------------------------------

TNEF = "[basic]\nconvert_tnef = yes\n"


def with_winmail(tnef: bytes) -> bytes:
    return (
        b"From: joe@us.test\nMIME-Version: 1.0\nContent-Type: application/ms-tnef; name=winmail.dat\n"
        b"Content-Transfer-Encoding: base64\n\n" + base64.encodebytes(tnef)
    )


def sample() -> bytes:
    path = TOOLS / "tnefparse" / "tests" / "examples" / "one-file.tnef"
    assert path.exists(), "the samples of tnefparse are missing: run “make tools”"
    return path.read_bytes()


def test_winmail_is_converted_for_mailboxes_here_and_for_what_our_users_send(tmp_path: Path) -> None:
    host, content = FakeHost(), with_winmail(sample())
    with running(tmp_path, host, text=TNEF) as world:
        world.gone(world.send(BOB, "ann@us.test", content=content, originates_here=True))
        for stored in (host.got[0].content, world.arrived("ann@us.test")[0]):
            assert b"ms-tnef" not in stored
            assert b"filename=AUTHORS" in stored.replace(b'"', b"")


def test_winmail_of_others_passes_through_as_it_came(tmp_path: Path) -> None:
    host, content = FakeHost(), with_winmail(sample())
    with running(tmp_path, host, text=TNEF) as world:
        world.gone(world.send(BOB, content=content, sender=STRANGER))
    assert host.got[0].content == content


def test_winmail_that_cannot_be_converted_stays_as_it_came_and_the_log_says_so(tmp_path: Path) -> None:
    content = with_winmail(bytes.fromhex("789f3e22") + b"\xff" * 60)
    with running(tmp_path, text=TNEF) as world:
        queue_id = world.send("ann@us.test", content=content)
        world.gone(queue_id)
        assert world.arrived("ann@us.test")[0].endswith(content)
        assert f"{queue_id}: MS-TNEF left as it came" in world.log()
