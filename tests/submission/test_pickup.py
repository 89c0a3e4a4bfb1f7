"""What the server does with what it finds in maildrop/."""

import os
import re
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from smtpd_classic.submission import maildrop
from smtpd_classic.submission.message import SubmittedMessage
from smtpd_classic.submission.pickup import Pickup
from tests.reception.world import NOON, World, world
from tests.submission.test_message import letter
from tests.waiting import until

DAY_S = 86_400.0
MESSAGE = b"Subject: x\nDate: Sat, 22 Nov 2025 11:00:00 +0000\n\ntext\n"


class Place:
    """A server without sockets, its maildrop/, and who fetches from there."""

    def __init__(self, folder: Path, extra: str = "") -> None:
        self.here: World = world(folder, extra)
        self.spool = folder / "spool"
        maildrop.make(str(self.spool))
        self.folder = self.spool / "maildrop"
        self.pickup = Pickup(self.here.services)

    def leave(self, *recipients: str, sender: str = "ann", message: bytes = MESSAGE, **others: str) -> str:
        left = letter(message, sender)._replace(recipients=recipients)._replace(**others)  # type: ignore[arg-type]
        return maildrop.leave(str(self.folder), left)

    def look(self, *, again: bool = False) -> None:
        """`again`: as another process would, which remembers nothing."""
        if again:
            self.pickup = Pickup(self.here.services)
        self.pickup.look()

    def files(self) -> list[str]:
        return sorted(os.listdir(self.folder))

    def set_aside(self) -> list[str]:
        return sorted(os.listdir(self.spool / "quarantine"))

    def log(self, part: str = "pickup") -> list[str]:
        return [line for line in self.here.log() if line.startswith(f"smtpd-classic/{part}[")]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_letter_is_fetched(place: Place) -> None:
    name = place.leave("joe", sender="ann")
    place.look()
    (message,) = place.here.mailbox("joe@example.org")
    assert message.startswith(b"Return-Path: <ann@example.org>\nEnvelope-To: joe@example.org\n")
    assert f"(smtpd-classic, from userid {os.getuid()})".encode() in message
    assert message.endswith(b"Subject: x\nDate: Sat, 22 Nov 2025 11:00:00 +0000\nFrom: ann@example.org\n\ntext\n")
    assert place.files() == []
    assert place.here.leftovers() == []
    arrived, fetched = place.log()
    assert (found := re.search(rf": (\w+): uid={os.getuid()} from=<ann@example.org>$", arrived))
    assert fetched.endswith(f": maildrop/{name} was fetched as {found[1]}")


def test_the_oldest_is_the_first(place: Place) -> None:
    for number in (2, 1, 3):
        name = place.leave("joe", message=b"X-Number: %d\n\n" % number)
        os.utime(place.folder / name, (NOON, NOON + number))
    place.look()
    numbers = [line.rpartition("X-Number: ")[2][0] for line in _sent_in_order(place)]
    assert numbers == ["1", "2", "3"]


def _sent_in_order(place: Place) -> list[str]:
    """Return the messages in the order of the numbers in their names: two may have one time of the file system."""
    new = place.here.folder / "mail" / "example.org" / "joe" / "new"
    return [
        path.read_text() for path in sorted(new.iterdir(), key=lambda path: int(path.name.split("Q")[1].split(".")[0]))
    ]


def test_who_is_elsewhere_gets_it_from_the_queue(place: Place) -> None:
    place.leave("joe", "friend@elsewhere.example", ret="FULL", envid="a+20b", notify="NEVER")
    place.look()
    (queue_id,) = place.here.queue()
    entry, _ = place.here.services.spool.read(queue_id)
    assert [each.address for each in entry.envelope.recipients] == ["joe@example.org", "friend@elsewhere.example"]
    assert entry.envelope.recipients[0].notify == {"NEVER"}
    assert (entry.envelope.ret, entry.envelope.envid, entry.envelope.originates_here) == ("FULL", "a b", True)
    assert entry.envelope.client == f"localhost[uid={os.getuid()}]"
    assert place.files() == []


