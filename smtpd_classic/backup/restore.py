"""Reads an archive into a place where no server is. Nothing is written before the settings in it have been checked."""

import contextlib
import json
import os
import pwd
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from smtpd_classic import atomic_file
from smtpd_classic.backup.form import (
    CONFIG,
    DKIM,
    FORM,
    HOME,
    MAIL,
    MANIFEST,
    PASSWORDS,
    SECRETS,
    SETTINGS,
    SPOOL,
    places,
    stays_below,
)
from smtpd_classic.config import Config, ConfigProblems, Problem, is_untouched, parse
from smtpd_classic.config.editing import Edited
from smtpd_classic.config.load import decoded
from smtpd_classic.keys.store import KeyStore, KeysUnreadable
from spool import Hold, Spool
from spool.entry import RESTORED
from spool.queue_id import is_queue_id

__all__ = ["NotRestored", "Restored", "restore"]

_CHUNK = 1024 * 1024
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LARGEST_MANIFEST = 4096
# The values that put a whole server into one folder.
_IN_ONE_FOLDER = {
    "spool_folder": "spool",
    "mail_folder": "mail",
    "run_folder": "run",
    "users_file": "users",
    "aliases_file": "aliases",
    "certificate": "tls/certificate.pem",
    "private_key": "tls/key.pem",
}


class NotRestored(Exception):
    """The reason why nothing was restored, as sentences."""


class Restored(NamedTuple):
    """The result: the configuration file, the numbers of files, and the ids of the queued messages, all held."""

    config_path: str
    settings: int
    queue_ids: tuple[str, ...]
    mail: int


def restore(
    archive: str, config_path: str, into: str | None, now: float, problems_of: Callable[[str], Iterable[Problem]]
) -> Restored:
    """Restore a server to the places that its configuration names, or into one folder. Raises NotRestored and OSError.

    `config_path` is the place of the configuration file unless a folder is given. `problems_of` checks the file at a
    path. If this process is root, the queue and the mailboxes belong to the user that the configuration names.
    """
    target = os.path.join(into, "smtpd-classic.conf") if into else config_path
    try:
        with tempfile.TemporaryDirectory(prefix="restore-") as folder:
            text = _checked(archive, folder, into, problems_of)
        config = parse(text, target)
        _must_be_free(config)
        return _unpack(archive, text, config, now)
    except tarfile.TarError as problem:
        raise NotRestored(f"{archive} cannot be read as a backup: {problem}.") from None
    except ConfigProblems as problem:
        raise NotRestored(str(problem)) from None


@contextlib.contextmanager
def _members(archive: str) -> Iterator[Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]]:
    """Give the members after the manifest, each harmless. Raises NotRestored, TarError, OSError."""
    with tarfile.open(archive, mode="r|*") as opened:
        first = opened.next()
        manifest = opened.extractfile(first) if first is not None and first.name == MANIFEST else None
        try:
            form = json.loads(manifest.read(_LARGEST_MANIFEST))["form"] if manifest else None
        except (ValueError, KeyError, TypeError):
            form = None
        if form != FORM:
            raise NotRestored(f"{archive} is no backup of smtpd-classic, or of a newer version of it.")
        yield ((member, opened) for member in opened if _is_harmless(member))


def _is_harmless(member: tarfile.TarInfo) -> bool:
    """Raises NotRestored for a member that no backup of ours has."""
    is_link = member.issym() and f"/{HOME}/" in member.name and stays_below(member.linkname)
    if not (member.isreg() or is_link) or not stays_below(member.name):
        raise NotRestored(f"The archive holds {member.name[:200]!r}, which no backup of smtpd-classic has.")
    return True


