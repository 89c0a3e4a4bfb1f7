"""`smtpd-classic init`: a server in one folder, on high ports of this machine alone.

Everything is in the folder, so that it can be tried and thrown away. Nothing else of the machine is changed.
"""

import argparse
import os
import pwd
import re
import shutil
import sys
import time

from smtpd_classic.accounts import add_account, generate_password, hash_password, set_alias
from smtpd_classic.accounts.address import account_problem
from smtpd_classic.commands.failures import Refused, guarded
from smtpd_classic.commands.new_password import confirm_weak
from smtpd_classic.config import load
from smtpd_classic.config.kinds import DOMAIN_NAME
from smtpd_classic.daemon.privileges import unreachable_for
from smtpd_classic.domain_name import ascii_domain
from smtpd_classic.keys.store import KeyStore, dkim_folder
from smtpd_classic.server.self_signed import make_self_signed
from smtpd_classic.server.tls import CertificateProblem

__all__ = ["HELP", "add_arguments", "run"]

HELP = "make a server of your own in a folder"
_NAME = "smtpd-classic.conf"
_FOLDERS = ("spool", "mail", "run", "log", "tls")

_TEXT = """\
# A server of its own in this folder, made by “smtpd-classic init”.
# smtpd-classic.conf(5) tells of all options.

[server]
primary_domain = {domain}
user = {user}
spool_folder = spool
mail_folder = mail
run_folder = run
users_file = users
aliases_file = aliases
certificate = tls/certificate.pem
private_key = tls/key.pem
log = {folder}/log/smtpd-classic.log

# For mail from other servers; users may log in too.
[listener smtp]
address = 127.0.0.1, ::1
port = 2525
tls = starttls
auth = offered

# For users, who have to log in.
[listener submission]
address = 127.0.0.1, ::1
port = 2587
tls = starttls
auth = required

# The same with TLS from the first byte.
[listener submissions]
address = 127.0.0.1, ::1
port = 2465
tls = implicit
auth = required
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="made unless it is there and empty")
    parser.add_argument("--domain", type=_domain, default="example.test", help="the primary domain (%(default)s)")
    parser.add_argument("--user", metavar="NAME", help="the name of the first account (yours)")
    parser.add_argument("--password-stdin", action="store_true", help="read its password from the first line of stdin")
    parser.add_argument("--force", action="store_true", help="set a weak password too")
    parser.add_argument("--no-hint", action="store_true", help="do not say how to start the server")


def _domain(text: str) -> str:
    try:
        return DOMAIN_NAME.parse(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


def run(args: argparse.Namespace) -> int:
    return guarded(lambda: _init(args))


def _init(args: argparse.Namespace) -> int:
    folder = os.path.realpath(args.folder)
    owner = _owner(folder)
    if os.path.isdir(folder) and os.listdir(folder):
        raise Refused(f"{folder} is not empty; nothing in it has been touched.", os.EX_CANTCREAT)
    address = f"{args.user or _login_name()}@{args.domain}".lower()
    if wrong := account_problem(address):
        raise Refused(wrong, os.EX_DATAERR)
    password = sys.stdin.readline().rstrip("\r\n") if args.password_stdin else generate_password()
    if password and args.password_stdin and not args.force:
        confirm_weak(password, address, ask=False)
    stored = _hashed(password)
    try:
        _make(folder, args.domain, owner.pw_name if owner else _own_name())
        _fill(folder, args.domain, address, stored)
        if owner is not None:
            _give_all(folder, owner)
    except BaseException:
        _clear(folder)  # half an instance would be in the way of the next try
        raise
    print(f"login:    {address}")
    if not args.password_stdin:
        print(f"password: {password}", flush=True)
        print("The password is not shown again; “smtpd-classic user password” sets another.", file=sys.stderr)
    if not args.no_hint:
        print(f"Made {folder}. Next, start it: smtpd-classic --config {folder}/{_NAME} serve", file=sys.stderr)
    return os.EX_OK


def _owner(folder: str) -> pwd.struct_passwd | None:
    """Return the owner of a new instance: None for ourselves, or an ordinary user when we are root."""
    if os.geteuid() != 0:
        return None
    names = (os.environ.get("SUDO_USER", ""), "nobody")
    owner = next((found for found in map(_user, names) if found is not None and found.pw_uid and found.pw_gid), None)
    if owner is None:
        raise Refused("root needs a user without privileges to run the server as, and there is none.", os.EX_NOUSER)
    for path in (os.path.dirname(folder), os.path.dirname(__file__), sys.executable):
        closed = unreachable_for(owner, path)
        if closed:
            raise Refused(
                f"the server does not stay root but becomes {owner.pw_name}, who cannot enter {closed}: "
                "choose a place that every user may enter, such as below /srv or /tmp, or do this as an ordinary user.",
                os.EX_NOPERM,
            )
    return owner


def _user(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name) if name else None
    except KeyError:
        return None


def _login_name() -> str:
    """Return the login name of the user, reduced to a valid local part."""
    name = re.sub(r"[^a-z0-9_.-]", "", (os.environ.get("SUDO_USER") or _own_name()).lower()).strip(".-")
    return name if name and ".." not in name else "you"


def _own_name() -> str:
    """Return the user name of this process. A container may run it under a number that has none."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return "you"


def _hashed(password: str) -> str:
    try:
        return hash_password(password)
    except ValueError as problem:
        raise Refused(str(problem), os.EX_DATAERR) from None


def _make(folder: str, domain: str, user: str) -> None:
    os.makedirs(folder, mode=0o755, exist_ok=True)
    for name in _FOLDERS:
        os.mkdir(os.path.join(folder, name), 0o755 if name == "run" else 0o700)
    for name in (_NAME, "users", "aliases"):
        fd = os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(fd, "w", encoding="utf-8") as file:
            if name == _NAME:
                file.write(_TEXT.format(domain=domain, user=user, folder=folder))


def _fill(folder: str, domain: str, address: str, stored: str) -> None:
    config = load(os.path.join(folder, _NAME))
    add_account(config, address, stored)
    set_alias(config, f"postmaster@{domain}", [address])
    KeyStore(dkim_folder(config.path)).add(ascii_domain(domain), "rsa2048", time.time())
    _make_certificate(config.server.certificate, config.server.private_key, domain)


def _clear(folder: str) -> None:
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        path = os.path.join(folder, name)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)


def _make_certificate(certificate: str, key: str, domain: str) -> None:
    try:
        make_self_signed(certificate, key, (domain, "localhost", "127.0.0.1", "::1"))
    except CertificateProblem as problem:
        raise Refused(str(problem), os.EX_UNAVAILABLE) from None


def _give_all(folder: str, owner: pwd.struct_passwd) -> None:
    """Give the folder to its owner. No other user could write into it so far: it was empty, and owned by root."""
    os.chown(folder, owner.pw_uid, owner.pw_gid)
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(os.path.join(place, name), owner.pw_uid, owner.pw_gid, follow_symlinks=False)
