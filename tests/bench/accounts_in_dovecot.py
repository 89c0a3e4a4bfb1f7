"""The cost of a recipient whose account lives in Dovecot.

    python -m tests.bench.accounts_in_dovecot [NUMBER]

The same is measured with the accounts in files, and with the question to the LMTP server beside that to the accounts.
Dovecot is that of Debian with a passwd-file, and only the processes of the server count.
"""

import pwd
import shutil
import smtplib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from tests.bench.shared_state import worked_s
from tests.dovecot_lmtp import MailStoreServer, mail_store_server
from tests.instance import Instance

_IN_A_SESSION = 10
_TURNS = 20


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    users = [f"user{each}@example.test" for each in range(number)]
    folder = Path(tempfile.mkdtemp(prefix="accounts-"))
    folder.chmod(0o755)
    pattern = Instance(folder / "pattern")
    owner = pwd.getpwuid((pattern.folder / "mail").stat().st_uid).pw_name
    try:
        with mail_store_server(dict.fromkeys(users, 0), owner) as store:
            _recipients(_nodes(folder, store, users), users)
    finally:
        shutil.rmtree(folder)


def _nodes(folder: Path, store: MailStoreServer, users: Sequence[str]) -> dict[str, Instance]:
    found: dict[str, Instance] = {}
    sockets = {"dovecot_auth": str(store.auth), "dovecot_userdb": str(store.userdb)}
    sockets["mailbox"] = f"lmtp:unix:{store.socket}"
    for name, accounts, verify in (
        ("in files", "files", "no"),
        ("in Dovecot", "dovecot", "no"),
        ("in Dovecot, with the question to its LMTP server", "dovecot", "yes"),
    ):
        node = found[name] = Instance(folder / str(len(found)))
        values = {"accounts": accounts, "verify_recipients": verify, "workers": "1", **sockets}
        node.set_all({("server", option): value for option, value in values.items()})
        with (node.folder / "users").open("a") as file:
            file.writelines(f"{user}:{{PLAIN}}x::::::\n" for user in users)
    return found


def _recipients(nodes: dict[str, Instance], users: Sequence[str]) -> None:
    """All servers take their turns, so that the other programs of the machine disturb all."""
    first: dict[str, list[float]] = {name: [] for name in nodes}
    again: dict[str, list[float]] = {name: [] for name in nodes}
    step = len(users) // _TURNS
    try:
        for node in nodes.values():
            node.start()
            _ask(node, [node.login] if "files" in node.file.read_text() else users[:1])  # what is opened at first use
        for turn in range(_TURNS):
            asked = users[turn * step : (turn + 1) * step]
            for name, node in nodes.items():
                first[name].append(_cost_us(node, asked))
                again[name].append(_cost_us(node, asked))
    finally:
        for node in nodes.values():
            node.stop()
    for name in nodes:
        print(f"a recipient {name}: {median(first[name]):.0f} µs of processor time, {median(again[name]):.0f} µs again")


def _cost_us(node: Instance, users: Sequence[str]) -> float:
    """Return the processor time of MAIL, RCPT and RSET of a stranger."""
    assert node.process is not None
    before = worked_s(node.process.pid)
    for start in range(0, len(users), _IN_A_SESSION):
        _ask(node, users[start : start + _IN_A_SESSION])
    return (worked_s(node.process.pid) - before) * 1e6 / len(users)


def _ask(node: Instance, users: Sequence[str]) -> None:
    with smtplib.SMTP("127.0.0.1", node.ports["smtp"], "client.test", 60) as client:
        client.ehlo()
        for user in users:
            client.mail("eve@away.example")
            code, reply = client.rcpt(user)
            assert code == 250, reply
            client.rset()


if __name__ == "__main__":
    main()
