"""The whole way to a provider with OpenDKIM and OpenDMARC that refuses what fails: our domain has p=reject.

The table “Which copies pass SPF, DKIM and DMARC elsewhere” of the manual is what these tests see.
"""

import json
import re
import smtplib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from email import message_from_bytes
from pathlib import Path

import pytest

from tests.client.fake_host import FakeHost, hosts
from tests.instance import Instance
from tests.mailauth.messages import key_record, rsa_key, signed, signing_key
from tests.peers.checkers import MILTERS, checkers
from tests.peers.postfix import Postfix
from tests.peers.world import JOE, Net, network_of
from tests.waiting import until

pytestmark = pytest.mark.peers

US, PROVIDER, PLAIN, STRANGER = "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.9"
RELAY, TRUSTED = "192.0.2.25", "192.0.2.30"
ANN = "ann@postfix.test"


class Provider(Postfix):
    """At addresses that are not of this machine alone: an SPF library lets those pass unseen."""

    ip, plain_ip = PROVIDER, PLAIN


def txt(name: str, text: str) -> str:
    pieces = ",".join(f'"{text[at : at + 250]}"' for at in range(0, len(text), 250))
    return f"txt-record={name},{pieces}"


def records(us: Instance) -> Sequence[str]:
    """The printed records of our domain, but for the policy, and those of a stranger."""
    us.set("server", "public_addresses", US)
    us.set("basic", "helo_name", "mail.us.test")
    us.set("remote", "relay_hosts", "smtp.relay.test:25")
    printed = json.loads(us.run("dns", "records", "us.test", "--json").stdout)
    ours = [txt(each["name"], each["data"].replace("p=none", "p=reject")) for each in printed if each["kind"] == "TXT"]
    return [
        *ours,
        txt("relay.test", f"v=spf1 ip4:{RELAY} -all"),
        txt("example.test", f"v=spf1 ip4:{STRANGER} -all"),
        txt("_dmarc.example.test", "v=DMARC1; p=reject"),
        txt("sel._domainkey.example.test", key_record(rsa_key()).decode()),
        "ptr-record=1.2.0.192.in-addr.arpa,mail.us.test",
    ]


class World:
    """Our server and the provider; `ann` has her mailbox there."""

    def __init__(self, net: Net, postfix: Provider) -> None:
        self.net = net
        self.postfix = postfix

    def arrives(self, tag: str) -> str:
        """The results of the provider for the message with this subject."""
        found = until(lambda: [each for each in self.postfix.mail(ANN) if tag.encode() in each], 30, self._logs)
        fields = message_from_bytes(found[-1]).get_all("Authentication-Results", [])
        return " ".join(" ".join(str(each).split()) for each in fields)

    def is_refused(self, tag: str) -> bool:
        """Wait for the provider's refusal of a copy; nothing of it is in the mailbox then."""
        until(lambda: re.search(r"550 5\.7\.1 rejected by DMARC policy", self.net.us.log()), 30, self._logs)
        return not any(tag.encode() in each for each in self.postfix.mail(ANN))

    def reload(self) -> None:
        us = self.net.us
        before = us.log().count("reload -- ")
        us.reload()
        until(lambda: us.log().count("reload -- ") > before, 20, us.log)

    def stranger(self, content: bytes, to: str, sender: str = "x@example.test") -> None:
        """Send to our server as a host of example.test."""
        with smtplib.SMTP(US, 25, timeout=20, source_address=(STRANGER, 0), local_hostname="mx.example.test") as client:
            client.sendmail(sender, [to], content.replace(b"\n", b"\r\n"))

    def _logs(self) -> str:
        return self.net.us.log() + self.postfix.log()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    mx, addresses = {"postfix.test": [(10, "mx.postfix.test")]}, {"mx.postfix.test": PROVIDER, "mail.us.test": US}
    addresses["smtp.relay.test"] = RELAY
    options = {
        "server__public_addresses": US,
        "basic__helo_name": "mail.us.test",
        "remote__source_address": US,
        "remote__relay_hosts": "smtp.relay.test:25",
        "trusted__hosts": TRUSTED,
        "listener smtp__address": f"127.0.0.1, {US}",
    }
    interfaces = (US, PROVIDER, PLAIN, STRANGER, RELAY, TRUSTED)
    with network_of(mx, addresses, options, records=records, interfaces=interfaces) as net:
        (key,) = json.loads(net.us.run("dkim", "list", "--json").stdout)
        assert net.us.run("dkim", "use", key["selector"], "--force").returncode == 0
        for alias in ("away", "team"):
            assert net.us.run("alias", "set", f"{alias}@us.test", ANN).returncode == 0
        assert net.us.run("alias", "set", "gone@us.test", "nobody@postfix.test").returncode == 0
        postfix = Provider(net.folder, options=MILTERS)
        with checkers(net.folder):
            postfix.start()
            try:
                yield World(net, postfix)
            finally:
                postfix.stop()


def text(tag: str, author: str) -> bytes:
    return f"From: {author}\nTo: {ANN}\nSubject: {tag}\nDate: Sun, 22 Nov 2026 10:00:00 +0000\n\nA line.\n".encode()


