"""[server] accounts = dovecot: logins and addresses are asked at the sockets of a real Dovecot."""

import base64
import json
import os
import pwd
import signal
import smtplib
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from smtpd_classic.smtp.scram import scram_sha_256
from tests.dovecot_lmtp import MailStoreServer, mail_store_server
from tests.tools import need
from tests.waiting import until
from tests.wire.panel import options
from tests.wire.world import ANN, AWAY, JOE, Client, Sections, World

SERVER = options("server")
DAN = "dan@example.test"  # no account of the users file
THERE = "bob@there.test"
UNKNOWN = "nobody@example.test"
PASSWORD = "secret word"


@pytest.fixture(scope="module")
def store(everything: World) -> Iterator[MailStoreServer]:
    version = subprocess.run([need("dovecot"), "--version"], capture_output=True, text=True, check=True).stdout
    if not version.startswith("2.3"):
        pytest.skip(f"the fixture is written for Dovecot 2.3, and this is {version}")
    owner = pwd.getpwuid((everything.instance.folder / "mail").stat().st_uid).pw_name
    with mail_store_server({DAN: 0, ANN: 0}, owner) as server:
        yield server
        everything.given({})


@contextmanager
def userdb_that_knows_everyone(folder: Path) -> Iterator[str]:
    """A socket that answers as Dovecot does with a userdb static."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"VERSION\t1\t1\nSPID\t1\n")
            for line in self.rfile:
                word, *rest = line.rstrip(b"\n").split(b"\t")
                if word == b"USER":
                    self.wfile.write(b"USER\t%s\t%s\tuid=1\thome=/nowhere\n" % (rest[0], rest[1]))

    with unix_server(folder / "everyone", Handler) as path:
        yield path


@contextmanager
def unix_server(place: Path, handler: type[socketserver.StreamRequestHandler]) -> Iterator[str]:
    path = str(place)
    with socketserver.ThreadingUnixStreamServer(path, handler) as server:
        server.daemon_threads = True
        os.chmod(path, 0o666)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield path
        finally:
            server.shutdown()
            thread.join()
            os.unlink(path)


def by_dovecot(store: MailStoreServer, **more: str) -> Sections:
    values = {
        "mailbox": f"lmtp:unix:{store.socket}",
        "accounts": "dovecot",
        "dovecot_auth": str(store.auth),
        "dovecot_userdb": str(store.userdb),
    }
    return {"server": {**values, **more}}


def auth(client: Client, mechanism: str, *responses: bytes) -> str:
    """The reply to the last of these responses; the first is the initial one."""
    answer = client.say(f"AUTH {mechanism} {base64.b64encode(responses[0]).decode() or '='}")
    for response in responses[1:]:
        assert answer.startswith("334"), answer
        answer = client.say(base64.b64encode(response).decode())
    return answer


def test_accounts(world: World, store: MailStoreServer) -> None:
    """The users file counts no more: Dovecot knows who exists and who may log in."""
    world.given({"server": {name: value for name, value in by_dovecot(store)["server"].items() if name != "accounts"}})
    with world.client() as client:
        assert client.envelope("eve@reject.test", DAN).startswith("550 5.1.1")
    world.set("Server", SERVER["accounts"], "dovecot")
    with world.client() as client:
        assert client.envelope("eve@reject.test", DAN, ANN).startswith("250")
        assert client.say(f"RCPT TO:<{UNKNOWN}>").startswith("550 5.1.1")
        assert client.say(f"RCPT TO:<{JOE}>").startswith("550 5.1.1")
    tag = world.tag()
    world.send("dan+list@example.test", sender=DAN, login=DAN, tag=tag)
    store.arrives(DAN, f"Subject: {tag}")


def test_dovecot_auth(world: World, store: MailStoreServer) -> None:
    """The socket for logins can have another name, and its mechanisms are offered."""
    other = store.auth.with_name("auth-other")
    other.unlink(missing_ok=True)
    other.symlink_to(store.auth)
    world.given(by_dovecot(store, dovecot_auth="/nowhere/auth"))
    world.set("Server", SERVER["dovecot_auth"], str(other))
    with world.client(listener="submission", tls=True) as client:
        offered = client.keywords()["auth"].split()
    assert {"PLAIN", "LOGIN", "SCRAM-SHA-256"} <= set(offered)


def test_dovecot_userdb(world: World, store: MailStoreServer) -> None:
    other = store.userdb.with_name("userdb-other")
    other.unlink(missing_ok=True)
    other.symlink_to(store.userdb)
    world.given(by_dovecot(store, dovecot_userdb="/nowhere/userdb"))
    with world.client() as client:
        assert client.envelope("eve@reject.test", DAN).startswith("451")
    world.set("Server", SERVER["dovecot_userdb"], str(other))
    with world.client() as client:
        assert client.envelope("eve@reject.test", DAN).startswith("250")


def test_logins(world: World, store: MailStoreServer) -> None:
    """PLAIN with each authorisation identity, LOGIN, and SCRAM passed through; a wrong password is 535."""
    world.given(by_dovecot(store))
    plain = f"\0{DAN}\0{PASSWORD}".encode()
    with world.client(listener="submission", tls=True) as client:
        assert auth(client, "PLAIN", b"\0" + DAN.encode() + b"\0wrong").startswith("535")
        assert auth(client, "PLAIN", ANN.encode() + plain).startswith("535")
        assert auth(client, "PLAIN", DAN.encode() + plain).startswith("235")
        assert client.envelope(DAN, THERE).startswith("250")
    with world.client(listener="submission", tls=True) as client:
        assert client.say("AUTH LOGIN").startswith("334")
        assert client.say(base64.b64encode(DAN.encode()).decode()).startswith("334")
        assert client.say(base64.b64encode(PASSWORD.encode()).decode()).startswith("235")
        assert client.envelope(ANN, DAN).startswith("553")


@pytest.mark.parametrize(("password", "code"), [(PASSWORD, "235"), ("wrong", "535")])
def test_scram_is_passed_through(world: World, store: MailStoreServer, password: str, code: str) -> None:
    world.given(by_dovecot(store))
    exchange = scram_sha_256(DAN, password)
    with world.client(listener="submission", tls=True) as client:
        answer = client.say(f"AUTH SCRAM-SHA-256 {base64.b64encode(next(exchange)).decode()}")
        while answer.startswith("334"):
            challenge = base64.b64decode(answer.split(maxsplit=1)[1])
            try:
                response = exchange.send(challenge)
            except StopIteration:
                response = b""
            answer = client.say(base64.b64encode(response).decode() or "")
        assert answer.startswith(code)


@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "XOAUTH2"])
def test_tokens_are_passed_through(world: World, store: MailStoreServer, mechanism: str) -> None:
    """A wrong token gets a challenge with the reason, which the client answers before the 535."""
    world.given(by_dovecot(store))

    def response(token: str) -> bytes:
        begin = f"user={DAN}\x01" if mechanism == "XOAUTH2" else f"n,a={DAN},\x01"
        return f"{begin}auth=Bearer {token}\x01\x01".encode()

    with world.client(listener="submission", tls=True) as client:
        assert mechanism in client.keywords()["auth"].split()
        answer = auth(client, mechanism, response("wrong"))
        if answer.startswith("334"):
            answer = client.say("AQ==")
        assert answer.startswith("535"), answer
        assert auth(client, mechanism, response(store.token(DAN))).startswith("235")
        assert client.envelope(DAN, THERE).startswith("250")


def test_an_exchange_can_be_given_up(world: World, store: MailStoreServer) -> None:
    world.given(by_dovecot(store))
    with world.client(listener="submission", tls=True) as client:
        first = base64.b64encode(f"n,,n={DAN},r=abcdefgh".encode()).decode()
        assert client.say(f"AUTH SCRAM-SHA-256 {first}").startswith("334")
        assert client.say("*").startswith("501")
        assert auth(client, "PLAIN", f"\0{DAN}\0{PASSWORD}".encode()).startswith("235")
        assert client.envelope(DAN, THERE).startswith("250")


@contextmanager
def auth_client_that_hangs(place: Path, asked: list[bytes], hangs: threading.Event) -> Iterator[None]:
    """A socket that greets unless it `hangs`, and wants more for each login."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            if hangs.is_set():
                self.rfile.read()
                return
            self.wfile.write(b"VERSION\t1\t2\nMECH\tPLAIN\nMECH\tXOAUTH2\nSPID\t1\nCUID\t1\nCOOKIE\tx\nDONE\n")
            for line in self.rfile:
                asked.append(line)
                if line.startswith(b"AUTH\t"):
                    self.wfile.write(b"CONT\t%s\teyJ9\n" % line.split(b"\t")[1])
                if hangs.is_set():
                    return

    with unix_server(place, Handler):
        yield


