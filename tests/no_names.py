"""A name server in a thread for which no name exists: a server that looks names up is answered at once."""

import socket
import threading
from functools import cache

__all__ = ["no_names"]

_RESPONSE, _NXDOMAIN = 0x80, 0x03
_HEADER = 12


@cache
def no_names() -> str:
    """Return the address of the name server, in the form of the option `name_servers`. It lives as long as this
    process."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    threading.Thread(target=_serve, args=(server,), daemon=True).start()
    return f"127.0.0.1:{server.getsockname()[1]}"


def _serve(server: socket.socket) -> None:
    while True:
        question, client = server.recvfrom(4096)
        server.sendto(_denial(question), client)


def _denial(question: bytes) -> bytes:
    """Return the answer: the question without its additional records (EDNS)."""
    end = question.index(b"\0", _HEADER) + 5
    flags = bytes((question[2] | _RESPONSE, _NXDOMAIN))
    return question[:2] + flags + question[4:6] + bytes(6) + question[_HEADER:end]