def test_a_letter_without_a_date_gets_that_of_its_writing(place: Place) -> None:
    name = place.leave("joe", message=b"\ntext\n")
    os.utime(place.folder / name, (NOON - DAY_S, NOON - DAY_S))
    place.look()
    (message,) = place.here.mailbox("joe@example.org")
    assert b"\nDate: Fri, 21 Nov 2025 12:00:00 +0000\n" in message


def bounce(place: Place) -> tuple[str, bytes]:
    """To whom the only message in the queue goes, and what it says; it comes from the null sender."""
    (queue_id,) = place.here.queue()
    entry, _ = place.here.services.spool.read(queue_id)
    assert entry.envelope.sender == ""
    with place.here.services.spool.open_content(queue_id) as content:
        return entry.envelope.recipients[0].address, content.read()


def test_who_does_not_exist_is_told_to_the_sender(tmp_path: Path) -> None:
    place = Place(tmp_path, "[basic]\ncopy_bounces = none\n")
    place.leave("joe", "nobody", "friend@null.example", sender="ann")
    place.look()
    assert len(place.here.mailbox("joe@example.org")) == 1
    to, said = bounce(place)
    assert to == "ann@example.org"
    assert b"Final-Recipient: rfc822; nobody@example.org\nAction: failed\nStatus: 5.1.1\n" in said
    assert b"Final-Recipient: rfc822; friend@null.example\nAction: failed\nStatus: 5.1.10\n" in said
    assert b"joe@example.org" not in said
    assert b"\nSubject: x\n" in said
    assert place.files() == []
    (told,) = [line for line in place.log("bounce") if "sender non-delivery notification" in line]
    queue_id = told.split(": ")[1]
    assert any(f": {queue_id}: uid={os.getuid()} from=<ann@example.org>" in line for line in place.log())
    bounced = [line for line in place.log("local") if f": {queue_id}: to=<" in line]
    assert ["status=bounced (5" in line for line in bounced] == [True, True]


def test_a_message_that_is_refused_comes_back_whole_if_wanted(tmp_path: Path) -> None:
    place = Place(tmp_path, "[basic]\ncopy_bounces = none\nmax_hops = 1\n")
    place.leave("joe", message=b"Received: a\nReceived: b\n\nthe text\n", ret="FULL")
    place.look()
    _, said = bounce(place)
    assert b"Status: 5.4.6\n" in said
    assert b"\nthe text\n" in said
    assert place.here.mailbox("joe@example.org") == []


def test_a_letter_over_the_limit_of_messages_comes_back(tmp_path: Path) -> None:
    place = Place(tmp_path, "[basic]\nmax_message_size = 1000\n")
    place.leave("joe", message=MESSAGE + b"0123456789\n" * 200)
    place.look()
    _, said = bounce(place)
    assert b"Status: 5.3.4\n" in said
    assert place.here.mailbox("joe@example.org") == []
    assert place.files() == []


def test_who_wants_no_bounce_gets_none(place: Place) -> None:
    place.leave("nobody", notify="NEVER")
    place.look()
    assert place.here.queue() == []
    assert place.files() == []


def test_what_nobody_can_be_told_of_is_set_aside(tmp_path: Path) -> None:
    place = Place(tmp_path, "[basic]\npostmaster = nobody@example.org\n")
    name = place.leave("nobody", sender="")
    place.look()
    assert place.files() == []
    assert place.set_aside() == [f"maildrop.{name}"]
    assert place.here.queue() == []