def test_submitted_mail_passes_all_three(world: World) -> None:
    world.net.submit(text("submitted", JOE), ANN)
    results = world.arrives("submitted")
    assert "dkim=pass" in results
    assert "spf=pass" in results
    assert "dmarc=pass (p=reject" in results


def test_mail_of_sendmail_passes(world: World) -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "sendmail", "-f", JOE, ANN],
        input=text("by sendmail", JOE),
        env={"SMTPD_CLASSIC_CONFIG": str(world.net.us.file), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    results = world.arrives("by sendmail")
    assert "dkim=pass" in results
    assert "dmarc=pass (p=reject" in results


def test_mail_to_an_alias_of_ours_elsewhere_passes(world: World) -> None:
    world.net.submit(text("by the team", JOE), "team@us.test")
    results = world.arrives("by the team")
    assert "dkim=pass" in results
    assert "spf=pass" in results
    assert "dmarc=pass (p=reject" in results


def test_mail_by_a_relay_passes(world: World) -> None:
    """The printed SPF record includes that of the relay, which passes on our mail as it is."""
    us, relay = world.net.us, FakeHost("smtp.relay.test", ip=RELAY, port=25)
    with hosts(relay):
        us.set("remote", "relay_always", "yes")
        world.reload()
        try:
            world.net.submit(text("by the relay", JOE), ANN)
            (got,) = until(lambda: relay.got, 30, us.log)
        finally:
            us.set("remote", "relay_always", "no")
            world.reload()
    with smtplib.SMTP(PROVIDER, 25, timeout=20, source_address=(RELAY, 0), local_hostname="smtp.relay.test") as client:
        client.sendmail(JOE, [ANN], got.content)
    results = world.arrives("by the relay")
    assert "dkim=pass" in results
    assert "spf=pass smtp.mailfrom=us.test" in results
    assert "dmarc=pass (p=reject" in results


def test_mail_that_a_trusted_host_passes_on_is_unsigned_and_passes_by_spf(world: World) -> None:
    passed_on = b"Received: from inner by gate.us.test; Sun, 22 Nov 2026 10:00:00 +0000\n" + text("passed on", JOE)
    with smtplib.SMTP(US, 25, timeout=20, source_address=(TRUSTED, 0), local_hostname="gate.us.test") as client:
        client.sendmail(JOE, [ANN], passed_on.replace(b"\n", b"\r\n"))
    results = world.arrives("passed on")
    assert "dkim=pass" not in results
    assert "spf=pass smtp.mailfrom=us.test" in results
    assert "dmarc=pass (p=reject" in results


def test_forwarded_mail_passes_by_its_own_signature(world: World) -> None:
    key = signing_key(domain="example.test")
    header, _, body = text("forwarded", "x@example.test").partition(b"\n\n")
    world.stranger(signed(header + b"\n", body, key), "away@us.test")
    results = world.arrives("forwarded")
    assert "dkim=pass" in results
    assert "spf=pass smtp.mailfrom=us.test" in results
    assert "dmarc=pass (p=reject" in results


def test_forwarded_mail_without_a_signature_is_refused_and_comes_back(world: World) -> None:
    """SRS makes SPF pass for our domain, which is not the author's."""
    world.stranger(text("unsigned", "x@example.test"), "away@us.test")
    assert world.is_refused("unsigned")


def test_a_bounce_of_ours_passes(world: World) -> None:
    with smtplib.SMTP(US, 25, timeout=20, source_address=(PROVIDER, 0), local_hostname="mx.postfix.test") as client:
        client.sendmail(ANN, ["gone@us.test"], text("comes back", ANN).replace(b"\n", b"\r\n"))
    results = world.arrives("comes back")
    assert "dkim=pass" in results
    assert "spf=pass" in results
    assert "dmarc=pass (p=reject" in results


def test_mail_of_others_in_our_name_is_refused(world: World) -> None:
    with (
        smtplib.SMTP(PROVIDER, 25, timeout=20, source_address=(STRANGER, 0)) as client,
        pytest.raises(smtplib.SMTPDataError, match=r"rejected by DMARC policy for us\.test"),
    ):
        client.sendmail("x@example.test", [ANN], text("forged", JOE).replace(b"\n", b"\r\n"))


def test_a_copy_of_a_mailing_list_that_changes_the_subject_is_refused(world: World) -> None:
    world.net.submit(text("to the list", JOE), ANN)
    world.arrives("to the list")
    (copy,) = [each for each in world.postfix.mail(ANN) if b"Subject: to the list" in each]
    changed = copy[copy.index(b"DKIM-Signature") :].replace(b"Subject: to", b"Subject: [list] to")
    with (
        smtplib.SMTP(PROVIDER, 25, timeout=20, source_address=(STRANGER, 0)) as client,
        pytest.raises(smtplib.SMTPDataError, match=r"rejected by DMARC policy for us\.test"),
    ):
        client.sendmail("list@example.test", [ANN], changed.replace(b"\n", b"\r\n"))
