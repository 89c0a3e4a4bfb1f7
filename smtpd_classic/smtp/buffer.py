"""Octets that have arrived and are not yet read.

Only CR LF ends a command line (RFC 5321 2.3.8), as strictly as in the content. A line that ends with a bare LF is
refused, and so is the piece behind it up to the next CR LF, because both are one line: no command within it is carried
out. Each piece gets a reply of its own, so that a client that ends all its lines with LF alone gets the error and does
not wait for ever.
"""

from typing import Final

from smtpd_classic.smtp import replies
from smtpd_classic.smtp.grammar import Malformed
from smtpd_classic.smtp.reply import Reply

__all__ = ["MAX_AUTH_LINE", "MAX_LINE", "ReceiveBuffer"]

MAX_LINE: Final = 4096  # octets with CR LF; RFC 5321 4.5.3.1.4 asks for 512, parameters for more
MAX_AUTH_LINE: Final = 12288  # RFC 4954 4
# As numbers: see smtp/content.py.
_NUL: Final = 0
_LF: Final = 10
_CR: Final = 13


class ReceiveBuffer:
    __slots__ = ("_broken", "_data", "_overlong", "_position")

    def __init__(self) -> None:
        self._data = b""
        self._position = 0
        self._broken = False  # the line began with a piece that ended in a bare LF
        self._overlong: Reply | None = None  # the line has lost its beginning already

    def __len__(self) -> int:
        return len(self._data) - self._position

    def append(self, data: bytes) -> None:
        self._data = self._data[self._position :] + data if self._position < len(self._data) else data
        self._position = 0

    def clear(self) -> None:
        self.__init__()  # type: ignore[misc]

    def take_all(self) -> bytes:
        data = self._data[self._position :] if self._position else self._data
        self._position = len(self._data)
        return data

    def take(self, most: int) -> bytes:
        """Return up to `most` octets, without looking for a line end."""
        start = self._position
        self._position = min(len(self._data), start + most)
        return self._data[start : self._position]

    def next_line(self, *, auth: bool = False, lenient: bool = False) -> bytes | None:
        """Return a command line without its end; None until a whole line has arrived.

        `auth`: the line answers a challenge and may be as long as one that begins with AUTH. `lenient`: LF alone ends a
        line too. Raises Malformed, and drops the line.
        """
        start = self._position
        end = self._data.find(b"\r\n", start)
        if start <= end <= start + MAX_LINE - 2 and not self._broken and not self._overlong:
            line = self._data[start:end]
            if _LF not in line and _CR not in line and _NUL not in line:  # the usual case
                self._position = end + 2
                return line
        end = self._data.find(b"\n", start)
        if end < 0:
            if len(self._data) - start > MAX_AUTH_LINE:
                self._drop(auth=auth)
            return None
        line = self._data[start : end + 1]
        self._position = end + 1
        if lenient and line[-2:] != b"\r\n":
            line = line[:-1] + b"\r\n"
        return self._odd_line(line, auth=auth)

    def replace(self, data: bytes) -> None:
        """Continue with these octets; all earlier ones have been taken."""
        self._data = data
        self._position = 0

    def _drop(self, *, auth: bool) -> None:
        """Keep memory bounded: of an overlong line only the last octet counts, which may be the CR before its LF."""
        self._overlong = self._overlong or _too_long(self._data[self._position : self._position + 5], auth=auth)
        self._data = self._data[-1:]
        self._position = 0

    def _odd_line(self, line: bytes, *, auth: bool) -> bytes:
        broken, self._broken = self._broken, not line.endswith(b"\r\n")
        overlong, self._overlong = self._overlong, None
        if broken or self._broken:
            raise Malformed(replies.BAD_LINE_END)
        too_long = _too_long(line[:5], auth=auth)
        if overlong or len(line) > (MAX_LINE if too_long is replies.LINE_TOO_LONG else MAX_AUTH_LINE):
            raise Malformed(overlong or too_long)
        if b"\r" in line[:-2]:
            raise Malformed(replies.BAD_LINE_END)
        if b"\0" in line:
            raise Malformed(replies.NUL_IN_COMMAND, attack=True)
        return line[:-2]


def _too_long(beginning: bytes, *, auth: bool) -> Reply:
    return replies.AUTH_LINE_TOO_LONG if auth or beginning.upper() == b"AUTH " else replies.LINE_TOO_LONG