def test_an_exchange_that_is_given_up_is_cancelled_at_dovecot(world: World, store: MailStoreServer) -> None:
    """By a lone `*`, by a line that is no base64, or because the client is gone."""
    asked: list[bytes] = []
    path = store.base / f"exchanges {world.by_screen}"
    with auth_client_that_hangs(path, asked, threading.Event()):
        world.given(by_dovecot(store, dovecot_auth=str(path)))
        for end in ("*", "no base64!", ""):
            with world.client(listener="submission", tls=True) as client:
                assert client.say("AUTH XOAUTH2 eA==").startswith("334")
                cancelled = b"CANCEL\t%s\n" % asked[-1].split(b"\t")[1]
                if end:
                    assert client.say(end).startswith("501")
                    until(partial(asked.__contains__, cancelled))
            until(partial(asked.__contains__, cancelled))
        assert [line.split(b"\t")[0] for line in asked if line[:4] in {b"AUTH", b"CANC"}] == [b"AUTH", b"CANCEL"] * 3


def test_ehlo_does_not_wait_for_a_dovecot_that_hangs(world: World, store: MailStoreServer) -> None:
    """The mechanisms are those that it had last."""
    hangs = threading.Event()
    path = store.base / f"hanging {world.by_screen}"
    with auth_client_that_hangs(path, [], hangs):
        world.given(by_dovecot(store, dovecot_auth=str(path)))
        with world.client(listener="submission", tls=True) as client:
            assert "XOAUTH2" in client.keywords()["auth"]
            hangs.set()
            client.say("AUTH XOAUTH2 eA==")  # and with this the connection ends
            client.say("*")
            began = time.monotonic()
            for _ in range(5):
                with world.client(listener="submission", tls=True) as other:
                    assert "XOAUTH2" in other.keywords()["auth"]
            assert time.monotonic() - began < 4.0


