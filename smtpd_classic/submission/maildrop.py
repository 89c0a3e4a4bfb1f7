"""maildrop/, where `sendmail` leaves messages while the server is down, and the form of its files.

    smtpd-classic maildrop 1
    sender joe                      one line each; then for every recipient:
    recipient ann@example.org
    size 1234                       of the text behind the empty line, which is the message with LF line ends

Guarantee 1: a file can be read by its owner (a mode bit) only when it is complete, and it is on disk when `leave`
returns. Guarantee 2: every user may put files here, but none can list the folder, guess a name, or touch what is not
his. Guarantee 3: the reader of a file trusts no line of it.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO, NamedTuple

from smtpd_classic.submission.message import SubmittedMessage, split

__all__ = [
    "MOST_RECIPIENTS",
    "BlankMaildropFile",
    "CorruptMaildropFile",
    "MaildropMessage",
    "folder_in",
    "is_name",
    "leave",
    "make",
    "move",
    "read",
]

LONGEST_LINE = 2048
MOST_RECIPIENTS = 1000  # of one file; `sendmail` leaves several files for more
MOST_LINES = MOST_RECIPIENTS + 10
_MAGIC = b"smtpd-classic maildrop 1\n"
_DRAFT = 0o200
_CHUNK = 64 * 1024
_NAME_LENGTH = 32
_HEX = frozenset("0123456789abcdef")


class CorruptMaildropFile(Exception):
    """Raised for a file that is no message; `str()` gives the reason."""


class BlankMaildropFile(CorruptMaildropFile):
    """Raised for a file that a power cut has left empty or full of NUL, before its writer had finished."""


class MaildropMessage(NamedTuple):
    """The content of a file. `uid` is its user according to the file itself; trust it only in files of our own."""

    message: SubmittedMessage
    uid: int


def folder_in(spool_folder: str) -> str:
    return os.path.join(spool_folder, "maildrop")


def make(spool_folder: str) -> None:
    """Let every user put files into maildrop/. Its owner calls this after making it. Raises OSError.

    The group's bit gives every file in it to our group, so that no other user may read it. Where a sandbox does not let
    us set it (systemd's RestrictSUIDSGID), files are readable by every user who can guess their names.
    """
    mode = stat.S_IMODE(os.stat(spool_folder).st_mode)
    if mode & 0o011 != 0o011:
        os.chmod(spool_folder, mode | 0o011)  # noqa: S103  to go through, not to look
    folder = folder_in(spool_folder)
    if stat.S_IMODE(os.stat(folder).st_mode) != 0o3733:
        os.chmod(folder, 0o1733)  # noqa: S103  as /tmp, but not readable
        with suppress(PermissionError):
            os.chmod(folder, 0o3733)  # noqa: S103


def is_name(name: str) -> bool:
    return len(name) == _NAME_LENGTH and _HEX.issuperset(name)


def leave(folder: str, message: SubmittedMessage, *, uid: int = -1, arrival: float = 0.0, name: str = "") -> str:
    """Put the message there, and return its name when it is on disk. Raises OSError; then nothing of it is left.

    Like the spool it writes under the final name: the fsync of a new file makes its name durable too on the usual file
    systems, and only the owner may open the folder to sync it. `uid`, `arrival` and `name` are those of a message that
    is put back, or moved here.
    """
    name = name or os.urandom(_NAME_LENGTH // 2).hex()
    path = f"{folder}/{name}"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _DRAFT)
    try:
        with open(fd, "wb", buffering=_CHUNK) as file:
            _write(file, message, uid)
            file.flush()
            os.fchmod(fd, _mode_for(fd, folder))
            if arrival:
                os.utime(fd, (arrival, arrival))
            os.fsync(fd)
    except BaseException:
        with suppress(OSError):
            os.unlink(path)
        raise
    return name


def _mode_for(fd: int, folder: str) -> int:
    """Return the mode: readable by the group when the folder gives its group to its files, else by every user."""
    above = os.stat(folder)
    grouped = above.st_mode & stat.S_ISGID and os.fstat(fd).st_gid == above.st_gid
    return 0o640 if grouped else 0o644


def _write(file: BinaryIO, message: SubmittedMessage, uid: int) -> None:
    file.write(_MAGIC)
    file.write(_line("sender", message.sender or "<>"))
    for recipient in message.recipients:
        file.write(_line("recipient", recipient))
    for name in ("name", "notify", "ret", "envid"):
        if value := getattr(message, name):
            file.write(_line(name, value))
    if message.eight_bit:
        file.write(_line("body", "8bit"))
    if uid >= 0:
        file.write(_line("uid", str(uid)))
    file.write(_line("size", str(message.size)))
    file.write(b"\n" + message.header + b"\n")
    at = message.text
    while piece := message.body.read(at, _CHUNK):
        at += len(piece)
        file.write(piece)


def _line(name: str, value: str) -> bytes:
    return f"{name} {value}\n".encode()


def move(name: str, old: str, new: str) -> None:
    """Move a message from one maildrop to another, which may be on another file system. Raises CorruptMaildropFile and
    OSError: then it is left in the old one.

    A file that is there under its name, which cannot be guessed, is a copy that an interrupted run has made.
    """
    source, target = f"{old}/{name}", f"{new}/{name}"
    with suppress(FileNotFoundError):
        if os.lstat(target).st_mode & stat.S_IRUSR:
            os.unlink(source)
            return
        os.unlink(target)
    fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1 or not is_name(name):
            raise CorruptMaildropFile("it is no message")
        found = read(fd)
        ours = status.st_uid == os.geteuid()
        uid = found.uid if ours and found.uid >= 0 else status.st_uid
        leave(new, found.message, uid=uid, arrival=status.st_mtime if ours else status.st_ctime, name=name)
    finally:
        os.close(fd)
    os.unlink(source)


class _Section:
    """The message in the file: the body of a `SubmittedMessage`."""

    def __init__(self, fd: int, offset: int, size: int) -> None:
        self._fd = fd
        self._offset = offset
        self.size = size

    def read(self, offset: int, size: int) -> bytes:
        """Return octets of the message. Raises CorruptMaildropFile if the owner has made the file shorter meanwhile."""
        wanted = max(0, min(size, self.size - offset))
        data = b""
        while len(data) < wanted:
            piece = os.pread(self._fd, wanted - len(data), self._offset + offset + len(data))
            if not piece:
                raise CorruptMaildropFile("it has been cut off while it was read")
            data += piece
        return data


def read(fd: int) -> MaildropMessage:
    """Return the message in an open file, as long as that stays open. Raises CorruptMaildropFile or OSError."""
    sender, uid, size = "", -1, -1
    recipients: list[str] = []
    others = {"name": "", "notify": "", "ret": "", "envid": "", "body": ""}
    with open(fd, "rb", closefd=False) as file:
        for name, value in _lines(file):
            if name == "recipient":
                recipients.append(value)
                if len(recipients) > MOST_RECIPIENTS:
                    raise CorruptMaildropFile(f"it names more than {MOST_RECIPIENTS} recipients")
            elif name == "sender":
                sender = "" if value == "<>" else value
            elif name in others:
                others[name] = value
            elif name == "uid" and value.isascii() and value.isdigit():
                uid = int(value[:10])
            elif name == "size" and value.isascii() and value.isdigit():
                size = int(value[:20])
            else:
                raise CorruptMaildropFile(f"there is a line “{name[:40]}”")
        offset = file.tell()
    if not recipients or size != os.fstat(fd).st_size - offset:
        raise CorruptMaildropFile("it names no recipient" if not recipients else "it is longer or shorter than it says")
    body = _Section(fd, offset, size)
    eight_bit = bool(others.pop("body"))
    header, text = split(body)
    return MaildropMessage(SubmittedMessage(sender, tuple(recipients), header, body, text, eight_bit, **others), uid)


def _lines(file: BinaryIO) -> Iterator[tuple[str, str]]:
    """Yield the names and values of the lines before the empty one. Raises CorruptMaildropFile."""
    first = file.readline(LONGEST_LINE)
    if not first.strip(b"\0"):
        raise BlankMaildropFile("it is empty, or begins with NULs")
    if first != _MAGIC:
        raise CorruptMaildropFile("it does not begin like one")
    for _ in range(MOST_LINES):
        line = file.readline(LONGEST_LINE)
        if line == b"\n":
            return
        name, blank, value = line.removesuffix(b"\n").partition(b" ")
        if not line.endswith(b"\n") or not blank:
            raise CorruptMaildropFile("there is a line that cannot be read")
        try:
            text = value.decode()
        except UnicodeDecodeError:
            raise CorruptMaildropFile("there is a line that is no UTF-8") from None
        if not text.isprintable():
            raise CorruptMaildropFile("there is a line with control characters")
        yield name.decode("ascii", "replace"), text
    raise CorruptMaildropFile("it has too many lines")
