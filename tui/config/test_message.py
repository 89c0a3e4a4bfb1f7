"""A real test message: submitted to the running server as by any client, then searched for where it must arrive."""

import os
import re
import smtplib
import socket
import ssl
import time
from contextlib import suppress
from email.message import EmailMessage
from email.utils import make_msgid
from typing import NamedTuple

from smtpd_classic.accounts import Accounts
from smtpd_classic.config import Config
from smtpd_classic.config.schema import Listener
from smtpd_classic.log_source import Following, NoLog, log_source
from tui.widgets.text import clean

__all__ = ["TestMessage", "run_trial"]

_TIMEOUT_S = 20.0
_LOOK_S = 0.2
_QUEUE_ID = re.compile(r"\b[0-9A-F]{20}\b")


class TestMessage(NamedTuple):
    """The result of a test. `steps` are sentences, one for each step; the last one gives the outcome."""

    arrived: bool
    steps: tuple[str, ...]


def run_trial(config: Config, login: str, password: str, recipient: str, patience_s: float = 30) -> TestMessage:
    """Log in as a user, send a message, and wait until it is in a local mailbox or the log has its delivery status."""
    steps: list[str] = []
    listener = _listener(config)
    if listener is None:
        return TestMessage(False, ("No listener lets users log in.",))
    message_id = make_msgid(domain=config.helo_name)
    following = _log_from_now(config.server.log)
    try:
        said = _send(config, listener, login, password, _message(config, login, recipient, message_id), steps)
    except (OSError, smtplib.SMTPException) as problem:
        return TestMessage(False, (*steps, f"It failed there: {clean(_words(problem), 400)}"))
    else:
        steps.append(f"The server took the message: {clean(said, 200)}")
        deadline = time.monotonic() + patience_s
        arrived, sentence = _follow(config, following, recipient, message_id, said, deadline)
        return TestMessage(arrived, (*steps, sentence))
    finally:
        if following is not None:
            following.close()


def _log_from_now(target: str) -> Following | None:
    """Return the lines that the log gets from now on; None if there is no log to read."""
    try:
        return log_source(target).follow()
    except (NoLog, OSError):
        return None


def _words(problem: Exception) -> str:
    if isinstance(problem, smtplib.SMTPResponseException):
        said = problem.smtp_error
        return f"{problem.smtp_code} {said.decode('utf-8', 'replace') if isinstance(said, bytes) else said}"
    return str(problem)


def _listener(config: Config) -> Listener | None:
    """Return a listener that allows logins, preferably one with implicit TLS; None if there is none."""
    found = [each for each in config.listeners if each.auth != "none"]
    return next((each for each in found if each.tls == "implicit"), found[0] if found else None)


def _message(config: Config, sender: str, recipient: str, message_id: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Message-ID"] = sender, recipient, message_id
    message["Subject"] = f"Test message from {config.helo_name}"
    message.set_content("This message was sent by smtpd-classic-tui to see whether mail goes through. It does.\n")
    return message


def _send(
    config: Config, listener: Listener, login: str, password: str, message: EmailMessage, steps: list[str]
) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listener.address[0], listener.address[0])
    # Do not verify the certificate: this is our own server on this machine, and it may be self-signed.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    secured = config.basic.allow_tls and listener.tls != "none"
    name = socket.gethostname()
    if secured and listener.tls == "implicit":
        client: smtplib.SMTP = smtplib.SMTP_SSL(host, listener.port, name, timeout=_TIMEOUT_S, context=context)
    else:
        client = smtplib.SMTP(host, listener.port, name, timeout=_TIMEOUT_S)
    with client:
        steps.append(f"Connected to {host} port {listener.port} (listener {listener.name}).")
        if secured and listener.tls == "starttls":
            client.starttls(context=context)
        client.login(login, password)
        steps.append(f"Logged in as {login}{' under TLS' if secured else ''}.")
        for code, text in (client.mail(message["From"]), client.rcpt(message["To"])):
            if code // 100 != 2:
                raise smtplib.SMTPResponseException(code, text)
        code, text = client.data(message.as_bytes())
        if code // 100 != 2:
            raise smtplib.SMTPResponseException(code, text)
        return text.decode("utf-8", "replace")


def _follow(
    config: Config, following: Following | None, recipient: str, message_id: str, said: str, deadline: float
) -> tuple[bool, str]:
    accounts = Accounts(config)
    account = accounts.account(recipient) if accounts.is_local_domain(recipient.rpartition("@")[2]) else None
    in_maildir = account is not None and bool(account.folder)
    queue_id = found[0] if (found := _QUEUE_ID.search(said)) else ""
    while True:
        if in_maildir and account is not None and (path := _in_maildir(account.folder, message_id)):
            return True, f"It arrived: {path}"
        if not in_maildir and (status := _status(following, queue_id, recipient)):
            return "status=sent" in status, f"The log says: {clean(status, 600)}"
        if time.monotonic() > deadline:
            return False, "It has not arrived yet; the queue and the log tell more."
        time.sleep(_LOOK_S)


def _in_maildir(folder: str, message_id: str) -> str:
    with suppress(OSError), os.scandir(os.path.join(folder, "new")) as files:
        latest = sorted(files, key=lambda file: file.stat().st_mtime, reverse=True)[:20]
        for file in latest:
            with open(file.path, "rb") as content:
                if message_id.encode() in content.read(16384):
                    return file.path
    return ""


def _status(following: Following | None, queue_id: str, recipient: str) -> str:
    """Return the new line of the log with the delivery status for the recipient; blank if there is none."""
    if following is None or not queue_id:
        return ""
    with suppress(OSError, NoLog):
        words = (queue_id, f"to=<{recipient}>", "status=")
        return next((line for line in following.read() if all(word in line for word in words)), "")
    return ""
