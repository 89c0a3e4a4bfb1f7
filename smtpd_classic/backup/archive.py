"""Writes the archive while the server runs. No lock is taken, so that no delivery waits for a backup."""

import contextlib
import grp
import io
import json
import os
import pwd
import sqlite3
import stat
import tarfile
from collections.abc import Iterator
from functools import lru_cache
from typing import IO, NamedTuple

from smtpd_classic import __version__
from smtpd_classic.backup.form import CONFIG, DKIM, FORM, HOME, MAIL, MANIFEST, SPOOL, places, stays_below
from smtpd_classic.config import Config
from smtpd_classic.durable import readable
from spool import Spool

__all__ = ["Saved", "save"]

_AT_ONCE = 1024 * 1024
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_QUEUE = frozenset({"new", "cur", "state", "tmp"})
_SQLITE = b"SQLite format 3\0"


class Saved(NamedTuple):
    """The numbers of files in an archive."""

    settings: int
    queued: int
    mail: int


def save(config: Config, file: IO[bytes], now: float, *, mail: bool) -> Saved:
    """Write the archive of a server to `file`, uncompressed. Raises OSError and SpoolBroken."""
    with tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        writer = _Writer(archive)
        manifest = {"form": FORM, "version": __version__, "made": int(now), "mail": mail}
        writer.add_octets(MANIFEST, json.dumps(manifest).encode() + b"\n", now)
        settings, queued, letters = 0, 0, 0
        for name, path in places(config):
            if name == SPOOL:
                queued = _save_spool(writer, path)
            elif name == MAIL:
                letters = _save_mail(writer, path) if mail else 0
            elif name == DKIM:
                settings += sum(writer.add(DKIM + each[len(path) :], each) for each in _files(path))
            elif name == CONFIG or os.path.lexists(path):
                settings += writer.add(name, path)
    return Saved(settings, queued, letters)


