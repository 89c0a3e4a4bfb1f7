"""Thousands of mail servers and their name server in one process, for a network namespace of its own.

    python -m tests.play.sink DELAY_S

A domain is BEHAVIOUR-NUMBER.test. Its mail exchanger is mx.BEHAVIOUR-NUMBER.test, at an address whose second octet is
the behaviour (`address_of`), so that nothing needs to be configured. DELAY_S is the time before each reply. One JSON
object a line is written to standard output: connections that open and close, and messages with their X-Tag field.
"""

import asyncio
import json
import re
import struct
import sys
import time
from collections import Counter
from typing import TextIO, cast

__all__ = ["BEHAVIOURS", "BLACK_HOLES", "address_of", "domain_of"]

BEHAVIOURS = (
    *("good", "blackhole", "greeting", "implicit", "ehlo", "tls", "drip", "mail", "data", "dot", "slow", "nodns"),
    *("slowdns", "two"),
)
"""Where a host falls silent: at the greeting, in the handshake of port 465, behind EHLO, STARTTLS, MAIL, DATA or the
final dot. `drip`: one octet a second. `slow`: five seconds a reply. `nodns`: its name servers say nothing; `slowdns`:
they need four seconds. `blackhole`: packets to it are lost. `two`: a third connection is refused."""
BLACK_HOLES = "198.18"
_SILENT_AT = {"ehlo": b"EHLO", "tls": b"STARTTLS", "mail": b"MAIL", "data": b"DATA"}
_SLOW_S, _SLOW_DNS_S = 5.0, 4.0
_NAME = re.compile(r"(?:mx\.)?([a-z]+)-(\d+)\.test")
_A, _NS, _SOA, _MX = 1, 2, 6, 15


def domain_of(behaviour: str, number: int) -> str:
    return f"{behaviour}-{number}.test"


def address_of(behaviour: str, number: int) -> str:
    low = f"{number // 250}.{number % 250 + 1}"
    return f"{BLACK_HOLES}.{low}" if behaviour == "blackhole" else f"127.{10 + BEHAVIOURS.index(behaviour)}.{low}"


class Events:
    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._lines: list[str] = []
        self._open: Counter[str] = Counter()

    def open_at(self, ip: str) -> int:
        """Return the number of connections that are open to a host."""
        return self._open[ip]

    def add(self, event: str, ip: str, tag: str = "") -> None:
        self._open[ip] += {"open": 1, "close": -1}.get(event, 0)
        if not self._lines:
            asyncio.get_running_loop().call_later(0.01, self._write)
        self._lines.append(json.dumps([round(time.time(), 4), event, ip, tag]))

    def _write(self) -> None:
        lines, self._lines = self._lines, []
        self._file.write("\n".join(lines) + "\n")
        self._file.flush()


