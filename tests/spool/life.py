"""The life of some messages, told line by line on standard output: a program for tests that kill it or break its disk.

Run as `python tests/spool/life.py SPOOL MAIL SITE-PACKAGES`. A line is written when the server would answer, and only
then.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parent.parent.parent), *sys.argv[3:]]

from smtpd_classic.mailstore.store import MailStore, MailStoreBroken, MailStoreFull
from spool import DELIVERED, Envelope, Recipient, Spool, SpoolBroken, SpoolFull, new_queue_id

__all__ = ["FOLDERS", "LARGE", "ONE", "SMALL", "THREE", "TWO"]

NOW = 1_800_000_000.0
SMALL = b"Subject: small\n\nbody\n"
LARGE = b"Subject: large\n\n" + b"0123456789abcdef" * 9_000
ONE = b"Return-Path: <a@example.org>\nEnvelope-To: <u@example.net>\n" + SMALL
THREE = b"Return-Path: <a@example.org>\nReceived: from mx\n" + LARGE
TWO = Envelope("a@example.org", (Recipient("b@example.net"), Recipient("c@example.com")))
FOLDERS = ("u", "v", "w")


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def queue(spool: Spool, content: bytes) -> str:
    with spool.draft(new_queue_id(NOW)) as draft:
        for start in range(0, len(content), 50_000):
            draft.write(content[start : start + 50_000])
        queue_id = draft.commit(TWO, NOW)
    say(f"queued {queue_id} {len(content)}")
    return queue_id


def deliver(store: MailStore, content: bytes, users: tuple[str, ...]) -> None:
    with store.incoming() as message:
        for start in range(0, len(content), 50_000):
            message.write(content[start : start + 50_000])
        left = message.deliver([f"{store.mail_folder}/{user}" for user in users])
    say(f"delivered {len(content)} " + " ".join(user for user in users if f"{store.mail_folder}/{user}" not in left))


def attempt(spool: Spool, queue_id: str) -> None:
    claim = spool.claim(queue_id)
    if claim is None:
        return
    with claim:
        first, second = claim.state.recipients
        state = claim.state._replace(recipients=(first._replace(state=DELIVERED), second), attempts=1)
        claim.record(state._replace(next_attempt=NOW + 900))
        say(f"recorded {queue_id}")


def remove(spool: Spool, queue_id: str) -> None:
    claim = spool.claim(queue_id)
    if claim is None:
        return
    with claim:
        say(f"removing {queue_id}")
        claim.remove()
        say(f"removed {queue_id}")


def live(spool: Spool, store: MailStore) -> None:
    ids: list[str] = []
    steps: list[Callable[[], object]] = [
        lambda: ids.append(queue(spool, SMALL)),
        lambda: ids.append(queue(spool, LARGE)),
        lambda: deliver(store, ONE, FOLDERS[:1]),
        lambda: deliver(store, THREE, FOLDERS),
        lambda: attempt(spool, ids[0]),
        lambda: attempt(spool, ids[-1]),
        lambda: remove(spool, ids[-1]),
    ]
    for step in steps:
        try:
            step()
        except (SpoolFull, SpoolBroken, MailStoreFull, MailStoreBroken, IndexError) as error:
            say(f"refused: {error!r}")
    say("end")


def main() -> None:
    spool, store = Spool(sys.argv[1]), MailStore(sys.argv[2], "mx")
    spool.draft(new_queue_id(NOW))
    store.incoming()
    say("start")
    live(spool, store)


if __name__ == "__main__":
    main()
