"""Boxes of the page Access Control, seen on the wire."""

import socket

from tests.wire.panel import options
from tests.wire.world import World

PAGE, ACCESS = "Access Control", options("access")


def test_pipelining(world: World) -> None:
    world.given({})

    def hurried() -> bytes:
        """Send MAIL in one packet with EHLO; return the last reply."""
        with world.client() as client:
            assert client.sock is not None
            connection: socket.socket = client.sock
            connection.sendall(b"EHLO client.example\r\nMAIL FROM:<x@elsewhere.example>\r\nQUIT\r\n")
            received = b""
            while piece := connection.recv(4096):
                received += piece
            return received.splitlines()[-1]

    assert hurried().startswith(b"554 5.5.0")
    world.set(PAGE, ACCESS["pipelining"], "lenient")
    assert hurried().startswith(b"221")
