"""Our login at another server: the best mechanism that both know, and tokens from a command (RFC 4954, XOAUTH2)."""

import binascii
import os
import shlex
import subprocess
from base64 import b64encode

from smtpd_classic.client.network import RelayLogin
from smtpd_classic.client.wire import ClientWire
from smtpd_classic.smtp import sasl
from smtpd_classic.smtp.reply import Reply

__all__ = ["LoginProblem", "log_in"]

_TOKEN_S = 30.0
_NOT_MEANT = {500, 502, 504, 534}  # the mechanism is announced and not taken: the next one may be
_HIDDEN = "********"


class LoginProblem(Exception):
    """`reply` is what the server said, or None when it is our own sentence."""

    def __init__(self, words: str, reply: Reply | None = None) -> None:
        super().__init__(words)
        self.reply = reply


def log_in(wire: ClientWire, offered: tuple[str, ...], login: RelayLogin, timeout_s: float) -> None:
    """Raises LoginProblem, and Lost."""
    known = ("XOAUTH2",) if login.token_command else ("SCRAM-SHA-256", "PLAIN", "LOGIN")
    mechanisms = [name for name in known if name in offered]
    if not mechanisms:
        raise LoginProblem(
            f"it offers {' '.join(offered)}, and none of {' '.join(known)}" if offered else "it offers no login (AUTH)"
        )
    for name in mechanisms:
        reply = _exchange(wire, name, login, timeout_s)
        if reply.positive:
            return
        if reply.code not in _NOT_MEANT:
            break
    raise LoginProblem(str(reply), reply)


def _client(name: str, login: RelayLogin) -> sasl.Client:
    match name:
        case "XOAUTH2":
            return sasl.xoauth2(login.user, _token(login.token_command))
        case "SCRAM-SHA-256":
            return sasl.scram_sha_256(login.user, login.password)
        case "PLAIN":
            return sasl.plain(login.user, login.password)
        case _:
            return sasl.login(login.user, login.password)


def _exchange(wire: ClientWire, name: str, login: RelayLogin, timeout_s: float) -> Reply:
    """The conversation of one mechanism, to its 235 or whatever else ends it."""
    client = _client(name, login)
    first = next(client)
    line = f"AUTH {name}" if first is None else f"AUTH {name} {_base64(first)}"
    reply = wire.command(line, timeout_s, f"AUTH {name}" if first is None else f"AUTH {name} {_HIDDEN}")
    while reply.code == 334:
        try:
            response = client.send(binascii.a2b_base64(reply.text))
        except (StopIteration, sasl.BadChallenge, binascii.Error) as problem:
            wire.command("*", timeout_s)
            raise LoginProblem(f"{name}: {problem or 'the server does not come to an end'}") from None
        reply = wire.command(b64encode(response or b"").decode("ascii"), timeout_s, _HIDDEN)
    if reply.positive and reply.code != 235:
        raise LoginProblem(f"{name}: the server answered {reply}")
    if reply.positive and name == "SCRAM-SHA-256":
        _finish(client)
    return reply


def _finish(client: sasl.Client) -> None:
    """A server that says 235 before it has shown that it knows the password does not know it (RFC 5802 3)."""
    try:
        client.send(b"")
    except StopIteration:
        return
    except sasl.BadChallenge as problem:
        raise LoginProblem(f"SCRAM-SHA-256: {problem}") from None
    raise LoginProblem("SCRAM-SHA-256: the server did not show that it knows the password")


def _base64(response: bytes) -> str:
    return b64encode(response).decode("ascii") or "="  # RFC 4954 4: an empty initial response


def _token(command: str) -> str:
    """Run without a shell; what it prints is a secret and appears nowhere."""
    environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": os.environ.get("HOME", "/")}
    try:
        done = subprocess.run(
            shlex.split(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TOKEN_S,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LoginProblem(f"the token command took longer than {_TOKEN_S:g} s") from None
    except (OSError, ValueError) as problem:
        raise LoginProblem(f"the token command cannot be run: {problem}") from None
    token = done.stdout.decode("utf-8", "replace").strip()
    if done.returncode or not token or not token.isprintable():
        raise LoginProblem(f"the token command ended with {done.returncode} and {len(token)} characters of token")
    return token