def test_a_full_mailbox_is_tried_again_for_those_alone_who_wait(place: Place) -> None:
    full = place.here.folder / "mail" / "example.org" / "full"
    (full / "new").mkdir(parents=True)
    (full / "new" / "1.M1P1.h,S=5000").write_bytes(b"x" * 5000)
    place.leave("joe", "full", sender="ann", notify="DELAY")
    place.look()
    assert len(place.here.mailbox("joe@example.org")) == 1
    (name,) = place.files()
    assert stat.S_IMODE((place.folder / name).stat().st_mode) == 0o640
    assert "452 4.2.2" in place.log()[-1]
    place.look(again=True)
    assert place.files() == [name]
    place.look()  # it is left alone for a while
    assert sum("4.2.2" in line for line in place.log()) == 2
    (full / "new" / "1.M1P1.h,S=5000").unlink()
    place.here.services.mail_store.quota_used(str(full))
    place = _fresh(place)
    place.look()
    assert len(place.here.mailbox("full@example.org")) == 1
    assert len(place.here.mailbox("joe@example.org")) == 1
    assert place.files() == []


def _fresh(place: Place) -> Place:
    """The same folder after a restart: what was remembered of quotas is forgotten."""
    return Place(place.here.folder)


def test_the_user_of_what_is_put_back_is_remembered(place: Place) -> None:
    maildrop.leave(str(place.folder), letter(MESSAGE)._replace(recipients=("joe",)), uid=4711)
    place.look()
    assert "uid=4711 from=<joe@example.org>" in place.log()[0]


def test_a_user_cannot_pass_for_another(place: Place) -> None:
    assert os.geteuid() == 0, "this is tried as root, who can give a file away"
    path = place.folder / maildrop.leave(str(place.folder), letter(MESSAGE)._replace(recipients=("joe",)), uid=4711)
    os.chown(path, 1234, -1)
    place.look()
    assert "uid=1234 from=<joe@example.org>" in place.log()[0]


def test_what_cannot_be_delivered_for_too_long_comes_back(tmp_path: Path) -> None:
    place = Place(tmp_path, "[basic]\ncopy_bounces = none\n")
    full = place.here.folder / "mail" / "example.org" / "full" / "new"
    full.mkdir(parents=True)
    (full / "1.M1P1.h,S=5000").write_bytes(b"x" * 5000)
    place.leave("full")
    place.here.clock.now = time.time() + 4 * DAY_S
    place.look()
    assert len(place.files()) == 1
    place.here.clock.now = time.time() + 6 * DAY_S
    place.look(again=True)
    _, said = bounce(place)
    assert b"Status: 4.4.7\n" in said
    assert b"mailbox is full" in said
    assert place.files() == []


def test_who_cannot_be_told_now_is_told_later(tmp_path: Path) -> None:
    """The queue cannot be written to, the mailboxes can."""
    place = Place(tmp_path, "[basic]\ncopy_bounces = none\nmin_free_space = 0\n")
    place.leave("joe", "nobody")
    (place.spool / "new").rename(place.spool / "away")
    place.look()
    assert len(place.here.mailbox("joe@example.org")) == 1
    assert len(place.files()) == 1
    (place.spool / "away").rename(place.spool / "new")
    place.look(again=True)
    assert bounce(place)[0] == "ann@example.org"
    assert place.files() == []
    assert len(place.here.mailbox("joe@example.org")) == 1


def test_a_full_disk_keeps_everything_where_it_is(tmp_path: Path) -> None:
    place = Place(tmp_path, "[basic]\nmin_free_space = 1000000G\n")
    name = place.leave("joe")
    place.look()
    assert place.files() == [name]
    assert "452 4.3.1" in place.log()[-1]