def test_an_alias_comes_after_the_accounts_and_leads_to_them(world: World, store: MailStoreServer) -> None:
    world.given(by_dovecot(store))
    assert world.command("alias", "set", "sales@example.test", DAN).returncode == 0
    try:
        refused = world.command("alias", "set", "dead@example.test", UNKNOWN)
        assert refused.returncode != 0
        assert UNKNOWN in refused.stderr
        world.reload()
        tag = world.tag()
        with world.client(DAN) as client:
            assert client.envelope("sales@example.test", "sales@example.test").startswith("250")
            assert client.content(world.text(tag, DAN)).startswith("250")
        store.arrives(DAN, f"Subject: {tag}")
    finally:
        world.command("alias", "delete", "sales@example.test")


def test_a_user_of_another_domain_cannot_log_in(world: World, store: MailStoreServer) -> None:
    world.given(by_dovecot(store))
    store.set_users({DAN: 0, ANN: 0, "eve@other.test": 0})
    try:
        with world.client(listener="submission", tls=True) as client:
            assert auth(client, "PLAIN", f"\0eve@other.test\0{PASSWORD}".encode()).startswith("535")
    finally:
        store.set_users({DAN: 0, ANN: 0})


def test_a_user_who_is_new_or_gone_is_noticed_within_seconds(world: World, store: MailStoreServer) -> None:
    world.given(by_dovecot(store))

    def answer() -> str:
        with world.client() as client:
            return client.envelope("eve@reject.test", "new@example.test")[:3]

    assert answer() == "550"
    store.set_users({DAN: 0, ANN: 0, "new@example.test": 0})
    try:
        until(lambda: answer() == "250", 20)
    finally:
        store.set_users({DAN: 0, ANN: 0})
    until(lambda: answer() == "550", 30)


def is_deferred(world: World, address: str) -> bool:
    with world.client() as client:
        return client.envelope("eve@reject.test", address).startswith("451")


def test_while_dovecot_is_down_clients_come_back(world: World, store: MailStoreServer) -> None:
    """4xx for addresses, logins and aliases; nothing bounces; `status` and the doctor say so; it is back at once."""
    world.given({**by_dovecot(store), "basic": {"retry_interval": "1s", "max_retry_interval": "1s"}})
    tag = world.tag()
    store.kill()  # its authentication would go on to answer a connection that is open
    try:
        for address in (DAN, UNKNOWN, "postmaster@example.test"):
            until(partial(is_deferred, world, address), 20, world.log)  # an answer is kept for 10 seconds
        with world.client() as client:
            assert client.envelope("eve@reject.test", AWAY).startswith("550")
        with world.client(listener="submission", tls=True) as client:
            assert auth(client, "PLAIN", f"\0{DAN}\0{PASSWORD}".encode()).startswith("454")
        status = json.loads(world.command("status", "--json").stdout)["dovecot"]
        assert {each["name"]: each["state"] for each in status} == {"auth-client": "down", "auth-userdb": "down"}
        assert "clients are deferred" in world.command("status").stdout
        assert "of Dovecot does not answer" in world.command("status", "--check").stdout
        checked = world.command("check")
        assert checked.returncode == os.EX_OK
        assert "the accounts cannot be looked up" in checked.stderr
    finally:
        store.start()
    with world.client(DAN) as client:
        assert client.envelope(DAN, DAN).startswith("250")
        assert client.content(world.text(tag, DAN)).startswith("250")
    store.arrives(DAN, f"Subject: {tag}")
    assert "127." not in world.command("block", "list").stdout


