"""Kinds that name the place of mailboxes: Maildirs of this server, or a server of final delivery by LMTP."""

from typing import NamedTuple

from smtpd_classic.config.hosts import host_and_port, host_and_port_text
from smtpd_classic.config.kind import Kind, one_line, split_items

__all__ = ["MAILBOX_PLACE", "MAILDIRS", "OPTIONAL_MAILBOX_PLACE", "LmtpServer", "MailboxPlace"]

_LONGEST_PATH = 107  # sun_path (unix(7)), less its NUL
_EXAMPLE = "lmtp:unix:/run/dovecot/lmtp"


class LmtpServer(NamedTuple):
    """A server of final delivery: a Unix socket, or a host and port."""

    path: str = ""
    name: str = ""
    port: int = 0

    def __str__(self) -> str:
        return f"lmtp:unix:{self.path}" if self.path else f"lmtp:{host_and_port_text(self.name, self.port)}"


class MailboxPlace(NamedTuple):
    """The place of mailboxes: LMTP servers to try in order; none means the Maildirs of this server."""

    servers: tuple[LmtpServer, ...] = ()

    @property
    def is_maildir(self) -> bool:
        return not self.servers

    def __str__(self) -> str:
        return ", ".join(map(str, self.servers)) or "maildir"


MAILDIRS = MailboxPlace()


def _place(text: str) -> MailboxPlace:
    if text.strip().lower() in {"", "maildir"}:
        return MAILDIRS
    return MailboxPlace(tuple(dict.fromkeys(map(_server, split_items(one_line(text.replace("\n", ",")))))))


def _server(text: str) -> LmtpServer:
    word, _, where = text.partition(":")
    if word.lower() != "lmtp" or not where:
        raise ValueError(f"“{text}” is neither maildir nor a server such as {_EXAMPLE} or lmtp:192.0.2.1:24.")
    if where.lower().startswith("unix:"):
        path = where[5:]
        if not path.startswith("/") or len(path.encode()) > _LONGEST_PATH:
            raise ValueError(f"“{path}” is not the absolute name of a socket, of {_LONGEST_PATH} octets at most.")
        return LmtpServer(path)
    name, port = host_and_port(where)
    if not port:
        raise ValueError(f"“{text}” has no port; LMTP servers usually have port 24.")
    if port == 25:
        raise ValueError("LMTP is never spoken on port 25 (RFC 2033 5).")
    return LmtpServer("", name, port)


MAILBOX_PLACE = Kind("maildir, or a list of LMTP servers", _place, str, _EXAMPLE)
OPTIONAL_MAILBOX_PLACE = Kind(
    "maildir, or a list of LMTP servers; or blank",
    lambda text: _place(text) if text.strip() else None,
    lambda place: "" if place is None else str(place),
    _EXAMPLE,
)
