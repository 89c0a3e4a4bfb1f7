"""`smtpd-classic queue`, run as a person runs it."""

import argparse
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from smtpd_classic.commands import queue_adopt
from smtpd_classic.commands.failures import Refused
from smtpd_classic.config import load
from smtpd_classic.submission import maildrop
from spool import Envelope, Hold, Recipient, RecipientState, Spool, State, new_queue_id
from tests.forking import run_forked
from tests.submission.test_message import letter

NOW = float(int(time.time()))
REPLY = "450 4.2.0 greylisted \x1b[31m"


class Place:
    """A spool with four messages, owned by whom the server runs as."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.user = pwd.getpwnam("nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name)
        self.file = folder / "smtpd-classic.conf"
        (folder / "users").write_text("")
        self.file.write_text(
            f"[server]\nprimary_domain = us.test\nuser = {self.user.pw_name}\nspool_folder = {folder}/spool\n"
            f"mail_folder = {folder}/mail\nrun_folder = {folder}/run\nlog = stderr\n"
            "[basic]\npostmaster = postmaster@elsewhere.test\n"
            "[listener smtp]\naddress = 127.0.0.1\nport = 2525\n"
        )
        self.file.chmod(0o600)
        (folder / "users").chmod(0o600)
        self.spool = Spool(str(folder / "spool"))
        self.spool.make()
        self.new = self.put("joe@us.test", "bob@example.org", at=NOW - 60)
        self.tried = self.put("ann@us.test", "eve@second.example", at=NOW - 7200, tried=True)
        self.held = self.put("", "joe@us.test", at=NOW - 86400, hold=Hold())
        self.list = self.put("joe@us.test", *(f"user{n}@example.org" for n in range(7)), at=NOW - 30)
        self.give()

    def put(self, sender: str, *recipients: str, at: float, tried: bool = False, hold: Hold | None = None) -> str:
        with self.spool.draft(new_queue_id(at)) as draft:
            draft.write(b"Subject: a \x1b[7mtest\n\nHello.\n")
            queue_id = draft.commit(Envelope(sender, tuple(Recipient(each) for each in recipients)), at, hold)
        if tried:
            claim = self.spool.claim(queue_id)
            assert claim is not None
            with claim:
                host = "mx.second.example[192.0.2.9]:25"
                rows = tuple(
                    RecipientState(each, attempts=3, last_reply=REPLY, enhanced="4.2.0", host=host, at=at + 9)
                    for each in recipients
                )
                claim.record(State(rows, 3, at, at + 9, 4e9, transcript="S: 220 hello\nC: EHLO us.test\n"))
        return queue_id

    def give(self) -> None:
        if os.geteuid() == 0:
            for path in (self.folder, *self.folder.rglob("*")):
                if path.name != self.file.name:
                    os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return run_forked(["--config", str(self.file), "queue", *words])

    def ids(self, *words: str) -> list[str]:
        done = self.run("list", "--json", *words)
        assert done.returncode == 0, done.stderr
        return [json.loads(line)["queue_id"] for line in done.stdout.splitlines()]


@pytest.fixture
def place() -> Iterator[Place]:
    folder = Path(tempfile.mkdtemp(prefix="queue-"))
    folder.chmod(0o755)
    try:
        yield Place(folder)
    finally:
        shutil.rmtree(folder)


def test_the_queue_as_json_has_the_keys_of_postqueue(place: Place) -> None:
    done = place.run("list", "--json")
    rows = {row["queue_id"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert list(rows) == [place.held, place.tried, place.new, place.list], "the oldest first"
    assert {key: rows[place.tried][key] for key in ("queue_name", "sender", "forced_expire", "attempts", "state")} == {
        "queue_name": "deferred",
        "sender": "ann@us.test",
        "forced_expire": False,
        "attempts": 3,
        "state": "waiting",
    }
    assert rows[place.tried]["arrival_time"] == int(NOW - 7200)
    assert rows[place.tried]["recipients"] == [
        {"address": "eve@second.example", "delay_reason": f"mx.second.example[192.0.2.9]:25: {REPLY}"}
    ]
    assert (rows[place.held]["queue_name"], rows[place.held]["sender"]) == ("hold", "MAILER-DAEMON")
    assert rows[place.new]["recipients"] == [{"address": "bob@example.org"}]
    assert "\x1b" not in done.stdout


def test_selections(place: Place) -> None:
    assert place.ids("--sender", "<>") == [place.held]
    assert place.ids("--sender", "JOE@us.test") == [place.new, place.list]
    assert place.ids("--recipient", "eve@*") == [place.tried]
    assert place.ids("--domain", "example.org") == [place.new, place.list]
    assert place.ids("--state", "waiting") == [place.tried]
    assert place.ids("--state", "held") == [place.held]
    assert place.ids("--state", "new", "--domain", "example.org", "--recipient", "bob@*") == [place.new]
    assert place.ids(place.new, place.tried) == [place.tried, place.new]
    assert place.ids("--newer", "1h") == [place.new, place.list]
    assert place.ids("--older", "1h") == [place.held, place.tried]
    assert place.run("list", "--count").stdout == "4\n"


@pytest.mark.parametrize("pattern", ["BOB@[192.0.2.7]", "*@[192.0.2.7]", "*@[*"])
def test_only_the_asterisk_is_special_in_an_address(place: Place, pattern: str) -> None:
    literal = place.put("a?c@us.test", "bob@[192.0.2.7]", at=NOW - 5)
    place.put("abc@us.test", "bob@1", at=NOW - 5)
    place.give()
    assert place.ids("--recipient", pattern) == [literal]
    assert place.ids("--sender", "a?c@us.test") == [literal]


@pytest.mark.parametrize("domain", ["bücher.example", "BÜCHER.example", "xn--bcher-kva.example"])
def test_a_domain_is_found_in_both_its_spellings(place: Place, domain: str) -> None:
    found = [
        place.put("joe@us.test", f"bob@{each}", at=NOW - 5 + number)
        for number, each in enumerate(("bücher.example", "xn--bcher-kva.example"))
    ]
    place.give()
    assert place.ids("--domain", domain) == found


def test_selections_in_both_spellings_of_a_domain(place: Place) -> None:
    one = place.put("joe@us.test", "bob@bücher.example", at=NOW)
    other = place.put("ann@xn--bcher-kva.example", "bob@[192.0.2.7]", at=NOW + 1)
    place.give()
    for domain in ("bücher.example", "XN--BCHER-KVA.example", "Bücher.example."):
        assert place.ids("--domain", domain) == [one]
    assert place.ids("--recipient", "*@xn--bcher-kva.example") == [one]
    assert place.ids("--sender", "ann@bücher.example") == [other]
    assert place.ids("--recipient", "*@[192.0.2.7]") == [other]
    assert place.run("flush", "xn--bcher-kva.example").stderr == "To be tried now: 1.\n"


def test_the_forms_for_people_hold_nothing_that_moves_the_cursor(place: Place) -> None:
    for words in (["list"], ["list", "--mailq"], ["show", place.tried]):
        done = place.run(*words)
        assert done.returncode == 0, done.stderr
        assert "\x1b" not in done.stdout
        assert "greylisted \\x1b[31m" in done.stdout, done.stdout


def test_mailq(place: Place) -> None:
    lines = place.run("list", "--mailq").stdout.splitlines()
    assert lines[0].startswith("-Queue ID-")
    assert lines[1].split()[:2] == [f"{place.held}!", "28"]
    assert lines[1].endswith("MAILER-DAEMON")
    assert lines[-1] == "-- 1 Kbytes in 4 Requests."
    place.run("delete", "--all")
    assert place.run("list", "--mailq").stdout == "Mail queue is empty\n"


def test_show_has_the_header_and_the_last_transcript(place: Place) -> None:
    text = place.run("show", place.tried).stdout
    for words in ("State:        waiting", "eve@second.example: waiting, 3 attempts", "Subject: a", "C: EHLO us.test"):
        assert words in text
    found = json.loads(place.run("show", "--json", place.tried).stdout)[0]
    assert found["transcript"] == "S: 220 hello\nC: EHLO us.test\n"
    assert place.run("show", "--content", place.tried).stdout.endswith("Hello.\n")
    missing = place.run("show", "66517289880005840A50")
    assert (missing.returncode, "no message" in missing.stderr) == (66, True)


def test_hold_release_retry_delete(place: Place) -> None:
    assert place.run("hold", place.new).returncode == 0
    assert place.ids("--state", "held") == [place.held, place.new]
    assert place.run("release", "--state", "held").returncode == 0
    assert place.ids("--state", "held") == []
    assert place.run("retry", "--domain", "second.example").stderr == "To be tried now: 1.\n"
    assert place.spool.read(place.tried)[1].next_attempt == 0.0
    assert place.run("delete", "--sender", "joe@us.test").stderr == "Deleted: 2.\n"
    assert place.ids() == [place.held, place.tried]
    owners = {path.stat().st_uid for path in (place.folder / "spool").rglob("*")}
    assert owners == {place.user.pw_uid}, "no file of root's is left in the queue"


def test_nothing_happens_to_what_was_not_named(place: Place) -> None:
    done = place.run("delete")
    assert (done.returncode, "--all" in done.stderr) == (64, True)
    assert len(place.ids()) == 4


def test_a_message_in_delivery_is_left_alone(place: Place) -> None:
    claim = place.spool.claim(place.new)
    assert claim is not None
    with claim:
        assert place.ids("--state", "active") == [place.new]
        done = place.run("delete", place.new, place.list)
        assert (done.returncode, "delivered just now" in done.stderr) == (75, True)
    assert place.ids() == [place.held, place.tried, place.new]


def test_rows_are_printed_while_the_next_ones_are_read(place: Place) -> None:
    """What leaves the queue after the first row was read is not printed any more."""
    for number in range(300):
        place.put("joe@us.test", f"user{number}@example.org", at=NOW - 600 + number)
    place.give()
    assert place.run("list", "--count").stdout == "304\n"
    assert place.run("list", "--count", "--state", "new").stdout == "302\n"
    command = [sys.executable, "-m", "smtpd_classic", "--config", str(place.file), "queue", "list", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, pipesize=4096) as listing:  # it waits for its reader
        assert listing.stdout is not None
        first = listing.stdout.read(1)
        for path in (place.folder / "spool").rglob("*"):
            if path.is_file():
                path.unlink()
        rows = (first + listing.stdout.read()).splitlines()
    assert listing.returncode == 0
    assert 1 <= len([json.loads(each) for each in rows]) < 100


def hosts_file(place: Place, *rows: dict[str, object]) -> None:
    folder = place.folder / "run"
    folder.mkdir(exist_ok=True)
    (folder / "hosts.json").write_text(json.dumps(list(rows)))
    place.give()


def mark(host: str, **more: object) -> dict[str, object]:
    return {"host": host, "since": NOW - 60, "until": NOW + 86400, "reason": "timed \x1b[31m out", "dead": True, **more}


def test_hosts_that_back_off_are_shown_with_the_number_of_messages_that_wait(place: Place) -> None:
    assert place.run("hosts").stdout == "No next hop backs off.\n"
    hosts_file(place, mark("mx.second.example:25"), mark("over.example:25", until=NOW - 1), mark("other.example:25"))
    shown = place.run("hosts").stdout.splitlines()
    assert len(shown) == 3
    assert "mx.second.example:25: timed \\x1b[31m out" in shown[1] or "mx.second.example:25: timed" in shown[1]
    assert "\x1b" not in "".join(shown)
    found = {row["host"]: row for row in json.loads(place.run("hosts", "--json").stdout)}
    assert {host: row["waiting"] for host, row in found.items()} == {"mx.second.example:25": 1, "other.example:25": 0}
    hosts_file(place, mark("mx.second.example", port=25, waiting=77, limit=2, new_key="ignored"))
    (row,) = json.loads(place.run("hosts", "--json").stdout)
    assert (row["host"], row["waiting"], row["limit"]) == ("mx.second.example:25", 77, 2)


def test_status_says_why_mail_waits(place: Place) -> None:
    hosts_file(place, *(mark(f"mx{number}.example:25", waiting=number) for number in range(12)))
    command = ["--config", str(place.file), "status"]
    shown = run_forked(command).stdout
    assert "backing off    mx0.example:25 until " in shown
    assert ", 7 waiting: timed " in shown
    assert "and 2 more (smtpd-classic queue hosts)" in shown
    found = json.loads(run_forked([*command, "--json"]).stdout)
    assert [row["waiting"] for row in found["hosts"]] == sorted(range(12), key=str)


@pytest.mark.parametrize(
    "next_hop",
    ["second.example", "SECOND.example", "mx.second.example", "mx.second.example:25", "192.0.2.9", "192.0.2.9:25"],
)
def test_flushing_a_next_hop_makes_its_messages_due(place: Place, next_hop: str) -> None:
    done = place.run("flush", next_hop)
    assert (done.returncode, done.stderr) == (0, "To be tried now: 1.\n")
    assert {each.queue_id for each in place.spool.list() if each.attempted and not each.next_attempt} == {place.tried}
    assert place.run("flush", "mx.example").stderr == "To be tried now: 0.\n"


@pytest.mark.parametrize(
    ("next_hop", "number"), [("BÜCHER.example", 2), ("xn--bcher-kva.example", 2), ("[192.0.2.7]", 1)]
)
def test_flushing_finds_both_spellings_of_a_domain_and_a_literal(place: Place, next_hop: str, number: int) -> None:
    for domain in ("bücher.example", "xn--bcher-kva.example", "[192.0.2.7]"):
        place.put("joe@us.test", f"bob@{domain}", at=NOW - 5)
    place.give()
    assert place.run("flush", next_hop).stderr == f"To be tried now: {number}.\n"


def test_flushing_makes_everything_due_that_is_not_held(place: Place) -> None:
    done = place.run("flush")
    assert (done.returncode, done.stderr) == (0, "To be tried now: 3.\n")
    assert place.ids("--state", "held") == [place.held]


@pytest.fixture
def dead(place: Place) -> Path:
    """Move the messages into the spool of a server that is gone."""
    dead = place.folder / "dead"
    place.folder.joinpath("spool").rename(dead)
    maildrop.make(str(dead))
    maildrop.leave(str(dead / "maildrop"), letter(b"Subject: left\n\nwhile it was down\n"))
    place.spool.make()
    place.give()
    return dead


def test_the_queue_of_another_server_is_adopted(place: Place, dead: Path) -> None:
    done = place.run("adopt", str(dead))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "Adopted: 4 messages, 1 of maildrop/." in done.stderr
    assert place.ids() == [place.held, place.tried, place.new, place.list]
    assert place.ids("--state", "held") == [place.held]
    assert place.spool.read(place.tried)[1].recipients[0].attempts == 3
    assert len(os.listdir(place.spool.folders.maildrop)) == 1
    assert list(Spool(str(dead)).list()) == []
    assert os.listdir(dead / "maildrop") == []
    again = place.run("adopt", str(dead))
    assert "Adopted: 0 messages, 0 of maildrop/." in again.stderr


def test_a_spool_of_another_user_is_told_from_none(place: Place, dead: Path) -> None:
    """The users of two machines may have different numbers."""
    dead.chmod(0)
    done = place.run("adopt", str(dead))
    dead.chmod(0o700)
    assert done.returncode == os.EX_NOPERM
    assert f"chown -R {place.user.pw_name}" in done.stderr


def test_a_spool_that_a_server_uses_is_not_adopted(place: Place, dead: Path) -> None:
    lock = Spool(str(dead)).lock()
    assert lock is not None
    try:
        done = place.run("adopt", str(dead))
    finally:
        os.close(lock)
    assert (done.returncode, done.stderr) == (75, f"A server uses {dead}; stop it first.\n")
    assert len(list(Spool(str(dead)).list())) == 4


@pytest.mark.parametrize("folder", ["spool", "mail", "nowhere"])
def test_no_other_folder_is_adopted(place: Place, folder: str) -> None:
    done = place.run("adopt", str(place.folder / folder))
    assert done.returncode in {64, 66}
    assert len(done.stderr.splitlines()) == 1
    assert place.ids() == [place.held, place.tried, place.new, place.list]


def test_on_a_shared_file_system_the_administrator_must_say_that_the_node_is_dead(
    place: Place, dead: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smtpd_classic.commands.queue_adopt.file_system", lambda _path: "nfs4")
    with pytest.raises(Refused, match=r"shared file system \(nfs4\).*--node-is-dead"):
        queue_adopt.run(load(str(place.file)), place.spool, argparse.Namespace(folder=str(dead), node_is_dead=False))
    assert len(list(Spool(str(dead)).list())) == 4


def test_held_messages_are_selected_and_shown_by_their_reason(place: Place) -> None:
    other = place.put("eve@us.test", "bob@example.org", at=NOW, hold=Hold("over limit", "201 recipients an hour"))
    place.give()
    assert place.ids("--reason", "over limit") == [other]
    assert place.ids("--reason", "by hand") == [place.held]
    assert place.ids("--restored") == []
    assert "held: over limit: 201 recipients an hour" in place.run("list").stdout
    assert "(held: over limit: 201 recipients an hour)" in place.run("list", "--mailq").stdout
    assert "Held:" in place.run("show", other).stdout
    (row,) = map(json.loads, place.run("list", "--json", other).stdout.splitlines())
    assert (row["hold_reason"], row["hold_text"]) == ("over limit", "201 recipients an hour")
    assert place.run("release", "--reason", "over limit").returncode == 0
    assert place.ids("--state", "held") == [place.held]


APPROVAL_SECTION = "[approval sales]\nsenders = joe@us.test\nmanagers = ann@us.test, eve@us.test\nwait = 2d\n"


def in_two_days() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(NOW + 2 * 86400))


def test_a_release_names_the_messages_that_wait_for_approval_now(place: Place) -> None:
    held = place.put("joe@us.test", "bob@example.org", at=NOW, hold=Hold("over limit", approval="sales"))
    place.give()
    done = place.run("release", "--state", "held")
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        f"{held} waits for approval (sales): smtpd-classic queue approve {held}",
        "Released: 1. Waiting for approval now: 1.",
    ]
    assert place.ids("--reason", "waiting for approval") == [held]
    assert place.run("release", held).stderr == "Released: 1.\n"


def test_a_retry_names_the_messages_on_hold(place: Place) -> None:
    done = place.run("retry", place.held, place.new)
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        f"{place.held} is on hold (by hand): smtpd-classic queue release {place.held}",
        "To be tried now: 1. On hold: 1.",
    ]


def test_show_names_the_managers_and_the_end_of_a_hold(place: Place) -> None:
    place.file.write_text(place.file.read_text() + APPROVAL_SECTION)
    waits = place.put("joe@us.test", "bob@example.org", at=NOW, hold=Hold("waiting for approval", "sales"))
    later = place.put("joe@us.test", "bob@example.org", at=NOW, hold=Hold("quarantine", "clamd", approval="sales"))
    for_good = place.put("", "bob@example.org", at=NOW, hold=Hold("restored"))
    place.give()
    text = place.run("show", waits).stdout
    wanted = f"It waits for approval (sales) by ann@us.test or eve@us.test until {in_two_days()}; "
    assert f"{wanted}after this it goes back to its sender." in text
    assert "Next attempt: when approved" in text
    (found,) = json.loads(place.run("show", "--json", waits).stdout)
    assert (found["managers"], found["approval"]) == (["ann@us.test", "eve@us.test"], "sales")
    assert found["hold_until"] == NOW + 2 * 86400
    text = place.run("show", later).stdout
    assert "Without a release it is deleted at " in text
    assert "After its release it waits for approval (sales) by ann@us.test or eve@us.test." in text
    assert "without an end" in place.run("show", for_good).stdout
    place.run("refuse", waits)
    assert "It was refused by the administrator and goes back to its sender." in place.run("show", waits).stdout
