"""Giving up root, once and for good, and the folders that have to belong to the service user before."""

import os
import pwd
import stat

__all__ = ["PrivilegeProblem", "drop", "give", "make_folder", "service_user", "unreachable_for"]


class PrivilegeProblem(Exception):
    """Why the server cannot run as it should; the text is a sentence for the administrator."""


def service_user(name: str) -> pwd.struct_passwd | None:
    """Return the user that a server started as root must become; None if it was not started as root.

    Raises PrivilegeProblem when there is no such user, or it is root: nothing that talks to strangers runs as root.
    """
    if os.geteuid() != 0:
        return None
    try:
        user = pwd.getpwnam(name)
    except (KeyError, ValueError):
        raise PrivilegeProblem(
            f"There is no user “{name}”, which [server] user names; make it with “useradd --system {name}”."
        ) from None
    if user.pw_uid == 0 or user.pw_gid == 0:
        raise PrivilegeProblem(f"[server] user is “{name}”, which is root; name a user without privileges.")
    return user


def drop(user: pwd.struct_passwd | None) -> None:
    """Become the service user; from here there is no way back. Raises PrivilegeProblem when there would be one."""
    os.umask(0o077)
    if user is None:
        return
    os.initgroups(user.pw_name, user.pw_gid)
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    if os.getresuid() != (user.pw_uid,) * 3 or os.getresgid() != (user.pw_gid,) * 3 or _can_be_root():
        raise PrivilegeProblem("Root could be regained after giving it up; not going on.")
    os.environ.update(HOME=user.pw_dir, USER=user.pw_name, LOGNAME=user.pw_name)


def _can_be_root() -> bool:
    for regain in (os.setuid, os.seteuid, os.setgid):
        try:
            regain(0)
        except PermissionError:
            continue
        return True
    return 0 in os.getgroups()


def make_folder(path: str, user: pwd.struct_passwd | None, mode: int) -> None:
    """Make a folder, with those above it, that the service user owns. Raises PrivilegeProblem.

    One that root owns is given away; one that belongs to another user is left alone and refused.
    """
    try:
        parent = os.path.dirname(path)
        if parent:
            os.makedirs(parent, mode=0o755, exist_ok=True)
        if not os.path.lexists(path):
            os.mkdir(path, mode)
        if not os.path.isdir(path):
            raise PrivilegeProblem(f"{path} is no folder.")
        give(path, user)
    except OSError as problem:
        raise PrivilegeProblem(f"{path} cannot be made: {problem.strerror}.") from None
    owner = os.stat(path).st_uid
    mine = os.geteuid() if user is None else user.pw_uid
    if owner != mine:
        raise PrivilegeProblem(
            f"{path} belongs to user {_name_of(owner)} and not to {_name_of(mine)}, the user of the server."
        )


def give(path: str, user: pwd.struct_passwd | None) -> None:
    """Make the service user the owner of a file or folder that root owns now. Raises OSError.

    Through a descriptor and never through a link: the folder it is in may be writable by others.
    """
    if user is None:
        return
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        single = stat.S_ISDIR(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_nlink == 1)
        if found.st_uid == 0 and single:
            os.fchown(fd, user.pw_uid, user.pw_gid)
    finally:
        os.close(fd)


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def unreachable_for(user: pwd.struct_passwd, path: str) -> str:
    """Return the first folder on the way to `path`, or `path` itself, that the user may not enter; blank for none.

    By the mode bits alone: access lists and mount options are not looked at.
    """
    groups = set(os.getgrouplist(user.pw_name, user.pw_gid))
    parts = os.path.realpath(path).split(os.sep)
    for number in range(2, len(parts) + 1):
        step = os.sep.join(parts[:number])
        try:
            found = os.stat(step)
        except FileNotFoundError:
            return ""
        own = 0o100 if found.st_uid == user.pw_uid else 0o010 if found.st_gid in groups else 0o001
        if not found.st_mode & own and stat.S_ISDIR(found.st_mode):
            return step
    return ""