def _checked(archive: str, folder: str, into: str | None, problems_of: Callable[[str], Iterable[Problem]]) -> str:
    """Check the settings in a folder of their own. Return the text of the configuration file. Raises NotRestored."""
    names = {CONFIG: "smtpd-classic.conf", **{name: _IN_ONE_FOLDER[option] for option, name in SETTINGS.items()}}
    names |= {name: os.path.basename(name) for name in (*SECRETS.values(), *PASSWORDS.values())}
    found: set[str] = set()
    with _members(archive) as members:
        for member, opened in members:
            if member.name.startswith((f"{SPOOL}/", f"{MAIL}/")):
                break
            if member.name in names:
                _write(member, opened, os.path.join(folder, names[member.name]), None)
                found.add(member.name)
    path = os.path.join(folder, "smtpd-classic.conf")
    if not os.path.exists(path):
        raise NotRestored(f"{archive} holds no configuration file.")
    with open(path, "rb") as file:
        original = decoded(file.read(), path)
    staged = _in_one_folder(path, folder, found)
    moved = _in_one_folder(path, into, found) if into else original
    with open(path, "w", encoding="utf-8") as file:
        file.write(staged)
    errors = [problem for problem in problems_of(path) if problem.is_error]
    if errors:
        raise NotRestored("\n".join(map(str, errors)).replace(f"{folder}/", ""))
    return moved


def _in_one_folder(path: str, folder: str, found: set[str]) -> str:
    """Return the text with the files and folders of the server beside the configuration file, the log in `folder`. Of
    the files with passwords these are the ones that are `found` in the archive."""
    edited = Edited(path)
    for (section, option), name in PASSWORDS.items():
        if name in found:
            edited.set(section, option, os.path.basename(name))
    for option, name in _IN_ONE_FOLDER.items():
        edited.set("server", option, name)
    if edited.text("server", "log").startswith("/"):
        edited.set("server", "log", os.path.join(os.path.abspath(folder), "smtpd-classic.log"))
    return edited.file_text


def _must_be_free(config: Config) -> None:
    """Raises NotRestored if a server is there. The files of a package that was never set up are no obstacle."""
    server = config.server
    if os.path.isdir(server.spool_folder):
        lock = Spool(server.spool_folder).lock(exclusive=True)
        if lock is None:
            raise NotRestored(f"A server uses {server.spool_folder}; stop it first.")
        os.close(lock)
    settings = [place.path for place in places(config)[:-2] if place.name not in PASSWORDS.values()]
    taken = [] if is_untouched(config.path) else settings
    folders = [os.path.join(server.spool_folder, name) for name in ("new", "cur", "maildrop")]
    for path in (*taken, *folders, server.mail_folder):
        if obstacle := _first_file(path):
            raise NotRestored(
                f"{obstacle} exists. A backup is not restored over a server; move its files away, or use --into."
            )


def _first_file(path: str) -> str:
    """Return the path if it is a file, or the first file below it; blank if there is none."""
    if not os.path.isdir(path):
        return path if os.path.lexists(path) else ""
    return next((f"{above}/{names[0]}" for above, _, names in os.walk(path) if names), "")


def _unpack(archive: str, text: str, config: Config, now: float) -> Restored:
    """Write everything, the configuration file last: until then no server can start here."""
    owner = _service_user(config.server.user)
    where = {place.name: place.path for place in places(config)}
    settings, letters, config_member = 0, 0, tarfile.TarInfo(CONFIG)
    gone: set[str] = set()
    made: list[str] = []
    with _members(archive) as members:
        for member, opened in members:
            top = member.name.partition("/")[0]
            if member.name.startswith(f"{SPOOL}/gone/"):
                gone.add(os.path.basename(member.name))
                continue
            if member.name == CONFIG:
                config_member = member
            path = _path_of(member.name, where)
            if path is None or member.name == CONFIG:
                continue
            if member.name in PASSWORDS.values() and os.path.lexists(path):
                continue  # the machine has it from elsewhere, as the secrets of a container
            _make_folders(os.path.dirname(path), 0o755 if top == "etc" else 0o700, made)
            _write(member, opened, path, owner)
            settings += top == "etc"
            letters += top == MAIL and os.path.basename(os.path.dirname(path)) in {"new", "cur", ".incoming"}
    spool = Spool(config.server.spool_folder)
    for folder in (*spool.folders, config.server.mail_folder):
        _make_folders(folder, 0o700, made)
    queue_ids = _hold(spool, gone, owner, now)
    _make_folders(os.path.dirname(config.path), 0o755, made)
    _ask_dns_anew(KeyStore(where[DKIM], (owner.pw_uid, owner.pw_gid) if owner is not None else None), now)
    _give_folders(made, owner)
    os.sync()
    atomic_file.replace(config.path, text.encode())
    if owner is not None:
        os.chown(config.path, *_owner_of(config_member, owner))
    os.chmod(config.path, config_member.mode & 0o777)
    return Restored(config.path, settings + 1, queue_ids, letters)