def test_a_crash_before_the_file_is_removed_repeats_the_message(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    name = place.leave("joe")

    def crash(path: str) -> None:
        raise OSError(5, "as if the power had gone", path)

    with monkeypatch.context() as broken:
        broken.setattr("smtpd_classic.submission.pickup.os.unlink", crash)
        place.look()
    assert place.files() == [name]
    place.look(again=True)
    assert place.files() == []
    assert len(place.here.mailbox("joe@example.org")) == 2


def test_two_processes_do_not_fetch_one_letter_twice(place: Place) -> None:
    """Each looks often at a folder into which many letters come; every letter arrives once."""
    others = [Pickup(place.here.services) for _ in range(3)]
    for other in others:
        other.start()
    for number in range(60):
        place.leave("joe", message=b"X-Number: %d\n\n" % number)
        place.look()
    until(lambda: not place.files())
    for other in others:
        other.stop(10)
    numbers = sorted(
        int(message.rpartition(b"X-Number: ")[2].split(b"\n")[0]) for message in place.here.mailbox("joe@example.org")
    )
    assert numbers == list(range(60))
    assert place.set_aside() == []


# What is no letter -------------------------------------------------------------------------------------------------

NAME = "0123456789abcdef0123456789abcdef"


def a_symbolic_link(place: Place, path: Path) -> None:
    secret = place.here.folder / "secret"
    secret.write_bytes((place.folder / place.leave("joe", message=b"\nsecret\n")).read_bytes())
    for each in place.folder.iterdir():
        each.unlink()
    path.symlink_to(secret)


def a_hard_link(place: Place, path: Path) -> None:
    secret = place.here.folder / "secret"
    os.rename(place.folder / place.leave("joe", message=b"\nsecret\n"), secret)
    os.link(secret, path)


def a_pipe(place: Place, path: Path) -> None:
    os.mkfifo(path, 0o666)


def a_folder(place: Place, path: Path) -> None:
    path.mkdir()


def garbage(place: Place, path: Path) -> None:
    path.write_bytes(b"garbage")


def half_a_letter(place: Place, path: Path) -> None:
    whole = place.folder / place.leave("joe", message=b"\nsecret\n")
    path.write_bytes(whole.read_bytes()[:-3])
    whole.unlink()


def commands_in_an_address(place: Place, path: Path) -> None:
    whole = place.folder / place.leave("joe", message=b"\nsecret\n")
    path.write_bytes(whole.read_bytes().replace(b"recipient joe", b"recipient x>\rRCPT TO:<joe"))
    whole.unlink()


@pytest.mark.parametrize(
    "make",
    [a_symbolic_link, a_hard_link, a_pipe, a_folder, garbage, half_a_letter, commands_in_an_address],
    ids=lambda make: make.__name__.replace("_", " "),
)
def test_what_is_no_letter_is_set_aside(place: Place, make: Callable[[Place, Path], None]) -> None:
    make(place, place.folder / NAME)
    place.look()
    assert place.files() == []
    assert place.set_aside() == [f"maildrop.{NAME}"]
    assert place.here.mailbox("joe@example.org") == []
    assert place.here.queue() == []
    assert "quarantine" in place.log()[-1]


@pytest.mark.parametrize("content", [b"", b"\0" * 10, b"\0" * 100_000])
def test_a_file_that_the_power_cut_left_empty_or_full_of_nul_is_removed(place: Place, content: bytes) -> None:
    (place.folder / NAME).write_bytes(content)
    place.look()
    assert (place.files(), place.set_aside()) == ([], [])
    assert f"maildrop/{NAME} was removed" in place.log()[-1]


@pytest.mark.parametrize("name", ["letter", NAME.upper(), NAME[:-1], "x" * 255, "a\nb", ".hidden"])
def test_what_has_another_name_is_set_aside_once(place: Place, name: str) -> None:
    (place.folder / name).write_bytes((place.folder / place.leave("joe")).read_bytes())
    place.look()
    assert len(place.here.mailbox("joe@example.org")) == 1
    place.look()
    assert sum("its name is not that of a message" in line for line in place.log()) == 1
    assert all(line.isprintable() for line in place.log())


def test_a_draft_is_waited_for_and_one_that_was_given_up_is_removed(place: Place) -> None:
    draft = place.folder / NAME
    draft.write_bytes(b"smtpd-classic maildrop 1\n")
    draft.chmod(0o200)
    place.look()
    assert place.files() == [NAME]
    assert place.log() == []
    place.here.clock.now = time.time() + 2 * DAY_S
    place.look()
    assert place.files() == []
    assert place.set_aside() == []


LOCK = """
import fcntl, sys
with open(sys.argv[1]) as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_a_letter_that_somebody_has_locked_waits(place: Place) -> None:
    name = place.leave("joe")
    command = [sys.executable, "-c", LOCK, str(place.folder / name)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        place.look()
        assert place.files() == [name]
        holder.communicate()
    place.look()
    assert place.files() == []


def test_a_folder_that_is_gone_is_told_of_once(place: Place) -> None:
    place.folder.rmdir()
    place.look()
    place.look()
    assert len(place.log()) == 1


def test_hostile_letters_are_judged_as_those_of_anybody(place: Place) -> None:
    """NUL, CR alone, dots and a text that looks like the end of one: all of it stays in its message."""
    hostile = b"Subject: x\n\n.\n..\na\rb\0c\n\r\n.\r\nMAIL FROM:<x@y>\n.\nQUIT\n"
    place.leave("joe", message=hostile)
    place.leave("ann", message=b"\nthe next one\n")
    place.look()
    (message,) = place.here.mailbox("joe@example.org")
    assert message.endswith(b"\n\n.\n..\na\nbc\n\n.\nMAIL FROM:<x@y>\n.\nQUIT\n")
    assert len(place.here.mailbox("ann@example.org")) == 1


def test_an_error_in_one_letter_does_not_stop_the_others(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = place.leave("joe", message=b"X: 1\n\n"), place.leave("joe", message=b"X: 2\n\n")
    os.utime(place.folder / first, (NOON, NOON))
    post = place.pickup._injector.post

    def fail(what: SubmittedMessage, uid: int, arrival: float) -> object:
        if what.header == b"X: 1\n":
            raise RecursionError
        return post(what, uid, arrival)

    monkeypatch.setattr(place.pickup._injector, "post", fail)
    place.look()
    assert place.files() == [first]
    assert second not in place.files()
    assert "RecursionError" in place.log()[0]


# One user among others ---------------------------------------------------------------------------------------------

pytest_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs files of several users")


def _letters_of(place: Place, uid: int, number: int, first: int = 0) -> None:
    for each in range(first, first + number):
        name = place.leave("joe", message=b"X-Number: %d.%d\n\n" % (uid, each))
        os.chown(place.folder / name, uid, -1)
        os.utime(place.folder / name, (NOON, NOON + each))


@pytest_root
def test_users_take_turns_and_a_look_takes_few_of_each(place: Place) -> None:
    _letters_of(place, 4001, 30)
    _letters_of(place, 4002, 2, first=100)
    assert place.pickup.look(), "there is more"
    numbers = [line.rpartition("X-Number: ")[2].split("\n")[0] for line in _sent_in_order(place)]
    turns = [set(numbers[:2]), set(numbers[2:4]), set(numbers[4:5])]  # the folder tells which user is first
    assert turns == [{"4001.0", "4002.100"}, {"4001.1", "4002.101"}, {"4001.2"}]
    assert len(numbers) == 22
    assert not place.pickup.look()
    assert place.files() == []


@pytest_root
def test_files_of_a_user_beyond_the_limit_are_set_aside(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smtpd_classic.submission.pickup.MOST_OF_A_USER", 3)
    _letters_of(place, 4001, 5)
    _letters_of(place, 4002, 2)
    place.look()
    assert len(place.here.mailbox("joe@example.org")) == 5
    assert place.files() == []
    assert len(place.set_aside()) == 2
    assert sum("more than 3 messages" in line for line in place.log()) == 2


def test_a_letter_names_a_thousand_recipients_at_most(place: Place) -> None:
    place.leave(*(f"u{number}@elsewhere.example" for number in range(1001)))
    place.look()
    assert place.here.queue() == []
    assert len(place.set_aside()) == 1
    assert "more than 1000 recipients" in "".join(place.log())
    place.leave(*(f"u{number}@elsewhere.example" for number in range(1000)))
    place.look()
    assert place.here.queue() != []
    assert place.files() == []
