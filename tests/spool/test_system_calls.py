"""The same as test_crash.py, from outside: a real process, killed or failed by strace at each system call of a
message's life; and the order of its calls."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from smtpd_classic.mailstore.folders import make_maildir
from smtpd_classic.mailstore.store import MailStore
from spool import DELIVERED, Spool
from tests.spool import life
from tests.spool.messages import check_order, found
from tests.tools import need

TRACED = "openat,write,fsync,fchmod,flock,rename,link,unlink,utimensat,mkdir,newfstatat,close"
CALL = re.compile(r"(?:\d+ +)?(\w+)\((.*)")
CONTENTS = {len(content): content for content in (life.SMALL, life.LARGE, life.ONE, life.THREE)}


class Call(NamedTuple):
    name: str
    number: int  # the which of its name in the life of the process
    text: str


def prepared(folder: Path) -> None:
    Spool(str(folder / "spool")).make()
    store = MailStore(str(folder / "mail"), "mx")
    store.make()
    for user in life.FOLDERS[1:]:
        make_maildir(f"{store.mail_folder}/{user}")


def run(folder: Path, *options: str) -> list[str]:
    """What the program said, under strace with these options, or without it if there are none."""
    python = os.path.realpath(sys.executable)  # strace counts the calls of the interpreter, not of a shim
    strace = [need("strace"), "-o", str(folder / "trace"), "-y", "-s", "40"]
    arguments = [str(folder / "spool"), str(folder / "mail"), sysconfig.get_path("purelib")]
    done = subprocess.run(
        [*(strace if options else []), *options, python, "-BSE", life.__file__, *arguments],
        capture_output=True,
        timeout=60,
        check=False,
        text=True,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout.splitlines()


def calls(folder: Path) -> list[Call]:
    """The traced calls after the program's “start”."""
    prepared(folder)
    assert run(folder, "-e", f"trace={TRACED}")[-1] == "end"
    counts: Counter[str] = Counter()
    made: list[Call] = []
    for line in (folder / "trace").read_text(errors="replace").splitlines():
        if match := CALL.match(line):
            counts[match[1]] += 1
            made.append(Call(match[1], counts[match[1]], match[2]))
    start = next(number for number, call in enumerate(made) if call.name == "write" and '"start' in call.text)
    return made[start + 1 :]


def check(folder: Path, said: list[str]) -> None:
    """Everything that was acknowledged is there, whole; nothing else is half."""
    spool, store = Spool(str(folder / "spool")), MailStore(str(folder / "mail"), "mx")
    store.sweep({"u@example.net": f"{store.mail_folder}/u"}.get)
    listed = check_order(spool)
    words = [line.split(" ") for line in said]
    removing = {word[1] for word in words if word[0] == "removing"}
    for word in words:
        if word[0] == "queued" and word[1] not in removing:
            assert found(spool, word[1]) == (CONTENTS[int(word[2])], life.TWO)
        elif word[0] == "recorded" and word[1] in listed:
            assert spool.read(word[1])[1].recipients[0].state == DELIVERED
        elif word[0] == "removed":
            assert word[1] not in listed
    for queue_id in listed:
        assert found(spool, queue_id) in [(life.SMALL, life.TWO), (life.LARGE, life.TWO)]
    assert os.listdir(f"{store.mail_folder}/.incoming") == []
    acknowledged = Counter((user, word[1]) for word in words if word[0] == "delivered" for user in word[2:])
    there: Counter[tuple[str, str]] = Counter()
    for path in Path(store.mail_folder).glob("*/new/*"):
        content = path.read_bytes()
        assert content in (life.ONE, life.THREE)
        there[path.parent.parent.name, str(len(content))] += 1
    assert acknowledged <= there
    assert max(there.values(), default=1) == 1


def sweep(folder: Path, faults: list[tuple[Call, str]]) -> None:
    """A life for each fault, two at a time."""

    def one(number: int) -> None:
        call, fault = faults[number]
        place = folder / str(number)
        place.mkdir()
        prepared(place)
        said = run(place, "-e", f"trace={TRACED}", "-e", f"inject={call.name}:{fault}:when={call.number}")
        try:
            check(place, said)
            # When the cause is gone, life goes on.
            assert run(place)[-1] == "end"
        except BaseException as error:
            error.add_note(f"{fault} at {call.name} {call.number}({call.text}, after {said}")
            raise
        shutil.rmtree(place)

    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(one, range(len(faults))):
            pass