def _ask_dns_anew(keys: KeyStore, now: float) -> None:
    """Use no key of the archive before DNS shows it: it may have been replaced since."""
    for domain in keys.domains():
        with contextlib.suppress(KeysUnreadable):  # the server and `check` report it
            keys.stop_signing(domain, now)


def _path_of(name: str, where: dict[str, str]) -> str | None:
    """Return the path of a member; None for a name that this version does not know."""
    if name in where:
        return where[name]
    above = next((each for each in (DKIM, SPOOL, MAIL) if name.startswith(f"{each}/")), None)
    return None if above is None else where[above] + name[len(above) :]


def _write(member: tarfile.TarInfo, opened: tarfile.TarFile, path: str, owner: pwd.struct_passwd | None) -> None:
    """Write one file, in place of one that a package has made. Raises OSError."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    if member.issym():
        os.symlink(member.linkname, path)
        if owner is not None:
            os.lchown(path, *_owner_of(member, owner))
        return
    source = opened.extractfile(member)
    with open(os.open(path, _CREATE, 0o600), "wb") as file:
        while source is not None and (piece := source.read(_CHUNK)):
            file.write(piece)
        file.flush()
        if owner is not None:
            os.fchown(file.fileno(), *_owner_of(member, owner))
        os.fchmod(file.fileno(), member.mode & 0o777)
        os.utime(file.fileno(), ns=(int(member.mtime * 1e9),) * 2)


def _owner_of(member: tarfile.TarInfo, owner: pwd.struct_passwd) -> tuple[int, int]:
    """Return the user and group of a file: as it was where users have files of their own, else the service user's."""
    group = 0 if member.name.startswith("etc/") and member.gname == "root" else owner.pw_gid
    if member.name.startswith(("etc/", f"{SPOOL}/maildrop/")):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(member.uname).pw_uid, group
    return owner.pw_uid, group


def _make_folders(path: str, mode: int, made: list[str]) -> None:
    """Make the missing folders of a path, and add them to `made`."""
    if not os.path.isdir(path):
        _make_folders(os.path.dirname(path), mode, made)
        os.mkdir(path, mode)
        made.append(path)


def _give_folders(made: list[str], owner: pwd.struct_passwd | None) -> None:
    """Give the new folders away when all files are in them, the inner ones first: until then only root may change them,
    so that no link can lead a file elsewhere.
    """
    for path in reversed(made) if owner is not None else ():
        assert owner is not None
        os.chown(path, owner.pw_uid, owner.pw_gid, follow_symlinks=False)


def _service_user(name: str) -> pwd.struct_passwd | None:
    """Return the user of the server; None if this process is not root, so that all files are its own."""
    if os.geteuid():
        return None
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise NotRestored(f"There is no user “{name}”, which [server] user names; make it first.") from None


def _hold(spool: Spool, gone: set[str], owner: pwd.struct_passwd | None, now: float) -> tuple[str, ...]:
    """Hold every message, because the server may have delivered it since. Return their ids."""
    for queue_id in filter(is_queue_id, gone):
        for folder in (spool.folders.new, spool.folders.cur, spool.folders.state):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{folder}/{queue_id}")
    held = tuple(listed.queue_id for listed in spool.list_by_arrival())
    for queue_id in held:
        spool.hold(queue_id, Hold(RESTORED, since=now))
        if owner is not None:
            os.chown(f"{spool.folders.state}/{queue_id}", owner.pw_uid, owner.pw_gid)
    return held
