"""Our login at another server: the best mechanism that both know, and tokens from a command (RFC 4954, XOAUTH2)."""

import binascii
import os
import shlex
import subprocess
from base64 import b64encode
from contextlib import suppress

from smtpd_classic.client.network import RelayLogin
from smtpd_classic.client.wire import ClientWire, ConnectionLost
from smtpd_classic.config.secret_file import SecretUnreadable, read_secret
from smtpd_classic.smtp import sasl
from smtpd_classic.smtp.reply import Reply

__all__ = ["LoginProblem", "log_in"]

_TOKEN_S = 30.0
_NOT_MEANT = {500, 502, 504, 534}  # the mechanism is announced but not accepted: the next one is tried
_HIDDEN = "********"


class LoginProblem(Exception):
    """Raised when the login fails; `str()` gives the reason. `reply` is the server's, None when the reason is ours."""

    def __init__(self, words: str, reply: Reply | None = None) -> None:
        super().__init__(words)
        self.reply = reply


def log_in(wire: ClientWire, offered: tuple[str, ...], login: RelayLogin, timeout_s: float) -> None:
    """Log in with the best mechanism that both sides know. Raises LoginProblem and ConnectionLost."""
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
            return sasl.scram_sha_256(login.user, _password(login))
        case "PLAIN":
            return sasl.plain(login.user, _password(login))
        case _:
            return sasl.login(login.user, _password(login))


def _password(login: RelayLogin) -> str:
    """Return the password; that of a file is read anew, because it may have been changed. Raises LoginProblem."""
    if not login.password_file:
        return login.password
    try:
        return read_secret(login.password_file)
    except SecretUnreadable as problem:
        raise LoginProblem(f"relay_password_file: {problem}") from None


def _exchange(wire: ClientWire, name: str, login: RelayLogin, timeout_s: float) -> Reply:
    """Run the exchange of one mechanism and return the reply that ends it. Raises LoginProblem and ConnectionLost."""
    client = _client(name, login)
    first = next(client)
    line = f"AUTH {name}" if first is None else f"AUTH {name} {_base64(first)}"
    reply = wire.command(line, timeout_s, f"AUTH {name}" if first is None else f"AUTH {name} {_HIDDEN}")
    while reply.code == 334:
        try:
            response = client.send(_challenge(name, reply.text))
        except StopIteration:
            raise _cancelled(wire, timeout_s, f"{name}: the server asks for more than the mechanism has") from None
        except sasl.BadChallenge as problem:
            raise _cancelled(wire, timeout_s, f"{name}: {problem}") from None
        reply = wire.command(b64encode(response or b"").decode("ascii"), timeout_s, _HIDDEN)
    if reply.positive and reply.code != 235:
        raise LoginProblem(f"{name}: the server answered {reply}")
    if reply.positive and name == "SCRAM-SHA-256":
        _finish(client)
    return reply


def _challenge(name: str, text: str) -> bytes:
    """Return the octets of a challenge. Only SCRAM uses them; some servers send other challenges without base64."""
    try:
        return binascii.a2b_base64(text, strict_mode=name == "SCRAM-SHA-256")
    except ValueError:
        if name != "SCRAM-SHA-256":
            return b""
        raise sasl.BadChallenge(f"the server's challenge is not base64: “{text[:80]}”") from None


def _cancelled(wire: ClientWire, timeout_s: float, words: str) -> LoginProblem:
    """Cancel the exchange (RFC 4954 4), and return the reason as an exception. The server's last reply is ignored."""
    with suppress(ConnectionLost):
        wire.command("*", timeout_s)
    return LoginProblem(words)


def _finish(client: sasl.Client) -> None:
    """Check the server's proof, before its 235, that it knows the password (RFC 5802 3). Raises LoginProblem."""
    try:
        client.send(b"")
    except StopIteration:
        return
    except sasl.BadChallenge:
        pass
    raise LoginProblem("SCRAM-SHA-256: the server did not show that it knows the password")


def _base64(response: bytes) -> str:
    return b64encode(response).decode("ascii") or "="  # RFC 4954 4: an empty initial response


def _token(command: str) -> str:
    """Return the output of the command, which runs without a shell. The output is a secret and is written nowhere."""
    try:
        words = shlex.split(command)
    except ValueError:
        raise LoginProblem("the token command cannot be run: a quotation in it is not closed") from None
    if not words:
        raise LoginProblem("the token command cannot be run: it is empty")
    environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": os.environ.get("HOME", "/")}
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TOKEN_S,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LoginProblem(f"the token command took longer than {_TOKEN_S:g} s") from None
    except OSError as problem:
        raise LoginProblem(f"the token command {words[0]} cannot be run: {problem.strerror}") from None
    token = done.stdout.decode("utf-8", "replace").strip()
    if done.returncode or not token or not token.isprintable():
        raise LoginProblem(f"the token command ended with {done.returncode} and {len(token)} characters of token")
    return token
