"""A server that is killed before each change of its files while it takes one message, in turn. Prints the number of
changes.

    python -m tests.reception.crasher FOLDER
"""

import base64
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from tests.reception.world import NOON, PASSWORD, Talk, World, world

JOE, ANN, KEEP = "joe@example.org", "ann@example.org", "clerk@example.org"
PAL, FRIEND = "pal@elsewhere.example", "friend@elsewhere.example"
EVERYONE = {JOE, ANN, KEEP, PAL, FRIEND}
CONFIG = (
    f"[group staff@example.org]\nmembers = {ANN}, {FRIEND}\nowner = {JOE}\n"
    f"[approval sales]\nsenders = {JOE}\nmanagers = {ANN}\n[archive]\noutgoing = {KEEP}\n"
)
CHANGES = frozenset({"open", "os.chmod", "os.rename", "os.link", "os.remove", "os.truncate"})
NEVER = 1 << 30


def die_before(number: int, folder: str) -> None:
    """Kill this process before so many changes of files in the folder have been made."""
    left = number

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal left
        if event in CHANGES and (isinstance(args[0], int) or os.fsdecode(args[0]).startswith(folder)):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def begun(here: World) -> Talk:
    """Return a session that waits for the content. A process that is forked later goes on with it."""
    talk = here.talk(listener="submission", tls=True)
    talk()
    talk.line("EHLO client.example")
    talk.line(f"AUTH PLAIN {base64.b64encode(f'{chr(0)}{JOE}{chr(0)}{PASSWORD}'.encode()).decode()}")
    for line in (f"MAIL FROM:<{JOE}>", *(f"RCPT TO:<{each}>" for each in (JOE, PAL, "staff@example.org")), "DATA"):
        reply = talk.line(line)
        assert reply[0] in "23", reply
    return talk


def took(here: World, talk: Talk, number: int) -> bool:
    """Let a process take the message, and die before that change. Return True if the client has got 250."""
    child = os.fork()
    if not child:
        die_before(number, str(here.folder))
        reply = talk(b"From: joe@example.org\r\nSubject: parts\r\n\r\nText.\r\n.\r\n").decode()
        os._exit(0 if reply.startswith("250") else 1)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the message was refused"
    return os.WIFEXITED(status)


def queued(here: World) -> Counter[str]:
    """Return the recipients in the queue. Those that must wait do so, and every message is whole."""
    spool, found = here.services.spool, Counter[str]()
    spool.sweep(NOON + 86_400)
    assert not here.leftovers()
    for queue_id in here.queue():
        entry, state = spool.read(queue_id)
        with spool.open_content(queue_id) as content:
            assert content.read().endswith(b"\nSubject: parts\n\nText.\n")
        for recipient in entry.envelope.recipients:
            assert (state.hold is not None) == (recipient.address in {PAL, FRIEND}), (recipient, state.hold)
            found[recipient.address] += 1
    return found


def main(folder: Path) -> None:
    here, number, done = world(folder, CONFIG), 0, False
    first, second = begun(here), begun(here)
    while not done:
        number += 1
        done = took(here, first, number)
        before = queued(here)
        if done:
            assert before == Counter(EVERYONE), before
            break
        assert not before - Counter(EVERYONE), before
        assert took(here, second, NEVER)  # the client comes again
        assert queued(here) == before + Counter(EVERYONE)
        for queue_id in here.queue():
            here.services.spool.delete(queue_id)
    print(number - 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
