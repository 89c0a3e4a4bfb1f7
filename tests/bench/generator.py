"""Load that smtp-source cannot make: logins under TLS, and clients whose recipient is refused.

    python -m tests.bench.generator PLAN

The plan is a `Plan` as JSON. Every session has a thread; a session that goes wrong is told on standard error.
"""

import base64
import json
import socket
import ssl
import sys
import threading
from dataclasses import asdict, dataclass

__all__ = ["Plan", "command"]


@dataclass(frozen=True, slots=True)
class Plan:
    """`login` blank: in the clear and without one. `kept`: a session sends all its messages over one connection.
    `refused`: the recipient is to be refused."""

    port: int
    messages: int
    sessions: int
    length: int
    sender: str
    recipient: str
    login: str = ""
    password: str = ""
    kept: bool = False
    refused: bool = False


def command(plan: Plan) -> list[str]:
    return [sys.executable, "-m", "tests.bench.generator", json.dumps(asdict(plan))]


class _Session:
    def __init__(self, plan: Plan, context: ssl.SSLContext) -> None:
        self._plan = plan
        self._context = context
        line = b"X" * 78 + b"\r\n"
        head = f"From: <{plan.sender}>\r\nTo: <{plan.recipient}>\r\nSubject: bench\r\n\r\n".encode()
        self._content = head + line * ((plan.length - len(head)) // len(line)) + b".\r\n"

    def run(self, messages: int) -> None:
        for number in range(messages):
            if not self._plan.kept or not number:
                self._open()
            self._send()
            if not self._plan.kept or number == messages - 1:
                self._say(b"QUIT\r\n", 221)
                self._socket.close()

    def _open(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._plan.port), 60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""
        self._reply(220)
        self._say(b"EHLO client.test\r\n", 250)
        if self._plan.login:
            self._say(b"STARTTLS\r\n", 220)
            self._socket = self._context.wrap_socket(self._socket)
            self._say(b"EHLO client.test\r\n", 250)
            secret = base64.b64encode(f"\0{self._plan.login}\0{self._plan.password}".encode())
            self._say(b"AUTH PLAIN " + secret + b"\r\n", 235)

    def _send(self) -> None:
        plan = self._plan
        self._socket.sendall(f"MAIL FROM:<{plan.sender}>\r\nRCPT TO:<{plan.recipient}>\r\nDATA\r\n".encode())
        self._reply(250)
        if plan.refused:
            self._reply(550)
            self._reply(503, 554)
            return
        self._reply(250)
        self._reply(354)
        self._say(self._content, 250)

    def _say(self, data: bytes, wanted: int) -> None:
        self._socket.sendall(data)
        self._reply(wanted)

    def _reply(self, *wanted: int) -> None:
        while True:
            line, end, rest = self._rest.partition(b"\r\n")
            if not end:
                more = self._socket.recv(16384)
                if not more:
                    raise ConnectionResetError("closed by the server")
                self._rest += more
                continue
            self._rest = rest
            if line[3:4] != b"-":
                break
        if int(line[:3]) not in wanted:
            raise ValueError(f"{wanted} expected: {line.decode('latin-1')}")


def main() -> int:
    plan = Plan(**json.loads(sys.argv[1]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    problems: list[str] = []

    def work(messages: int) -> None:
        try:
            _Session(plan, context).run(messages)
        except (OSError, ValueError) as problem:
            problems.append(f"{type(problem).__name__}: {problem}")

    each, more = divmod(plan.messages, plan.sessions)
    threads = [
        threading.Thread(target=work, args=(each + (n < more),)) for n in range(min(plan.sessions, plan.messages))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("\n".join(sorted(set(problems))), file=sys.stderr)
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
