"""PROXY protocol: every form by a table, every cut of it, and over sockets."""

import socket
import ssl
import struct
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd_classic.server.proxy_protocol import BadHeader, parse
from smtpd_classic.server.tls import Certificate
from tests.server.certificates import client_context, make_pair
from tests.server.serving import place
from tests.waiting import until

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
FROM_4, TO_4 = bytes([192, 0, 2, 7]), bytes([192, 0, 2, 1])
FROM_6 = bytes.fromhex("20010db8000000000000000000000007")
TO_6 = bytes.fromhex("20010db8000000000000000000000001")
MAPPED = bytes(10) + b"\xff\xff" + FROM_4


def v2(command: int, family: int, addresses: bytes, extensions: bytes = b"") -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(addresses) + len(extensions)) + addresses + extensions


PORTS = struct.pack("!HH", 4000, 25)
GOOD = [
    pytest.param(b"PROXY TCP4 192.0.2.7 192.0.2.1 4000 25\r\n", "192.0.2.7", 4000, id="v1, IPv4"),
    pytest.param(b"PROXY TCP6 2001:db8::7 2001:db8::1 4000 25\r\n", "2001:db8::7", 4000, id="v1, IPv6"),
    pytest.param(b"PROXY TCP6 2001:DB8:0:0:0:0:0:7 ::1 4000 25\r\n", "2001:db8::7", 4000, id="v1, IPv6 written out"),
    pytest.param(b"PROXY TCP6 ::ffff:192.0.2.7 ::1 4000 25\r\n", "192.0.2.7", 4000, id="v1, IPv4 in IPv6"),
    pytest.param(b"PROXY TCP4 192.0.2.7 192.0.2.1 0 65535\r\n", "192.0.2.7", 0, id="v1, ports at their ends"),
    pytest.param(b"PROXY UNKNOWN\r\n", "", 0, id="v1, unknown"),
    pytest.param(b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", "", 0, id="v1, unknown with words to be ignored"),
    pytest.param(v2(0x21, 0x11, FROM_4 + TO_4 + PORTS), "192.0.2.7", 4000, id="v2, IPv4"),
    pytest.param(v2(0x21, 0x21, FROM_6 + TO_6 + PORTS), "2001:db8::7", 4000, id="v2, IPv6"),
    pytest.param(v2(0x21, 0x21, MAPPED + TO_6 + PORTS), "192.0.2.7", 4000, id="v2, IPv4 in IPv6"),
    pytest.param(v2(0x21, 0x11, FROM_4 + TO_4 + PORTS, b"\x04\0\5abcde"), "192.0.2.7", 4000, id="v2, with extensions"),
    pytest.param(v2(0x20, 0x00, b""), "", 0, id="v2, the balancer itself"),
    pytest.param(v2(0x20, 0x11, FROM_4 + TO_4 + PORTS), "", 0, id="v2, the balancer itself, with addresses"),
    pytest.param(v2(0x21, 0x00, b"whatever"), "", 0, id="v2, unspecified"),
]
BAD = [
    pytest.param(b"EHLO client.example\r\n", id="no header"),
    pytest.param(b"proxy TCP4 192.0.2.7 192.0.2.1 4000 25\r\n", id="v1 in lower case"),
    pytest.param(b"PROXY TCP4 192.0.2.7 192.0.2.1 4000\r\n", id="v1, a word too few"),
    pytest.param(b"PROXY TCP4 192.0.2.7 192.0.2.1 4000 25 26\r\n", id="v1, a word too many"),
    pytest.param(b"PROXY TCP4  192.0.2.7 192.0.2.1 4000 25\r\n", id="v1, two blanks"),
    pytest.param(b"PROXY TCP5 192.0.2.7 192.0.2.1 4000 25\r\n", id="v1, another protocol"),
    pytest.param(b"PROXY TCP4 2001:db8::7 192.0.2.1 4000 25\r\n", id="v1, the wrong family"),
    pytest.param(b"PROXY TCP6 192.0.2.7 ::1 4000 25\r\n", id="v1, the other wrong family"),
    pytest.param(b"PROXY TCP4 192.0.2.7 mail.example 4000 25\r\n", id="v1, a name"),
    pytest.param(b"PROXY TCP4 192.0.2.256 192.0.2.1 4000 25\r\n", id="v1, no address"),
    pytest.param(b"PROXY TCP4 192.000.002.007 192.0.2.1 4000 25\r\n", id="v1, octal or decimal?"),
    pytest.param(b"PROXY TCP6 fe80::1%eth0 ::1 4000 25\r\n", id="v1, a scope"),
    pytest.param(b"PROXY TCP4 192.0.2.7 192.0.2.1 65536 25\r\n", id="v1, no port"),
    pytest.param(b"PROXY TCP4 192.0.2.7 192.0.2.1 -1 25\r\n", id="v1, a negative port"),
    pytest.param(b"PROXY TCP4 192.0.2.7 192.0.2.1 04000 25\r\n", id="v1, a port with a zero in front"),
    pytest.param(b"PROXY TCP4 192.0.2.7 192.0.2.1 4000 +25\r\n", id="v1, a signed port"),
    pytest.param(b"PROXY TCP4 192.0.2.7 192.0.2.1 4000 25\n" + b"x" * 70, id="v1, LF alone"),
    pytest.param(b"PROXY TCP4 \xff.0.2.7 192.0.2.1 4000 25\r\n", id="v1, not ASCII"),
    pytest.param(b"PROXY UNKNOWN " + b"x" * 100, id="v1, too long"),
    pytest.param(v2(0x11, 0x11, FROM_4 + TO_4 + PORTS), id="v2, version 1"),
    pytest.param(v2(0x22, 0x11, FROM_4 + TO_4 + PORTS), id="v2, an unknown command"),
    pytest.param(v2(0x21, 0x12, FROM_4 + TO_4 + PORTS), id="v2, UDP"),
    pytest.param(v2(0x21, 0x31, bytes(216)), id="v2, a Unix socket"),
    pytest.param(v2(0x21, 0x11, FROM_4 + TO_4), id="v2, addresses cut"),
    pytest.param(v2(0x21, 0x21, FROM_4 + TO_4 + PORTS), id="v2, IPv6 with IPv4 addresses"),
    pytest.param(SIGNATURE + b"\x21\x11\xff\xff", id="v2, 64 KB announced"),
]


@pytest.mark.parametrize(("sent", "ip", "port"), GOOD)
def test_good_headers(sent: bytes, ip: str, port: int) -> None:
    header = parse(sent + b"EHLO x\r\n")
    assert header is not None
    assert (header.length, header.ip, header.port) == (len(sent), ip, port)


@pytest.mark.parametrize(("sent", "ip", "port"), GOOD)
def test_a_header_that_is_not_complete_is_waited_for(sent: bytes, ip: str, port: int) -> None:
    for end in range(len(sent)):
        assert parse(sent[:end]) is None, sent[:end]


@pytest.mark.parametrize("sent", BAD)
def test_bad_headers(sent: bytes) -> None:
    with pytest.raises(BadHeader):
        parse(sent)


@given(
    st.one_of(
        st.binary(max_size=300), st.binary(max_size=60).map(SIGNATURE.__add__), st.binary().map(b"PROXY ".__add__)
    )
)
def test_nothing_else_is_raised(sent: bytes) -> None:
    try:
        header = parse(sent)
    except BadHeader:
        return
    assert header is None or 0 < header.length <= len(sent)


LISTENERS = """\
[listener smtp]
address = 127.0.0.1
port = 1
proxy_protocol = 127.0.0.1
[listener smtps]
address = 127.0.0.1
port = 2
tls = implicit
proxy_protocol = 127.0.0.0/8
[listener strangers]
address = 127.0.0.1
port = 3
proxy_protocol = 192.0.2.0/24
"""


@pytest.mark.parametrize(("sent", "ip", "port"), GOOD)
@pytest.mark.parametrize("octets", [1, 1000], ids=["octet by octet", "in one piece"])
def test_the_client_is_who_the_balancer_says(tmp_path: Path, sent: bytes, ip: str, port: int, octets: int) -> None:
    with place(tmp_path, LISTENERS) as found, found.dial() as dialog:
        for start in range(0, len(sent), octets):
            dialog.send(sent[start : start + octets])
        assert dialog.reply().startswith("220")
        assert found.sessions[0].client.ip == (ip or "127.0.0.1")
        assert not ip or found.sessions[0].client.port == port
        assert dialog.ask("EHLO client.example").startswith("250")
        assert dialog.ask("QUIT").startswith("221")


def test_the_header_stands_before_the_handshake(tmp_path: Path) -> None:
    make_pair(tmp_path / "tls")
    paths = str(tmp_path / "tls/certificate.pem"), str(tmp_path / "tls/key.pem")
    certificate = Certificate(*paths, lambda _: None)
    with place(tmp_path, LISTENERS, certificate=certificate) as found, found.dial("smtps") as dialog:
        # In one segment with the client's hello, of which the header must not take an octet.
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = client_context(tmp_path / "tls/certificate.pem")
        client = context.wrap_bio(incoming, outgoing, server_hostname="test.example")
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        dialog.send(b"PROXY TCP4 192.0.2.7 192.0.2.1 4000 25\r\n" + outgoing.read())
        answer = b""

        def shaken() -> bool:
            try:
                client.do_handshake()
            except ssl.SSLWantReadError:
                incoming.write(dialog.socket.recv(65536))
                return False
            return True

        until(shaken)
        dialog.send(outgoing.read())
        while not answer:
            try:
                answer = client.read(100)
            except ssl.SSLWantReadError:
                incoming.write(dialog.socket.recv(65536))
        assert answer.startswith(b"220")
        assert found.sessions[0].client.ip == "192.0.2.7"


@pytest.mark.parametrize("sent", BAD)
def test_a_balancer_without_a_good_header_is_cut_off(tmp_path: Path, sent: bytes) -> None:
    with place(tmp_path, LISTENERS) as found, found.dial() as dialog:
        dialog.send(sent)
        assert dialog.ended()
        until(lambda: "warning: unknown[127.0.0.1]: " in found.log())
        assert not found.sessions


def test_a_balancer_that_closes_within_a_header_is_noted(tmp_path: Path) -> None:
    with place(tmp_path, LISTENERS) as found:
        with closing(found.dial().socket) as dialog:
            dialog.sendall(b"PROXY")
        until(lambda: "the connection ended before a PROXY header" in found.log())


@pytest.mark.parametrize("sent", [b"", v2(0x20, 0x00, b""), b"PROXY UNKNOWN\r\n"], ids=["nothing", "v2", "v1"])
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_the_checks_of_a_balancer_are_no_event(tmp_path: Path, sent: bytes, *, reset: bool) -> None:
    """Before a handshake, every two seconds: a line for each would hide all others."""
    make_pair(tmp_path / "tls")
    certificate = Certificate(str(tmp_path / "tls/certificate.pem"), str(tmp_path / "tls/key.pem"), lambda _: None)
    with place(tmp_path, LISTENERS, certificate=certificate) as found:
        for _ in range(3):
            with closing(found.dial("smtps").socket) as check:
                check.sendall(sent)
                if reset:
                    check.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with closing(found.dial("smtps").socket) as client:
            client.sendall(b"PROXY UNKNOWN\r\nEHLO client.example\r\n")
            until(lambda: "SSL_accept error" in found.log())
        until(lambda: found.receiver.connections == 0)
        assert len(found.log().splitlines()) == 2


def test_who_is_no_balancer_is_refused(tmp_path: Path) -> None:
    with place(tmp_path, LISTENERS) as found, found.dial("strangers") as dialog:
        assert dialog.reply().startswith("554 5.7.1")
        assert dialog.ended()


def test_a_balancer_may_be_named_by_its_address_in_ipv6(tmp_path: Path) -> None:
    listeners = LISTENERS.replace("192.0.2.0/24", "::ffff:127.0.0.0/104")
    with place(tmp_path, listeners) as found, found.dial("strangers") as dialog:
        dialog.send(b"PROXY TCP4 192.0.2.7 192.0.2.1 4000 25\r\n")
        assert dialog.reply().startswith("220")


def test_a_balancer_that_is_not_in_the_option_is_named_in_the_log(tmp_path: Path) -> None:
    with place(tmp_path, LISTENERS) as found, found.dial("strangers") as dialog:
        assert dialog.ended() or dialog.ended()
        until(lambda: "unknown[127.0.0.1] is refused: proxy_protocol of [listener strangers]" in found.log())


def test_a_client_behind_a_balancer_can_be_blocked(tmp_path: Path) -> None:
    with place(tmp_path, LISTENERS) as found, found.dial() as dialog:
        found.runtime.blocks.block("192.0.2.7", 60)
        dialog.send(b"PROXY TCP4 192.0.2.7 192.0.2.1 4000 25\r\n")
        assert dialog.reply().startswith("421 4.7.0")
