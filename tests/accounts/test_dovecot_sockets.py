"""The sockets of Dovecot, with servers that answer oddly; tests/wire has a real Dovecot."""

import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path

import pytest

from smtpd_classic.accounts import Account, ResolvedAddress
from smtpd_classic.dovecot.protocol import AuthReply, ServerGreeting, escaped, parameter
from smtpd_classic.dovecot.sockets import AuthClient, UserLookups
from smtpd_classic.pool import NeighbourFailure
from tests.accounts.place import INI, Place
from tests.waiting import until

GREETING = b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tXOAUTH2\nSPID\t1\nCUID\t1\nCOOKIE\tx\nDONE\n"
JOE = "joe@example.org"
Talk = Callable[[BufferedIOBase, BufferedIOBase], None]


@contextmanager
def server(folder: Path, talk: Talk) -> Iterator[str]:
    """A Unix socket at which each connection is a call of `talk`."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            talk(self.rfile, self.wfile)

    path = str(folder / "socket")
    with socketserver.ThreadingUnixStreamServer(path, Handler) as made:
        made.daemon_threads = True
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        try:
            yield path
        finally:
            made.shutdown()
            thread.join()


def requests(lines: BufferedIOBase) -> Iterator[list[bytes]]:
    for line in lines:
        words = line.rstrip(b"\n").split(b"\t")
        if words[0] not in {b"VERSION", b"CPID"}:
            yield words


def unreported(reason: str, took_s: float) -> None:
    pass


def test_answers_come_in_any_order(tmp_path: Path) -> None:
    """Ten look-ups over one connection; the last is answered first, in pieces."""

    def talk(lines: BufferedIOBase, out: BufferedIOBase) -> None:
        found = [words for _, words in zip(range(10), requests(lines), strict=False)]
        answers = [
            b"USER\t%s\t%s\n" % (number, name) if name.startswith(b"1") else b"NOTFOUND\t%s\n" % number
            for _, number, name, *_ in reversed(found)
        ]
        for octet in b"".join(answers):
            out.write(bytes([octet]))
        lines.read()

    with server(tmp_path, talk) as path, ThreadPoolExecutor(10) as pool:
        lookups = UserLookups(path, unreported)
        names = [f"{number % 2}{number}@x.test" for number in range(10)]
        assert list(pool.map(lookups.exists, names)) == [name.startswith("1") for name in names]
        lookups.close()


def test_a_connection_that_has_ended_is_made_anew(tmp_path: Path) -> None:
    """Dovecot restarts: the request that finds that out is sent once more."""
    connections: list[int] = []

    def talk(lines: BufferedIOBase, out: BufferedIOBase) -> None:
        connections.append(1)
        words = next(requests(lines))
        out.write(b"USER\t%s\tx\n" % words[1])

    with server(tmp_path, talk) as path:
        lookups = UserLookups(path, unreported)
        assert [lookups.exists("a@x.test") for _ in range(3)] == [True] * 3
        lookups.close()
    assert len(connections) == 3


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"VERSION\t2\t0\n", "version 2"),
        (b"USER\tjoe\n", "without the number"),
        (b"", "closed the connection"),
        (b"FAIL\t1\treason=backend\x01tdown\n", "cannot look up a@x.test: backend\tdown"),
        (b"FAIL\t1\n", "see the log of Dovecot"),
    ],
)
def test_no_answer_is_never_unknown(tmp_path: Path, answer: bytes, said: str) -> None:
    def talk(lines: BufferedIOBase, out: BufferedIOBase) -> None:
        next(requests(lines))
        out.write(answer)

    with server(tmp_path, talk) as path:
        lookups = UserLookups(path, unreported)
        with pytest.raises(NeighbourFailure, match=said):
            lookups.exists("a@x.test")
        lookups.close()


def test_a_socket_that_is_not_there(tmp_path: Path) -> None:
    told: list[str] = []
    lookups = UserLookups(str(tmp_path / "none"), lambda reason, took_s: told.append(reason))
    with pytest.raises(NeighbourFailure, match="No such file"):
        lookups.exists("a@x.test")
    assert "No such file" in told[0]


@pytest.mark.parametrize(
    ("answer", "user"),
    [
        (b"OK\t1\tuser=joe@x.test\n", "joe@x.test"),
        (b"OK\t1\tuser=o\x011d\x01ty@x.test\tnologin\n", "o\x01d\ty@x.test"),
        (b"FAIL\t1\tuser=joe@x.test\n", None),
        (b"FAIL\t1\tuser=joe@x.test\tuser_disabled\n", None),
        (b"FAIL\t1\tuser=joe@x.test\tauthz\n", None),
    ],
)
def test_password_login(tmp_path: Path, answer: bytes, user: str | None) -> None:
    asked: list[list[bytes]] = []

    def talk(lines: BufferedIOBase, out: BufferedIOBase) -> None:
        out.write(GREETING)
        for words in requests(lines):
            asked.append(words)
            out.write(answer)

    with server(tmp_path, talk) as path:
        client = AuthClient(path, unreported)
        assert client.mechanisms() == ("PLAIN", "XOAUTH2")
        assert client.password_login("joe", "a\tb", "\tservice=smtp\tno-penalty") == user
        client.close()
    assert asked == [[b"AUTH", b"1", b"PLAIN", b"service=smtp", b"no-penalty", b"resp=AGpvZQBhCWI="]]


@pytest.mark.parametrize(("login", "password"), [("joe\0ann", "secret"), ("joe", "secret\0"), ("\0joe", "x")])
def test_a_name_with_nul_is_no_login(tmp_path: Path, login: str, password: str) -> None:
    client = AuthClient(str(tmp_path / "none"), unreported)
    assert client.password_login(login, password, "") is None


@pytest.mark.parametrize("answer", [b"FAIL\t1\tuser=joe\ttemp\n", b"FAIL\t1\tcode=temp_fail\n", b"CONT\t1\t\n", b""])
def test_a_login_that_cannot_be_decided(tmp_path: Path, answer: bytes) -> None:
    def talk(lines: BufferedIOBase, out: BufferedIOBase) -> None:
        out.write(GREETING)
        next(requests(lines))
        out.write(answer)

    with server(tmp_path, talk) as path:
        client = AuthClient(path, unreported)
        with pytest.raises(NeighbourFailure):
            client.password_login("joe", "x", "")
        client.close()


def test_an_exchange_of_several_messages(tmp_path: Path) -> None:
    def talk(lines: BufferedIOBase, out: BufferedIOBase) -> None:
        out.write(GREETING)
        for words in requests(lines):
            out.write(b"CONT\t1\teyJ9\n" if words[0] == b"AUTH" else b"FAIL\t1\tuser=joe\n")

    with server(tmp_path, talk) as path:
        client = AuthClient(path, unreported)
        exchange = client.exchange("XOAUTH2", "")
        assert exchange.begin(b"token") == AuthReply("CONT", 1, ("eyJ9",))
        assert exchange.go_on(b"") == AuthReply("FAIL", 1, ("user=joe",))
        client.close()


def test_an_exchange_that_is_given_up_is_cancelled(tmp_path: Path) -> None:
    """The next login uses the same connection."""
    asked: list[list[bytes]] = []

    def talk(lines: BufferedIOBase, out: BufferedIOBase) -> None:
        out.write(GREETING)
        for words in requests(lines):
            asked.append(words[:2])
            if words[0] == b"AUTH":
                out.write(b"CONT\t1\teyJ9\n" if words[1] == b"1" else b"OK\t2\tuser=joe@x.test\n")

    with server(tmp_path, talk) as path:
        client = AuthClient(path, unreported)
        exchange = client.exchange("XOAUTH2", "")
        exchange.cancel()
        exchange.begin(b"token")
        exchange.cancel()
        assert client.password_login("joe", "x", "") == "joe@x.test"
        client.close()
        exchange.cancel()
    assert asked == [[b"AUTH", b"1"], [b"CANCEL", b"1"], [b"AUTH", b"2"]]


def test_mechanisms_are_known_while_another_question_hangs(tmp_path: Path) -> None:
    """The first connection ends at the first login; the next ones say nothing until the test lets them."""
    connections, greets = list[int](), threading.Event()

    def talk(lines: BufferedIOBase, out: BufferedIOBase) -> None:
        connections.append(1)
        if len(connections) > 1:
            greets.wait(20)
            out.write(GREETING.replace(b"XOAUTH2", b"OAUTHBEARER"))
            lines.read()
        else:
            out.write(GREETING)
            next(requests(lines))

    with server(tmp_path, talk) as path, ThreadPoolExecutor(1) as pool:
        client = AuthClient(path, unreported)
        assert client.mechanisms() == ("PLAIN", "XOAUTH2")
        with pytest.raises(NeighbourFailure):
            client.password_login("joe", "x", "")
        login = pool.submit(client.password_login, "joe", "x", "")
        until(lambda: len(connections) == 2)
        began = time.monotonic()
        assert [client.mechanisms() for _ in range(20)] == [("PLAIN", "XOAUTH2")] * 20
        assert time.monotonic() - began < 0.5
        assert threading.active_count() < 20
        greets.set()
        until(lambda: client.mechanisms() == ("PLAIN", "OAUTHBEARER"))
        client.close()
        with pytest.raises(NeighbourFailure):
            login.result(10)


def test_a_closed_client_makes_no_connection(tmp_path: Path) -> None:
    """One is closed while its connection waits for the greeting; another before its first question."""
    connections, greets, ended = list[int](), threading.Event(), threading.Event()

    def talk(lines: BufferedIOBase, out: BufferedIOBase) -> None:
        connections.append(1)
        greets.wait(20)
        out.write(GREETING)
        lines.read()
        ended.set()

    with server(tmp_path, talk) as path, ThreadPoolExecutor(1) as pool:
        client = AuthClient(path, unreported)
        login = pool.submit(client.password_login, "joe", "x", "")
        until(lambda: len(connections) == 1)
        client.close()
        greets.set()
        with pytest.raises(NeighbourFailure, match="closed"):
            login.result(10)
        assert ended.wait(10)
        with pytest.raises(NeighbourFailure, match="closed"):
            client.offered()
    assert connections == [1]


def test_the_first_question_for_mechanisms_is_waited_for_for_a_moment(tmp_path: Path) -> None:
    ends = threading.Event()

    def talk(lines: BufferedIOBase, out: BufferedIOBase) -> None:
        ends.wait(20)

    with server(tmp_path, talk) as path:
        client = AuthClient(path, unreported)
        began = time.monotonic()
        assert client.mechanisms() == ()
        assert 0.5 < time.monotonic() - began < 3.0
        ends.set()
        client.close()


def test_an_address_is_asked_for_once_and_a_new_alias_holds_at_once(tmp_path: Path) -> None:
    """A recipient is resolved, and its account is looked at by several checks: Dovecot has one question."""
    asked: list[bytes] = []

    def talk(lines: BufferedIOBase, out: BufferedIOBase) -> None:
        for words in requests(lines):
            asked.append(words[2])
            out.write(b"USER\t%s\tx\n" % words[1] if words[2] == JOE.encode() else b"NOTFOUND\t%s\n" % words[1])

    with server(tmp_path, talk) as path:
        lines = f"[server]\naccounts = dovecot\nmailbox = lmtp:127.0.0.1:9\ndovecot_userdb = {path}\n"
        place = Place(tmp_path, ini=INI.replace("[server]\n", lines))
        accounts = place.accounts()
        for _ in range(3):
            assert accounts.find(JOE) == ResolvedAddress("account", (JOE,))
            assert accounts.account(JOE) == Account(JOE)
        assert asked == [JOE.encode()]
        assert accounts.find("new@example.org") is None
        place.aliases("new: joe\n")
        assert accounts.find("new@example.org") == ResolvedAddress("alias", (JOE,))
        place.aliases("new: away@remote.example\n")
        assert accounts.find("new@example.org") == ResolvedAddress("alias", ("away@remote.example",))
        accounts.close()


def test_values_are_escaped() -> None:
    odd = "a\0b\x01c\td\re\nf="
    assert escaped(odd) == "a\x010b\x011c\x01td\x01re\x01nf="
    reply = ServerGreeting().take(f"OK\t7{parameter('user', odd)}\tnologin")
    assert reply is not None
    assert (reply.number, reply.value("user"), reply.value("nologin"), reply.value("x")) == (7, odd, "", None)