def test_a_dovecot_that_hangs_defers_in_time_and_is_back_in_seconds(world: World, store: MailStoreServer) -> None:
    """A look-up has 5 seconds; then the socket rests, so that the next clients need not wait."""
    world.given(by_dovecot(store))
    fresh = "fresh{}@example.test"
    with world.client() as client:
        assert client.envelope("eve@reject.test", fresh.format(0)).startswith("550")
    processes = store.processes("auth")
    assert processes
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with world.client() as client:
            assert client.envelope("eve@reject.test", fresh.format(1)).startswith("451")
        assert 4 < time.monotonic() - began < 15
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)
    resumed = time.monotonic()

    def answers() -> bool:
        with world.client() as client:
            return client.envelope("eve@reject.test", fresh.format(2)).startswith("550")

    until(answers, 20)
    assert time.monotonic() - resumed < 10


def test_nothing_is_lost_or_refused_when_dovecot_is_killed_under_load(world: World, store: MailStoreServer) -> None:
    """Five kills while four clients send: only 250 and 4xx, all acknowledged messages arrive, none bounces."""
    world.given({**by_dovecot(store), "basic": {"retry_interval": "1s", "max_retry_interval": "1s"}})
    ends = threading.Event()
    acknowledged: list[str] = []
    odd: list[str] = []

    def send() -> None:
        while not ends.is_set():
            tag = world.tag()
            try:
                with world.client() as client:
                    answer = client.envelope("eve@reject.test", DAN)
                    if answer.startswith("250"):
                        answer = client.content(world.text(tag, "eve@reject.test"))
                        if answer.startswith("250"):
                            acknowledged.append(tag)
            except (OSError, smtplib.SMTPException) as problem:
                answer = repr(problem)
            if answer[:1] not in {"2", "4"}:
                odd.append(answer)

    def enough(wanted: int) -> bool:
        return len(acknowledged) >= wanted

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            wanted = len(acknowledged) + 6
            until(partial(enough, wanted), 60)
            store.kill()
            store.start()
    finally:
        ends.set()
        for thread in threads:
            thread.join()
    assert odd == []

    def missing() -> set[str]:
        there = "\n".join(store.mail(DAN))
        return {tag for tag in acknowledged if tag not in there}

    until(lambda: not missing(), 90, lambda: f"{len(missing())} of {len(acknowledged)} are missing")
    assert "status=bounced" not in "\n".join(line for line in world.log("eve@reject.test").split("\n"))


def test_commands_say_where_the_accounts_are(world: World, store: MailStoreServer) -> None:
    world.given(by_dovecot(store))
    for words in (("list",), ("show", DAN), ("add", "x@example.test", "--generate"), ("delete", DAN)):
        done = world.command("user", *words)
        assert done.returncode == os.EX_CONFIG, words
        assert "in Dovecot" in done.stderr
    assert "doveadm user" in world.command("user", "list").stderr
    assert world.command("user", "suspend", UNKNOWN).returncode == os.EX_NOUSER
    assert world.command("user", "suspend", DAN).returncode == os.EX_OK
    try:
        with world.client(listener="submission", tls=True) as client:
            assert auth(client, "PLAIN", f"\0{DAN}\0{PASSWORD}".encode())[:3] in {"535", "454", "525"}
    finally:
        assert world.command("user", "resume", DAN).returncode == os.EX_OK


def test_the_check_and_the_doctor_ask_for_a_random_name(world: World, store: MailStoreServer) -> None:
    store.set_users({DAN: 0, ANN: 0, JOE: 0})  # the postmaster's alias leads to Joe
    world.given(by_dovecot(store))
    checked = world.command("check")
    assert checked.returncode == os.EX_OK, checked.stderr
    store.set_users({DAN: 0, ANN: 0})
    assert "there is no joe@example.test" in world.command("check").stderr
    with userdb_that_knows_everyone(store.base) as path:
        world.given(by_dovecot(store, dovecot_userdb=path))
        checked = world.command("check")
        assert checked.returncode == os.EX_CONFIG
        assert "random name" in checked.stderr
        row = json.loads(world.command("doctor", "--json").stdout)
        assert any("random name" in each["found"] and each["state"] == "wrong" for each in row)


def test_mailboxes_must_be_those_of_dovecot(world: World) -> None:
    world.given({})
    done = world.command("config", "set", "server", "accounts", "dovecot")
    assert done.returncode != 0
    assert "lmtp" in done.stderr
