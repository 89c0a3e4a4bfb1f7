"""Has a real journal in a mount namespace of its own, and follows it.

A program for `unshare --mount`, with the folder of its files. It prints what the follower reads, and what is read back.
"""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from smtpd_classic.log_source import JournalLog
from tests.tools import need
from tests.waiting import until

_SOCKET = Path("/run/systemd/journal/dev-log")


def main() -> None:
    folder = Path(sys.argv[1])
    _enter(folder)
    with subprocess.Popen([need("/lib/systemd/systemd-journald")], stderr=subprocess.DEVNULL) as journald:
        try:
            until(_SOCKET.exists)
            _follow()
        finally:
            journald.send_signal(signal.SIGTERM)


def _enter(folder: Path) -> None:
    """Put an empty /run over that of the machine, and an /etc with a number of a machine."""
    subprocess.run(["cp", "-a", "/etc", folder], check=True)
    (folder / "etc" / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    for words in (("--make-rprivate", "/"), ("--bind", folder / "etc", "/etc"), ("-t", "tmpfs", "tmpfs", "/run")):
        subprocess.run(["mount", *words], check=True)
    os.makedirs("/run/systemd")
    os.makedirs("/run/log/journal")


def _follow() -> None:
    journal = JournalLog(need("journalctl"))
    _write("before")
    until(lambda: len(journal.last(9, bool)) == 1)  # the journal has it
    following = journal.follow()
    _write("at once")  # journalctl has hardly begun to start
    print("came", *following.wait(), sep="\n")
    print("last", *journal.last(9, bool), sep="\n")
    print("every", *journal.every(bool), sep="\n")
    following.close()


def _write(text: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.connect(str(_SOCKET))
        client.send(f"<22>smtpd-classic/smtpd[7]: {text}".encode())


if __name__ == "__main__":
    main()
