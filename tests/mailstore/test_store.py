"""Messages come into Maildirs whole, under unique names, and only into Maildirs that are ours."""

import errno
import itertools
import os
import re
import stat
import tempfile
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from smtpd_classic.durable import names_need_sync
from smtpd_classic.mailstore.folders import make_maildir
from smtpd_classic.mailstore.incoming import envelope_to
from smtpd_classic.mailstore.store import MailStore, MailStoreBroken, MailStoreFull
from tests.spool.faults import descriptors, failing, settled_descriptors

ONE = b"Return-Path: <a@example.org>\nEnvelope-To: <u@example.net>\nSubject: x\n\nbody\n"
SEVERAL = b"Return-Path: <a@example.org>\nReceived: from mx\nSubject: x\n\nbody\n"
LARGE = ONE + b"0123456789abcdef" * 20_000
STANDARD_NAME = re.compile(r"\d{10}\.M\d{6}P\d+Q\d+\.mx\.example\.net,S=(\d+)")

# Python 3.12 warns of forking a process that has threads, as pytest's workers do; the children only do file work.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


@pytest.fixture
def store(tmp_path: Path) -> MailStore:
    return MailStore(str(tmp_path / "mail"), "mx.example.net")


def folder(store: MailStore, user: str = "u") -> str:
    return f"{store.mail_folder}/example.net/{user}"


def messages(maildir: str) -> list[bytes]:
    new = Path(maildir, "new")
    return [path.read_bytes() for path in new.iterdir()] if new.exists() else []


def incoming(store: MailStore) -> list[str]:
    return os.listdir(f"{store.mail_folder}/.incoming")