class Host(asyncio.Protocol):
    """One session of one of the hosts."""

    def __init__(self, events: Events, delay_s: float) -> None:
        self._events, self._delay_s = events, delay_s
        self._buffer = bytearray()
        self._in_data = self._silent = False
        self._tag = ""
        self._queue: list[tuple[float, bytes]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._ip, port = transport.get_extra_info("sockname")[:2]
        self._behaviour = BEHAVIOURS[int(self._ip.split(".")[1]) - 10] if not self._ip.startswith("127.0.") else "good"
        if self._behaviour == "slow":
            self._delay_s = _SLOW_S
        self._events.add("open", self._ip)
        if self._behaviour == "two" and self._events.open_at(self._ip) > 2:
            self._transport.write(b"421 4.7.0 too many connections\r\n")
            self._transport.close()
            self._silent = True
            return
        self._silent = self._behaviour == "greeting" or port == 465
        self._reply(b"220 mx.test ESMTP\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        self._events.add("close", self._ip)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while not self._silent:
            if self._in_data:
                end = self._buffer.find(b"\r\n.\r\n")
                if end < 0:
                    return
                self._take(bytes(self._buffer[:end]))
                del self._buffer[: end + 5]
                continue
            line, found, rest = self._buffer.partition(b"\r\n")
            if not found:
                return
            self._buffer = rest
            self._command(bytes(line))

    def _take(self, content: bytes) -> None:
        self._in_data = False
        if self._behaviour == "dot":
            self._silent = True
            return
        for tag in re.findall(rb"^X-Tag: *(\S+)", content, re.MULTILINE):
            self._events.add("got", self._ip, tag.decode())
        self._reply(b"250 2.0.0 taken\r\n")

    def _command(self, line: bytes) -> None:
        word = line[:8].upper().split(b" ")[0].split(b":")[0]
        if word == _SILENT_AT.get(self._behaviour):
            if word == b"STARTTLS":
                self._reply(b"220 2.0.0 go on\r\n")
            self._silent = True
        elif word == b"EHLO":
            more = b"250-STARTTLS\r\n" if self._behaviour == "tls" else b""
            self._reply(b"250-mx.test\r\n" + more + b"250-PIPELINING\r\n250 8BITMIME\r\n")
        elif word == b"DATA":
            self._in_data = True
            self._reply(b"354 go on\r\n")
        elif word == b"QUIT":
            self._reply(b"221 2.0.0 bye\r\n")
            asyncio.get_running_loop().call_later(self._delay_s, self._transport.close)
        else:
            self._reply(b"250 2.1.0 ok\r\n")

    def _reply(self, reply: bytes) -> None:
        """Send a reply after the delay; of those to pipelined commands each has its own."""
        if self._silent:
            return
        loop = asyncio.get_running_loop()
        if self._behaviour == "drip":
            for number in range(len(reply)):
                loop.call_later(number + 1, self._transport.write, reply[number : number + 1])
        elif self._delay_s:
            loop.call_later(self._delay_s, self._transport.write, reply)
        else:
            self._transport.write(reply)


class NameServer(asyncio.DatagramProtocol):
    """Answers A and MX questions about the hosts, NXDOMAIN for every other name."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        name, end = _name_in(data)
        kind = struct.unpack_from("!H", data, end)[0]
        match = _NAME.fullmatch(name)
        behaviour = match[1] if match else ""
        if behaviour == "nodns":
            return
        answer = _answer(name, kind, match)
        code = 0 if match and behaviour in BEHAVIOURS else 3
        header = data[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(answer), 0, 0)
        reply = header + data[12 : end + 4] + b"".join(answer)
        asyncio.get_running_loop().call_later(
            _SLOW_DNS_S if behaviour == "slowdns" else 0, self._transport.sendto, reply, addr
        )


def _name_in(data: bytes) -> tuple[str, int]:
    labels, place = [], 12
    while length := data[place]:
        labels.append(data[place + 1 : place + 1 + length].decode("ascii", "replace").lower())
        place += length + 1
    return ".".join(labels), place + 1


def _answer(name: str, kind: int, match: re.Match[str] | None) -> list[bytes]:
    if match is None or match[1] not in BEHAVIOURS:
        return []
    if kind == _MX and not name.startswith("mx."):
        exchange = b"\x00\x0a\x02mx\xc0\x0c"
        return [struct.pack("!HHHIH", 0xC00C, _MX, 1, 300, len(exchange)) + exchange]
    if kind == _A and name.startswith("mx."):
        ip = bytes(int(octet) for octet in address_of(match[1], int(match[2])).split("."))
        return [struct.pack("!HHHIH", 0xC00C, _A, 1, 300, 4) + ip]
    return []


async def _serve(events: Events, delay_s: float) -> None:
    loop = asyncio.get_running_loop()
    for port in (25, 465):
        await loop.create_server(lambda: Host(events, delay_s), "0.0.0.0", port, backlog=4096)
    await loop.create_datagram_endpoint(NameServer, ("127.0.0.1", 53))
    events.add("ready", "")
    await asyncio.Event().wait()


def main() -> None:
    asyncio.run(_serve(Events(sys.stdout), float(sys.argv[1])))


if __name__ == "__main__":
    main()