def faults_at(made: list[Call], kinds: dict[str, set[str]]) -> Iterator[tuple[Call, str]]:
    for call in made:
        if call.name == "write" and call.text.startswith("1<"):
            continue  # what it says to us
        for fault, names in kinds.items():
            if call.name in names:
                yield call, fault


def test_killed_or_failed_at_the_calls_that_matter(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    made = calls(tmp_path / "first")
    kinds = {
        "signal=SIGKILL": {"fsync", "link", "rename", "unlink", "fchmod"},
        "error=EIO": {"fsync"},
        "error=ENOSPC": {"rename"},
    }
    chosen = list(faults_at(made, kinds))
    assert len(chosen) > 30
    sweep(tmp_path, chosen[::3])


@pytest.mark.torture
@pytest.mark.parametrize("fault", ["signal=SIGKILL", "error=EIO", "error=ENOSPC", "error=EMFILE"])
def test_killed_or_failed_at_every_call(tmp_path: Path, fault: str) -> None:
    (tmp_path / "first").mkdir()
    made = calls(tmp_path / "first")
    names = set(TRACED.split(","))
    if "error" in fault:
        names -= {"close"}  # strace would leave the descriptor open, which Linux never does
    chosen = list(faults_at(made, {fault: names}))
    print(f"{fault} at {len(chosen)} calls")
    assert len(chosen) > 80
    sweep(tmp_path, chosen)


PLACES = {
    "new": "/spool/new/",
    "state": "/spool/state",
    "tmp": "/spool/tmp/",
    "incoming": "/mail/.incoming/",
    "mailbox": "/mail",
}


def order(made: list[Call]) -> list[str]:
    """The calls that durability is made of, in words: `fsync incoming`."""
    words = []
    for call in made:
        if call.name == "write" and call.text.startswith("1<"):
            words.append("say " + call.text.split('"')[1].split(" ")[0].removesuffix("\\n"))
        elif call.name in {"openat", "mkdir", "newfstatat", "close"} and "O_EXCL" not in call.text:
            continue
        else:
            words.append(f"{call.name} {next((name for name, part in PLACES.items() if part in call.text), '')}")
    return words


def part(words: list[str], end: str, number: int = 1) -> list[str]:
    """What comes before the `number`-th time that `end` is said, since the saying before it."""
    ends = [index for index, word in enumerate(words) if word == f"say {end}"]
    last = ends[number - 1]
    first = max((index for index, word in enumerate(words[:last]) if word.startswith("say ")), default=-1)
    return words[first + 1 : last]


def test_order_of_calls_before_each_acknowledgement(tmp_path: Path) -> None:
    words = order(calls(tmp_path))
    assert part(words, "queued") == ["openat new", "flock new", "write new", "fchmod new", "fsync new", "flock new"]
    large = part(words, "queued", 2)
    assert (large[:3], large[-4:]) == (
        ["openat new", "flock new", "write new"],
        ["write new", "fchmod new", "fsync new", "flock new"],
    )
    with_new_maildir = part(words, "delivered")
    head = ["openat incoming", "flock incoming", "write incoming", "fchmod incoming", "fsync incoming"]
    assert with_new_maildir[:5] == head
    assert with_new_maildir[5:-1] == ["fsync mailbox"] * (len(with_new_maildir) - 6)
    assert with_new_maildir[-1] == "rename incoming"
    assert [word for word in part(words, "delivered", 2) if word != "write incoming"] == [
        "openat incoming",
        "flock incoming",
        "fchmod incoming",
        "fsync incoming",
        *["link incoming"] * 3,
        "fsync mailbox",
        "unlink incoming",
    ]
    assert part(words, "recorded") == [
        "flock new",
        "write tmp",
        "fchmod tmp",
        "utimensat tmp",
        "fsync tmp",
        "rename state",
        "fsync state",
        "rename new",
    ]
    assert part(words, "removed") == ["unlink ", "unlink state"]
