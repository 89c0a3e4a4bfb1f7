"""Dialogues with the real reception, over a real spool and real Maildirs, each whole, by single octets and all at once.

Settings of a dialogue, besides the accounts and domains of `world`:

    % config line          a line of the configuration, after those of `world.CONFIG`
    % aliases line         a line of the aliases file, after those of `world.ALIASES`
    % users line           a line of the users file, after those of `world.USERS`
    % listener NAME        smtp (the default) or submission
    % client IP            203.0.113.5 by default
    % tls yes              TLS from the first octet
    % max_errors N         and max_commands, max_rset: limits of the session
    % full yes             full@example.org has reached its quota
    % block IP             the address is blocked
    % mailbox ADDRESS N    so many messages are in that mailbox afterwards; in all others there are none
    % queue N              so many are in the queue afterwards, none by default
    % log TEXT             a line of the log holds this
"""

from collections import Counter
from pathlib import Path

import pytest

from smtpd_classic.smtp.events import TlsInfo
from smtpd_classic.smtp.session import SessionLimits
from tests.dialogs.runner import Cut, Dialogue, dialogues, play
from tests.reception.world import ALIASES, USERS, Talk, World, unchecked_world

DIALOGUES = dialogues(Path(__file__).parent.parent / "dialogs" / "server")
CASES = [pytest.param(each, cut, id=f"{each.name}-{cut.name}") for each in DIALOGUES for cut in each.cuts]


class Scene:
    """An `Exchange` with a reception at its other end."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._out = talk()

    def send(self, data: bytes) -> None:
        self._out += self._talk(data)

    def receive_line(self) -> bytes:
        line, end, self._out = self._out.partition(b"\n")
        assert end or self._talk.closed, "the server says nothing"
        return line + end

    def start_tls(self) -> None:
        assert not self._out, f"before the handshake the server says {self._out!r}"
        self._talk.session.tls_started(TlsInfo("TLSv1.3", "TLS_AES_256_GCM_SHA384", 256))
        self._out += self._talk()

    def answer(self, reply: str) -> None:
        raise AssertionError(f"the reception answers for itself, not with {reply}")

    def finish(self) -> None:
        assert not self._out, f"at the end the server says {self._out!r}"


def prepared(folder: Path, dialogue: Dialogue) -> World:
    aliases = ALIASES + "".join(f"{line}\n" for line in dialogue.all("aliases"))
    users = USERS + "".join(f"{line}\n" for line in dialogue.all("users"))
    here = unchecked_world(folder, "\n".join(dialogue.all("config")) + "\n", users=users, aliases=aliases)
    if dialogue.setting("full"):
        new = folder / "mail" / "example.org" / "full" / "new"
        new.mkdir(parents=True)
        (new / "1.M1P1Q1.here,S=1000").write_bytes(b"x" * 1000)
    for ip in dialogue.all("block"):
        here.services.runtime.blocks.block(ip, 3600)
    return here


@pytest.mark.parametrize(("dialogue", "cut"), CASES)
def test_dialogue(tmp_path: Path, dialogue: Dialogue, cut: Cut) -> None:
    here = prepared(tmp_path, dialogue)
    set_limits = {name: int(value) for name in SessionLimits._fields if (value := dialogue.setting(name))}
    talk = here.talk(
        dialogue.setting("client", "203.0.113.5"),
        dialogue.setting("listener", "smtp"),
        tls=dialogue.setting("tls") == "yes",
        limits=SessionLimits(**set_limits) if set_limits else None,
    )
    scene = Scene(talk)
    play(dialogue, scene, cut)
    scene.finish()
    talk.end(talk.session.close_reason or "quit")
    wanted = Counter({address: int(number) for address, number in map(str.split, dialogue.all("mailbox"))})
    new = [path.parent for path in (tmp_path / "mail").glob("*/*/new/*") if "M1P1Q1" not in path.name]
    found = Counter(f"{each.parent.name}@{each.parent.parent.name}" for each in new)
    assert found == wanted
    assert len(here.queue()) == int(dialogue.setting("queue", "0"))
    assert not here.leftovers()
    log = here.log()
    for text in dialogue.all("log"):
        assert any(text in line for line in log), f"no line of the log holds “{text}”:\n" + "\n".join(log)
    assert not any("cannot decide" in line or "deferred:" in line or "not taken" in line for line in log), log
