"""The macros of each stage. A filter that names its own (SETSYMLIST) gets those, as far as they are known."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

__all__ = ["CONNECT", "DATA", "END", "END_OF_HEADER", "HELO", "MAIL", "RCPT", "Stage"]


class Stage(NamedTuple):
    """A command of the protocol, its number in SETSYMLIST, the macros sent before it, and its title for messages."""

    command: bytes
    number: int
    names: tuple[str, ...]
    title: str

    def values(self, known: Mapping[str, str], wanted: Mapping[int, tuple[str, ...]]) -> Iterator[tuple[str, str]]:
        """Yield the macros to send; those without a value are left out."""
        names = wanted.get(self.number)
        for name in self.names if names is None else (each.strip("{}") for each in names):
            if known.get(name):
                yield name, known[name]


_CLIENT = ("client_addr", "client_name", "client_ptr", "client_port", "client_connections", "client_resolve")
CONNECT = Stage(
    b"C",
    0,
    ("j", "_", "v", "daemon_name", "daemon_addr", "daemon_port", "if_name", "if_addr", *_CLIENT),
    "the connection",
)
HELO = Stage(b"H", 1, ("tls_version", "cipher", "cipher_bits", "cert_subject", "cert_issuer"), "HELO")
_AUTH = ("auth_type", "auth_authen", "auth_author")
_SENDER = ("mail_addr", "mail_host", "mail_mailer")
MAIL = Stage(b"M", 2, ("i", "b", "r", *_AUTH, *_SENDER, "client_addr", "client_name", *HELO.names), "MAIL")
RCPT = Stage(b"R", 3, ("i", "rcpt_addr", "rcpt_host", "rcpt_mailer"), "RCPT")
DATA = Stage(b"T", 4, ("i",), "DATA")
END = Stage(b"E", 5, ("i",), "the end of the message")
END_OF_HEADER = Stage(b"N", 6, ("i",), "the end of the header")