def put(store: MailStore, content: bytes, *folders: str) -> list[str]:
    with store.incoming() as message:
        for start in range(0, len(content), 50_000):
            message.write(content[start : start + 50_000])
        assert message.size == len(content)
        return message.deliver(folders)


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """A folder on another file system."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as path:
        yield path


@pytest.mark.parametrize("content", [ONE, SEVERAL, LARGE, b""], ids=["one", "without envelope", "large", "empty"])
def test_one_recipient_gets_the_message_as_it_was_written(store: MailStore, content: bytes) -> None:
    before = settled_descriptors()
    assert put(store, content, folder(store)) == []
    assert messages(folder(store)) == [content]
    assert incoming(store) == []
    assert descriptors() == before


@pytest.mark.parametrize("content", [SEVERAL, LARGE], ids=["small", "large"])
def test_several_recipients_share_one_file(store: MailStore, content: bytes) -> None:
    folders = [folder(store, user) for user in ("u", "v", "w")]
    assert put(store, content, *folders, folders[0]) == []
    assert [messages(each) for each in folders] == [[content]] * 3
    assert {os.stat(path).st_nlink for each in folders for path in Path(each, "new").iterdir()} == {3}
    assert incoming(store) == []


def test_name_and_mode_are_those_of_the_standard(store: MailStore) -> None:
    for content in (ONE, LARGE):
        put(store, content, folder(store))
    names = {int(STANDARD_NAME.fullmatch(path.name)[1]): path for path in Path(folder(store), "new").iterdir()}  # type: ignore[index]
    assert names.keys() == {len(ONE), len(LARGE)}
    assert {stat.S_IMODE(path.stat().st_mode) for path in names.values()} == {0o600}


def test_host_name_cannot_lead_out_of_the_folder_or_forge_a_size(tmp_path: Path) -> None:
    store = MailStore(str(tmp_path), "a/../b:c,S=1")
    put(store, ONE, folder(store))
    name = next(Path(folder(store), "new").iterdir()).name
    assert name.endswith(rf".a\057..\057b\072c\054S=1,S={len(ONE)}")


def test_maildir_is_made_for_the_service_user_alone(store: MailStore) -> None:
    old_mask = os.umask(0)
    try:
        put(store, ONE, folder(store))
    finally:
        os.umask(old_mask)
    for path in (folder(store), *(f"{folder(store)}/{name}" for name in ("new", "cur", "tmp"))):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(f"{store.mail_folder}/.incoming").st_mode) == 0o700


def test_maildir_removed_while_the_server_runs_is_made_again(store: MailStore) -> None:
    put(store, ONE, folder(store))
    os.rename(folder(store), folder(store, "gone"))
    assert put(store, ONE, folder(store)) == []
    assert messages(folder(store)) == [ONE]


def test_left_without_delivery_nothing_remains(store: MailStore) -> None:
    for content in (ONE, LARGE):
        with store.incoming() as message:
            message.write(content)
    assert incoming(store) == []


def test_maildir_that_cannot_be_served_is_named_and_the_message_can_be_had_for_it(store: MailStore) -> None:
    good, bad = folder(store, "good"), folder(store, "bad")
    os.makedirs(store.mail_folder)
    Path(store.mail_folder, "example.net").mkdir()
    Path(bad).write_bytes(b"no folder")
    for content in (SEVERAL, LARGE):
        with store.incoming() as message:
            message.write(content)
            assert message.deliver([bad, good]) == [bad]
            assert b"".join(message.chunks()) == content
    assert sorted(messages(good)) == sorted([SEVERAL, LARGE])
    assert incoming(store) == []


def test_undo_takes_back_what_was_delivered(store: MailStore, elsewhere: str) -> None:
    folders = [folder(store, "u"), folder(store, "v"), f"{elsewhere}/w"]
    for targets in (folders, folders[:1], folders[2:]):
        with store.incoming() as message:
            message.write(ONE)
            assert message.deliver(targets) == []
            message.undo()
        assert [messages(each) for each in targets] == [[]] * len(targets)


@pytest.mark.parametrize("count", [1, 2])
def test_nothing_delivered_raises_and_the_message_can_still_be_queued(store: MailStore, count: int) -> None:
    bad = [folder(store, f"bad{number}") for number in range(count)]
    os.makedirs(os.path.dirname(bad[0]))
    for each in bad:
        Path(each).write_bytes(b"no folder")
    with store.incoming() as message:
        message.write(ONE)
        with pytest.raises(MailStoreBroken, match=re.escape(bad[0])):
            message.deliver(bad)
        assert b"".join(message.chunks()) == ONE
    assert incoming(store) == []


def test_message_in_pieces_shorter_than_its_size_is_no_message(store: MailStore) -> None:
    with store.incoming() as message:
        message.write(ONE)
        message.deliver([folder(store)])
        os.truncate(next(Path(folder(store), "new").iterdir()), 10)
        with pytest.raises(MailStoreBroken):
            list(message.chunks())


def test_message_is_of_no_use_after_its_end(store: MailStore) -> None:
    with store.incoming() as message:
        message.write(ONE)
        with pytest.raises(ValueError, match="complete"):
            list(message.chunks())
        with pytest.raises(ValueError, match="no Maildir"):
            message.deliver([])
        message.deliver([folder(store)])
        with pytest.raises(ValueError, match="delivered"):
            message.write(b"more")
    with pytest.raises(ValueError, match="given up"):
        message.deliver([folder(store)])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE])
def test_failed_write_of_a_large_message_gives_it_up(store: MailStore, number: int) -> None:
    with store.incoming() as message, failing(1, number, stays=True):
        with pytest.raises(MailStoreBroken if number in {errno.EIO, errno.EMFILE} else MailStoreFull):
            message.write(LARGE)
        with pytest.raises(ValueError, match="given up"):
            message.write(b"the rest must not pass for a message")
    assert incoming(store) == []


def test_other_file_system_gets_a_copy(store: MailStore, elsewhere: str) -> None:
    assert os.stat(elsewhere).st_dev != os.stat(os.path.dirname(store.mail_folder)).st_dev
    far, near = f"{elsewhere}/far", folder(store)
    for content in (ONE, LARGE):
        assert put(store, content, far) == []
        assert put(store, content, far, near, f"{elsewhere}/further") == []
    for each, times in ((far, 2), (near, 1), (f"{elsewhere}/further", 1)):
        assert sorted(messages(each)) == sorted([ONE, LARGE] * times)
        assert os.listdir(f"{each}/tmp") == []
    assert incoming(store) == []


def test_copy_for_the_retry_thread(store: MailStore) -> None:
    store.deliver_copy(folder(store), iter([LARGE[:10], LARGE[10:]]))
    assert messages(folder(store)) == [LARGE]


@pytest.mark.parametrize(
    ("head", "address"),
    [
        (ONE, "u@example.net"),
        (b"Return-Path: <>\nEnvelope-To: u@example.net\n", "u@example.net"),
        ("Return-Path: <>\nEnvelope-To: <ü@example.net>\n".encode(), "ü@example.net"),
        (SEVERAL, ""),
        (b"Return-Path: <>\nReceived: x\nEnvelope-To: <forged@example.net>\n", ""),
        (b"Envelope-To: <forged@example.net>\nReturn-Path: <>\n", ""),
        (b"Return-Path: <>\nEnvelope-To: <cut@exam", ""),
        (b"Return-Path: <>\nEnvelope-To: <>\n", ""),
        (b"Return-Path: <>", ""),
        (b"", ""),
    ],
)
def test_envelope_stands_in_the_first_two_lines_only(head: bytes, address: str) -> None:
    assert envelope_to(head) == address


def test_foreign_maildir_is_refused(store: MailStore, tmp_path: Path) -> None:
    ours, foreign, open_to_all = folder(store, "ours"), folder(store, "foreign"), folder(store, "open")
    for each in (ours, foreign, open_to_all):
        make_maildir(each)
    os.chown(f"{foreign}/new", 65534, 65534)
    os.chmod(f"{open_to_all}/new", 0o777)
    outside = tmp_path / "outside"
    outside.mkdir()
    led_away = folder(store, "led-away")
    make_maildir(led_away)
    os.rmdir(f"{led_away}/new")
    os.symlink(outside, f"{led_away}/new")
    assert put(store, SEVERAL, foreign, ours, open_to_all, led_away) == [foreign, open_to_all, led_away]
    assert messages(ours) == [SEVERAL]
    assert list(outside.iterdir()) == []


def test_mailbox_that_an_administrator_has_linked_to_another_disk_is_served(store: MailStore, elsewhere: str) -> None:
    os.makedirs(os.path.dirname(folder(store)))
    os.symlink(f"{elsewhere}/moved", folder(store))
    make_maildir(f"{elsewhere}/moved")
    assert put(store, ONE, folder(store)) == []
    assert messages(f"{elsewhere}/moved") == [ONE]


@pytest.mark.parametrize("kind", ["link", "foreign", "file"])
def test_incoming_that_is_not_ours_is_refused(store: MailStore, tmp_path: Path, kind: str) -> None:
    place = Path(store.mail_folder, ".incoming")
    place.parent.mkdir()
    if kind == "link":
        place.symlink_to(tmp_path)
    elif kind == "file":
        place.write_bytes(b"")
    else:
        place.mkdir()
        os.chown(place, 65534, 65534)
    with pytest.raises(MailStoreBroken, match=re.escape(str(place))):
        store.make()


def test_stale_files_in_tmp_are_removed_as_the_standard_says(store: MailStore, monkeypatch: pytest.MonkeyPatch) -> None:
    make_maildir(folder(store))
    stale = Path(folder(store), "tmp", "stale")
    stale.write_bytes(b"half")
    put(store, ONE, folder(store))
    assert stale.exists()
    real = os.stat(stale).st_ctime
    monkeypatch.setattr("smtpd_classic.mailstore.store.time.time", lambda: real + 37 * 3600)
    later = MailStore(store.mail_folder, "mx.example.net")
    put(later, ONE, folder(store))
    assert not stale.exists()
    assert len(messages(folder(store))) == 2


def test_names_of_threads_stores_and_processes_differ(tmp_path: Path) -> None:
    stores = [MailStore(str(tmp_path / "mail"), "mx") for _ in range(3)]
    target = folder(stores[0])
    make_maildir(target)

    def work(store: MailStore) -> None:
        for _ in range(20):
            put(store, ONE, target)

    threads = [threading.Thread(target=work, args=(store,)) for store in stores for _ in range(3)]
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            work(stores[0])
            os._exit(0)
        children.append(child)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert messages(target) == [ONE] * 20 * (9 + 2)


def test_crashed_rename_is_made_good_by_the_sweep(store: MailStore) -> None:
    put(store, ONE, folder(store))
    path = next(Path(folder(store), "new").iterdir())
    path.rename(Path(store.mail_folder, ".incoming", path.name))  # as after a power cut
    put(store, LARGE, folder(store))
    path = next(path for path in Path(folder(store), "new").iterdir())
    path.rename(Path(store.mail_folder, ".incoming", path.name.partition(",S=")[0]))  # as of a large one
    assert store.sweep({"u@example.net": folder(store)}.get) == 2
    assert sorted(messages(folder(store))) == sorted([ONE, LARGE])
    for path in Path(folder(store), "new").iterdir():
        assert int(STANDARD_NAME.fullmatch(path.name)[1]) == path.stat().st_size  # type: ignore[index]
    assert store.sweep({"u@example.net": folder(store)}.get) == 0
    assert incoming(store) == []


def test_sweep_delivers_to_another_file_system_too(store: MailStore, elsewhere: str) -> None:
    store.make()
    Path(store.mail_folder, ".incoming", "1800000000.M1P1Q1.mx").write_bytes(ONE)
    assert store.sweep(lambda _address: f"{elsewhere}/u") == 1
    assert messages(f"{elsewhere}/u") == [ONE]
    assert incoming(store) == []


def test_sweep_removes_drafts_and_what_was_to_be_linked_but_nothing_alive(store: MailStore) -> None:
    store.make()
    root = Path(store.mail_folder, ".incoming")
    (root / "draft").write_bytes(ONE)
    (root / "draft").chmod(0o200)
    (root / "several").write_bytes(SEVERAL)
    (root / "folder").mkdir()
    with store.incoming() as alive:
        alive.write(LARGE)
        complaints: list[str] = []
        assert MailStore(store.mail_folder, "mx", complaints.append).sweep(lambda _address: folder(store)) == 0
        assert {path.name.split("P")[0].isalpha() for path in root.iterdir()} == {True, False}
        assert len(complaints) == 1
        assert str(root / "folder") in complaints[0]
        alive.deliver([folder(store)])
    assert messages(folder(store)) == [LARGE]
    assert incoming(store) == ["folder"]


def test_sweep_leaves_and_tells_of_what_it_cannot_deliver(store: MailStore) -> None:
    store.make()
    complaints: list[str] = []
    store = MailStore(store.mail_folder, "mx.example.net", complaints.append)
    Path(store.mail_folder, ".incoming", "unknown").write_bytes(ONE)
    assert store.sweep(lambda _address: None) == 0
    assert "'u@example.net'" in complaints.pop()
    os.makedirs(os.path.dirname(folder(store)))
    Path(folder(store)).write_bytes(b"no folder")
    assert store.sweep(lambda _address: folder(store)) == 0
    assert folder(store) in complaints.pop()
    assert incoming(store) == ["unknown"]
    MailStore(store.mail_folder, "mx.example.net").sweep(lambda _address: None)  # says nothing to nobody


def test_sweeps_beside_one_another_deliver_once(store: MailStore) -> None:
    store.make()
    for number in range(100):
        Path(store.mail_folder, ".incoming", f"1800000000.M{number}P1Q1.mx").write_bytes(ONE)
    counts: list[int] = []
    threads = [
        threading.Thread(target=lambda: counts.append(store.sweep(lambda _address: folder(store)))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 100
    assert messages(folder(store)) == [ONE] * 100


def test_draft_taken_for_abandoned_before_its_lock_is_made_again(
    store: MailStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, ONE, folder(store))
    real = os.open
    removed: Iterator[int] = itertools.count()

    def open_and_lose(path: str, flags: int, mode: int = 0o777) -> int:
        descriptor = real(path, flags, mode)
        if flags & os.O_EXCL and next(removed) == 0:
            os.unlink(path)
        return descriptor

    monkeypatch.setattr(os, "open", open_and_lose)
    assert put(store, ONE, folder(store)) == []
    assert messages(folder(store)) == [ONE] * 2


def test_file_systems_that_are_not_known_get_their_folders_synced(
    store: MailStore, elsewhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert names_need_sync(elsewhere)
    assert names_need_sync("/proc")
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    far = MailStore(f"{elsewhere}/mail", "mx")
    users = [folder(far, user) for user in ("u", "v")]
    for user in users:
        make_maildir(user)
    far.incoming()
    monkeypatch.setattr(os, "fsync", fsync)
    put(far, ONE, users[0])
    assert [os.path.basename(path) for path in synced[1:]] == ["new"]
    synced.clear()
    put(far, SEVERAL, *users)
    assert synced[1:] == [f"{user}/new" for user in users]


def test_name_is_synced_when_no_envelope_leads_there(store: MailStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.incoming()
    make_maildir(folder(store))
    put(store, ONE, folder(store))
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    for content, sync_names, also in ((ONE, False, []), (ONE, True, ["new"]), (SEVERAL, False, ["new"])):
        synced.clear()
        with store.incoming() as message:
            message.write(content)
            message.deliver([folder(store)], sync_names=sync_names)
        assert synced[1:] == also


def test_other_maildir_may_be_tried_after_one_has_failed(store: MailStore) -> None:
    os.makedirs(store.mail_folder)
    Path(folder(store, "bad")).parent.mkdir()
    Path(folder(store, "bad")).write_bytes(b"no folder")
    with store.incoming() as message:
        message.write(ONE)
        with pytest.raises(MailStoreBroken):
            message.deliver([folder(store, "bad")])
        assert message.deliver([folder(store, "good")]) == []
    assert messages(folder(store, "good")) == [ONE]


def test_disk_that_takes_a_little_at_a_time_gets_it_all(store: MailStore, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:7777]))
    for content in (ONE, LARGE):
        put(store, content, folder(store))
    assert sorted(messages(folder(store))) == sorted([ONE, LARGE])


def test_what_is_known_of_maildirs_is_bounded(store: MailStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smtpd_classic.mailstore.store._MAX_SEEN", 2)
    for number in range(5):
        put(store, ONE, folder(store, str(number)))
    assert len(store._seen) <= 2


def test_file_that_goes_while_it_is_swept_is_no_matter(store: MailStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.make()
    path = Path(store.mail_folder, ".incoming", "1800000000.M1P1Q1.mx")
    path.write_bytes(ONE)

    def remove_and_lock(_descriptor: int, *, blocking: bool) -> bool:
        path.unlink()
        return not blocking

    monkeypatch.setattr("smtpd_classic.mailstore.store.lock_descriptor", remove_and_lock)
    assert store.sweep(lambda _address: folder(store)) == 0
    assert messages(folder(store)) == []


@pytest.mark.source
def test_mail_folder_that_cannot_be_looked_at_is_told(store: MailStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> bool:
        raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    monkeypatch.setattr("smtpd_classic.mailstore.store.names_need_sync", refuse)
    with pytest.raises(MailStoreBroken, match="the disk fails"):
        store.incoming()


@pytest.mark.parametrize(
    ("mounts", "answer"),
    [
        ("25 1 {} / / rw,relatime shared:1 - ext4 /dev/vda rw\n", False),
        ("25 1 {} / / rw - xfs /dev/vda rw\n", False),
        ("25 1 {} / / rw shared:1 - btrfs /dev/vda rw\n", True),
        ("25 1 99:99 / / rw - ext4 /dev/vda rw\n", True),
        (None, True),
    ],
    ids=["ext4", "xfs", "another", "not listed", "no /proc"],
)
def test_known_file_systems_are_told_by_their_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mounts: str | None, answer: bool
) -> None:
    device = tmp_path.stat().st_dev
    listing = tmp_path / "mountinfo"
    if mounts is not None:
        listing.write_text(mounts.format(f"{os.major(device)}:{os.minor(device)}"))
    monkeypatch.setattr("builtins.open", lambda _path, **how: Path.open(listing, **how))
    assert names_need_sync(str(tmp_path)) is answer


def test_draft_that_may_not_be_read_is_swept_without_the_rights_of_root() -> None:
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o777)
        child = os.fork()
        if child == 0:
            try:
                if os.geteuid() == 0:
                    os.setgid(65534)
                    os.setuid(65534)
                store = MailStore(f"{place}/mail", "mx")
                message = store.incoming()
                message.write(LARGE)
                store.sweep(lambda _address: None)
                assert len(incoming(store)) == 1
                os.close(message._descriptor)
                store.sweep(lambda _address: None)
                assert incoming(store) == []
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0


def test_the_sum_of_sizes_that_dovecot_keeps_goes_at_a_delivery(store: MailStore) -> None:
    """`maildirsize` counts without this message; Dovecot adds up the file names again when it is gone."""
    put(store, ONE, folder(store))
    kept = Path(folder(store), "maildirsize")
    kept.write_text("1000S\n10 1\n")
    put(store, ONE, folder(store))
    assert not kept.exists()
