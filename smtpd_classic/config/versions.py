"""The versions of the configuration file that were in force before, kept beside it in `versions/`."""

import os
import pwd
import stat
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

from smtpd_classic import atomic_file

__all__ = ["Version", "forget", "keep", "versions"]

_KEPT = 20
_WHO = "user.smtpd-classic.who"
_STAMP = "%Y%m%dT%H%M%S.%fZ"


class Version(NamedTuple):
    """`name` is the file's name in `versions/`; `at` is when it ceased to be in force.

    `who` is the user whose change ended it; blank if the file system keeps no extended attributes.
    """

    name: str
    path: str
    at: datetime
    size: int
    who: str = ""


def versions(path: str | os.PathLike[str]) -> tuple[Version, ...]:
    """The kept versions of a file, the latest first. Raises OSError when there is no right to look."""
    target = os.path.realpath(path)
    prefix = os.path.basename(target) + "."
    found: list[Version] = []
    with suppress(FileNotFoundError), os.scandir(_folder(target)) as entries:
        for entry in entries:
            at = _time_of(entry.name.removeprefix(prefix)) if entry.name.startswith(prefix) else None
            if at is not None:
                found.append(Version(entry.name, entry.path, at, entry.stat().st_size, _who_of(entry.path)))
    return tuple(sorted(found, key=lambda version: version.name, reverse=True))


def keep(path: str, data: bytes) -> str:
    """Keep the present text of a file as a version, and forget the oldest; return its name. Raises OSError."""
    target = os.path.realpath(path)
    owner = os.stat(target)
    folder = _folder(target)
    with suppress(FileExistsError):
        os.mkdir(folder, 0o750)
        os.chown(folder, owner.st_uid, owner.st_gid)
    name = f"{os.path.basename(target)}.{datetime.now(UTC).strftime(_STAMP)}"
    kept = os.path.join(folder, name)
    atomic_file.replace(kept, data)
    os.chown(kept, owner.st_uid, owner.st_gid)
    os.chmod(kept, stat.S_IMODE(owner.st_mode) & 0o640)
    with suppress(OSError):  # not every file system keeps it
        os.setxattr(kept, _WHO, _this_user().encode("utf-8", "replace")[:100])
    for old in versions(target)[_KEPT:]:
        with suppress(FileNotFoundError):
            os.unlink(old.path)
    return name


def forget(path: str | os.PathLike[str], name: str) -> None:
    """Remove one kept version, if it is there. Raises OSError."""
    for version in versions(path):
        if version.name == name:
            with suppress(FileNotFoundError):
                os.unlink(version.path)


def _folder(target: str) -> str:
    return os.path.join(os.path.dirname(target), "versions")


def _time_of(stamp: str) -> datetime | None:
    try:
        return datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None


def _who_of(path: str) -> str:
    try:
        return os.getxattr(path, _WHO).decode("utf-8", "replace")
    except OSError:
        return ""


def _this_user() -> str:
    """Return the name of the user that this process works for; under sudo(8), that of its caller."""
    caller = os.environ.get("SUDO_USER", "") if os.geteuid() == 0 else ""
    if caller:
        return caller
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
