"""The time of each call on a connection to another host, in the clear and under TLS."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from smtpd_classic.client.transcript import Transcript
from smtpd_classic.client.wire import ClientWire, ConnectionLost
from tests.server.certificates import make_pair

TIME_S = 0.4


@contextmanager
def connected(folder: Path, *, encrypted: bool) -> Iterator[tuple[ClientWire, socket.socket]]:
    with ExitStack() as ends:
        listening = ends.enter_context(socket.create_server(("127.0.0.1", 0)))
        ours = ends.enter_context(socket.create_connection(listening.getsockname(), 5.0))
        theirs = ends.enter_context(listening.accept()[0])
        theirs.settimeout(30.0)
        wire = ClientWire(ours, Transcript())
        ends.callback(wire.close)
        if encrypted:
            theirs = ends.enter_context(handshake(folder, wire, theirs))
        yield wire, theirs


def handshake(folder: Path, wire: ClientWire, theirs: socket.socket) -> ssl.SSLSocket:
    make_pair(folder / "tls")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls/certificate.pem", folder / "tls/key.pem")
    done: list[ssl.SSLSocket] = []
    thread = threading.Thread(target=lambda: done.append(context.wrap_socket(theirs, server_side=True)))
    thread.start()
    anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    wire.start_tls(anyone, "host.example", 10.0)
    thread.join(10)
    return done[0]


@pytest.mark.parametrize("encrypted", [False, True], ids=["clear", "TLS"])
def test_a_host_that_says_nothing_times_out(tmp_path: Path, *, encrypted: bool) -> None:
    with connected(tmp_path, encrypted=encrypted) as (wire, _):
        began = time.monotonic()
        with pytest.raises(ConnectionLost, match="connection timed out") as lost:
            wire.reply(TIME_S)
        assert TIME_S * 0.8 < time.monotonic() - began < 10
        assert lost.value.timed_out


@pytest.mark.parametrize("encrypted", [False, True], ids=["clear", "TLS"])
def test_the_limit_of_a_message_bounds_each_call(tmp_path: Path, *, encrypted: bool) -> None:
    with connected(tmp_path, encrypted=encrypted) as (wire, _):
        wire.limit(TIME_S)
        began = time.monotonic()
        with pytest.raises(ConnectionLost):
            wire.reply(300.0)
        with pytest.raises(ConnectionLost):
            wire.send(b"x", 300.0)
        assert time.monotonic() - began < 10


@pytest.mark.parametrize("encrypted", [False, True], ids=["clear", "TLS"])
def test_a_host_that_reads_slowly_has_one_time_for_all_that_is_sent(tmp_path: Path, *, encrypted: bool) -> None:
    """It makes room before each system call is over: the time of one call would never end."""
    over = threading.Event()

    def read(theirs: socket.socket) -> None:
        while not over.wait(TIME_S / 8):
            theirs.recv(65536)

    with connected(tmp_path, encrypted=encrypted) as (wire, theirs):
        reader = threading.Thread(target=read, args=(theirs,))
        reader.start()
        began = time.monotonic()
        try:
            with pytest.raises(ConnectionLost, match="connection timed out"):
                wire.send(b"x" * 200_000_000, TIME_S)
            assert time.monotonic() - began < 10
        finally:
            over.set()
            reader.join(30)


@pytest.mark.parametrize("encrypted", [False, True], ids=["clear", "TLS"])
def test_all_of_a_large_content_arrives(tmp_path: Path, *, encrypted: bool) -> None:
    content = bytes(range(256)) * 40_000
    got = bytearray()

    def read(theirs: socket.socket) -> None:
        while len(got) < len(content):
            got.extend(theirs.recv(65536))

    with connected(tmp_path, encrypted=encrypted) as (wire, theirs):
        reader = threading.Thread(target=read, args=(theirs,))
        reader.start()
        wire.send(content, 60.0)
        reader.join(60)
        assert got == content
