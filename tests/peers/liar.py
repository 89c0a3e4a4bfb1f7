"""A host that follows a list of answers instead of the protocol."""

import socket
from collections.abc import Mapping

from tests.client.fake_host import RawHost

__all__ = ["Liar"]

_HONEST = {
    "": b"220 liar",
    "EHLO": b"250-liar\r\n250 8BITMIME",
    "HELO": b"250 liar",
    "MAIL": b"250 ok",
    "RCPT": b"250 ok",
    "DATA": b"354 go on",
    ".": b"250 taken",
    "RSET": b"250 ok",
    "QUIT": b"221 bye",
}


class Liar:
    """`answers` by the beginning of a command, blank for the greeting and a dot for the content; the longest that fits
    counts. One connection at a time. `deaf`: it loses what comes behind a command in one go; `closes`: after which
    command it hangs up."""

    def __init__(self, ip: str, answers: Mapping[str, bytes], *, deaf: bool = False, closes: str = " ") -> None:
        self._answers = _HONEST | dict(answers)
        self._deaf = deaf
        self._closes = closes
        self.got: list[bytes] = []
        self.commands: list[str] = []
        self.host = RawHost(self._serve, ip, 25)

    def close(self) -> None:
        self.host.close()

    def _serve(self, connection: socket.socket) -> None:
        file = connection.makefile("rb")
        self._say(connection, "")
        while line := file.readline():
            command = line.decode("latin-1").strip()
            self.commands.append(command)
            answer = self._say(connection, command)
            if command.startswith(self._closes):
                return
            if command == "DATA" and answer.startswith(b"354"):
                content = b""
                while (line := file.readline()) not in {b".\r\n", b""}:
                    content += line
                if not line:
                    return
                self.got.append(content)
                self._say(connection, ".")
            if self._deaf:  # what has come with the command is never seen
                file = connection.makefile("rb")

    def _say(self, connection: socket.socket, command: str) -> bytes:
        key = max(
            (key for key in self._answers if command.startswith(key) and (key or not command)), key=len, default="QUIT"
        )
        connection.sendall(self._answers[key] + b"\r\n")
        return self._answers[key]