class _Writer:
    """The archive as it is written."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive

    def add(self, name: str, path: str) -> bool:
        """Add a file. Return False if it has gone, or is no file. Raises OSError."""
        try:
            descriptor = os.open(path, _READ if not name.startswith("etc/") else _READ & ~os.O_NOFOLLOW)
        except FileNotFoundError:
            return False
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return False
            if status.st_size > _AT_ONCE:  # only messages are as large, and they never change
                self._archive.addfile(self._member(name, status, status.st_size), file)
                return True
            data = file.read()
            if data.startswith(_SQLITE):
                data = _database(path)
            self._archive.addfile(self._member(name, status, len(data)), io.BytesIO(data))
            return True

    def add_link(self, name: str, path: str) -> None:
        """Add a symbolic link that stays below its folder; leave out others, and one that has gone."""
        with contextlib.suppress(OSError):
            target = os.readlink(path)
            if stays_below(target):
                status = os.lstat(path)
                member = self._member(name, status, 0)
                member.type, member.linkname = tarfile.SYMTYPE, target
                self._archive.addfile(member)

    def add_octets(self, name: str, data: bytes, now: float) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mtime, member.mode = len(data), int(now), 0o600
        self._archive.addfile(member, io.BytesIO(data))

    def _member(self, name: str, status: os.stat_result, size: int) -> tarfile.TarInfo:
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, stat.S_IMODE(status.st_mode)
        member.mtime = status.st_mtime_ns / 1e9 if status.st_mtime_ns % 1_000_000_000 else int(status.st_mtime)
        member.uid, member.gid = status.st_uid, status.st_gid
        member.uname, member.gname = _user_name(status.st_uid), _group_name(status.st_gid)
        return member


@lru_cache
def _user_name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return ""


@lru_cache
def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return ""


def _database(path: str) -> bytes:
    """Return a consistent copy of an SQLite file that other processes may be writing. Raises OSError."""
    try:
        with (
            contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20)) as source,
            contextlib.closing(sqlite3.connect(":memory:")) as copy,
        ):
            source.backup(copy)
            return copy.serialize()
    except sqlite3.Error as problem:
        raise OSError(f"{path}: {problem}") from None


def _save_spool(writer: _Writer, folder: str) -> int:
    """Save the queue and the other files of the spool. Return the number of queued messages."""
    if not os.path.isdir(folder):
        return 0
    spool = Spool(folder)
    listed = spool.list_by_arrival() if os.path.isdir(spool.folders.new) else iter(())
    number = sum(_save_entry(writer, spool, each.queue_id) for each in listed)
    for name in sorted(set(os.listdir(folder)) - _QUEUE):
        path = f"{folder}/{name}"
        for each in _files(path) if os.path.isdir(path) else (path,):
            if _is_complete(each):
                writer.add(SPOOL + each[len(folder) :], each)
    return number


def _save_entry(writer: _Writer, spool: Spool, queue_id: str) -> bool:
    """Save the content of an entry, which never changes, and then its state, which may have changed meanwhile."""
    folders = spool.folders
    paths = (f"{folders.new}/{queue_id}", f"{folders.cur}/{queue_id}")
    names = (f"{SPOOL}/new/{queue_id}", f"{SPOOL}/cur/{queue_id}")
    if not any(map(writer.add, names, paths)):
        return False
    writer.add(f"{SPOOL}/state/{queue_id}", f"{folders.state}/{queue_id}")
    if not any(os.path.lexists(path) for path in paths):
        writer.add_octets(f"{SPOOL}/gone/{queue_id}", b"", 0)
        return False
    return True


def _save_mail(writer: _Writer, folder: str) -> int:
    """Save the mailboxes. Return the number of messages. A message moves from .incoming/ into new/, and on into cur/,
    so the folders are read in this order.
    """
    incoming = f"{folder}/.incoming"
    number = sum(
        writer.add(f"{MAIL}/.incoming/{os.path.basename(each)}", each)
        for each in _files(incoming)
        if _is_complete(each)
    )
    for above, folders, _ in os.walk(folder):
        if above == folder and ".incoming" in folders:
            folders.remove(".incoming")
        if os.path.basename(above) == HOME:
            folders.clear()
            _save_homes(writer, MAIL + above[len(folder) :], above)
        if {"new", "cur"} <= set(folders):
            folders[:] = [each for each in folders if each not in {"new", "cur", "tmp"}]
            number += _save_maildir(writer, MAIL + above[len(folder) :], above)
    return number


def _save_homes(writer: _Writer, name: str, folder: str) -> None:
    """Save the homes of users, in which Dovecot keeps Sieve scripts, but not compiled ones. The active script is a link
    to one of them.
    """
    for each in _files(folder):
        if os.path.islink(each):
            writer.add_link(name + each[len(folder) :], each)
        elif not each.endswith(".svbin"):
            writer.add(name + each[len(folder) :], each)


def _save_maildir(writer: _Writer, name: str, folder: str) -> int:
    """Save one Maildir without the caches of an IMAP server. Return the number of messages."""
    number = 0
    saved: set[str] = set()
    for each in sorted(os.listdir(folder)):
        if not each.startswith(("dovecot.index", "dovecot.list.index")) and os.path.isfile(f"{folder}/{each}"):
            writer.add(f"{name}/{each}", f"{folder}/{each}")
    for part in ("new", "cur"):
        for each in sorted(os.listdir(f"{folder}/{part}")):
            unique = each.partition(":")[0]
            if unique not in saved and _add_letter(writer, f"{name}/{part}/", f"{folder}/{part}/{each}", unique):
                saved.add(unique)
                number += 1
    return number


def _add_letter(writer: _Writer, name: str, path: str, unique: str) -> bool:
    """Add a message. Its name in cur/ changes when a reader sets a flag; in new/ it may be on its way to cur/."""
    if writer.add(name + os.path.basename(path), path):
        return True
    folder = os.path.dirname(path)
    with os.scandir(folder) as items:
        renamed = [item.name for item in items if item.name.partition(":")[0] == unique]
    return any(writer.add(name + each, f"{folder}/{each}") for each in renamed)


def _files(folder: str) -> Iterator[str]:
    """Yield every file below a folder; none if it does not exist."""
    for above, _, names in os.walk(folder):
        yield from (f"{above}/{name}" for name in sorted(names))


def _is_complete(path: str) -> bool:
    try:
        return readable(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False
