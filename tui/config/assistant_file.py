"""The questions of the first-run assistant, and the file, account and alias that it makes from the answers."""

import os
import pwd
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from smtpd_classic.accounts import (
    add_account,
    delete_account,
    generate_password,
    hash_password,
    list_accounts,
    list_aliases,
    set_alias,
)
from smtpd_classic.config import Config, ConfigProblems, parse
from smtpd_classic.config.editing import Edited, create, start_over
from smtpd_classic.config.kinds import DOMAIN_NAME, OPTIONAL_DOMAIN_NAME, RELAY_HOSTS, SECRET, TEXT, choice
from smtpd_classic.config.option import Option
from smtpd_classic.config.sample import sample
from tui.config.config_file import checked
from tui.shell.fields_dialog import Values, entry

__all__ = ["PAGES", "NewConfiguration", "Page", "as_rows", "guesses", "make", "make_again", "text_of", "user_exists"]

DIRECT, RELAY = "to the servers of the recipients", "through a relay (smarthost)"
NETWORK, LOOPBACK = "everyone, on ports 25, 587, 465", "this machine, on ports 2525, 2587, 2465"
SYSTEM, BESIDE = "in the system's folders", "beside this file"


class Page(NamedTuple):
    title: str
    text: str
    questions: tuple[Option, ...]


PAGES = (
    Page(
        "Names",
        "For which domain is this server, and under which name is it known on the Internet?",
        (
            entry("domain", DOMAIN_NAME, "Domain", "The part of your addresses behind the @.", required=True),
            entry("host", OPTIONAL_DOMAIN_NAME, "Host name", "The name of this machine in DNS. Blank: the domain."),
        ),
    ),
    Page(
        "First account",
        "Your own mailbox. Mail for the postmaster will be put into it.",
        (
            entry("user", TEXT, "User", "The part before the @.", required=True),
            entry("full_name", TEXT, "Full name", "Your name."),
            entry("password", SECRET, "Password", "Blank: a good one is made up and shown once."),
        ),
    ),
    Page(
        "TLS",
        "The certificate of this host. Without one, the server signs one itself at its first start: mail is then "
        "encrypted all the same, but programs of users will complain.",
        (
            entry("certificate", TEXT, "Certificate file", "The chain in PEM form. Blank: self-signed."),
            entry("key", TEXT, "Private key file", "Its key in PEM form. Blank: self-signed."),
        ),
    ),
    Page(
        "Sending",
        "How does mail for others leave? Many providers block port 25; then it must go through their relay.",
        (
            entry("way", choice(DIRECT, RELAY), "Mail for others goes", "Directly, or through a relay."),
            entry("relay", RELAY_HOSTS, "Relay", "Its name, with :PORT unless it is 25. Only for a relay."),
            entry("relay_user", TEXT, "User at the relay", "Blank: it wants no login."),
            entry("relay_password", SECRET, "Password at the relay", "With a login TLS is always required."),
        ),
    ),
    Page(
        "Place",
        "Who may connect, and where are mail and queue kept?",
        (
            entry("reach", choice(NETWORK, LOOPBACK), "Who may connect", "Ports under 1024 need root."),
            entry("place", choice(SYSTEM, BESIDE), "Mail and queue", "An ordinary user has them beside the file."),
            entry(
                "service", TEXT, "Service user", "Root becomes this user for good, and it owns the mail. Only for root."
            ),
        ),
    ),
)


class NewConfiguration(NamedTuple):
    """The result. `made_up`: the password was generated here. `existed`: the account existed and is unchanged."""

    config: Config
    login: str
    password: str
    made_up: bool
    existed: bool = False


def guesses() -> dict[str, str]:
    """Return likely answers as defaults."""
    answers = {option.name: "" for page in PAGES for option in page.questions}
    host = socket.getfqdn().lower()
    domain = host.partition(".")[2] if host.count(".") > 1 else host
    if _is_domain(domain):
        answers |= {"domain": domain, "host": host}
    certificate = f"/etc/letsencrypt/live/{host}"
    if os.path.exists(f"{certificate}/fullchain.pem"):
        answers |= {"certificate": f"{certificate}/fullchain.pem", "key": f"{certificate}/privkey.pem"}
    root = os.geteuid() == 0
    service = next((name for name in ("smtpdc", os.environ.get("SUDO_USER", "")) if user_exists(name)), "smtpdc")
    places = {
        "service": service if root else "",
        "reach": NETWORK if root else LOOPBACK,
        "place": SYSTEM if root else BESIDE,
    }
    return answers | places | {"user": _user(), "way": DIRECT}


def _is_domain(text: str) -> bool:
    try:
        return "." in DOMAIN_NAME.parse(text)
    except ValueError:
        return False


def user_exists(name: str) -> bool:
    try:
        return pwd.getpwnam(name).pw_uid != 0
    except KeyError:
        return False


def _user() -> str:
    try:
        name = os.environ.get("SUDO_USER") or pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return ""
    return "" if name == "root" else name


def text_of(answers: Values, path: str) -> str:
    """Return the commented sample file with the answers in it. Raises ConfigProblems if the server would refuse it."""
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "draft"
        draft.write_text(sample(), encoding="utf-8")
        draft.chmod(0o600)
        edited = Edited(draft)
        for title, name, text in _settings(answers, path):
            edited.set(title, name, text)
    text = edited.file_text
    _, problems = checked(text, path)
    errors = [each for each in problems if each.is_error]
    if errors:
        raise ConfigProblems(errors)
    return text


def _settings(answers: Values, path: str) -> list[tuple[str, str, str]]:
    found = [("server", "primary_domain", answers["domain"])]
    if answers["host"] and answers["host"] != answers["domain"]:
        found.append(("basic", "helo_name", answers["host"]))
    if answers["service"]:
        found.append(("server", "user", answers["service"]))
    if answers["certificate"]:
        found += [("server", "certificate", answers["certificate"]), ("server", "private_key", answers["key"])]
    if answers["place"] == BESIDE:
        found += [("server", f"{name}_folder", name) for name in ("spool", "mail", "run")]
        found.append(("server", "log", os.path.join(os.path.dirname(path), "smtpd-classic.log")))
    if answers["reach"] == LOOPBACK:
        for name, port in (("smtp", "2525"), ("submission", "2587"), ("submissions", "2465")):
            found += [(f"listener {name}", "address", "127.0.0.1, ::1"), (f"listener {name}", "port", port)]
    if answers["way"] == RELAY:
        relay = {"relay_always": "yes", "look_up_mx": "no", "relay_hosts": answers["relay"]}
        if answers["relay_user"]:
            login = {"relay_user": answers["relay_user"], "relay_password": answers["relay_password"]}
            relay |= {"relay_auth": "yes"} | login
        found += [("remote", name, text) for name, text in relay.items()]
    return found


def make(answers: Values, path: str) -> NewConfiguration:
    """Write the file, the account and the alias of postmaster; change nothing that exists.

    A failure removes everything that this run has made. Raises ConfigProblems, EditRefused or OSError (FileExistsError
    if there is a configuration already).
    """
    text = text_of(answers, path)
    config = parse(text, path)
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    create(path, text)
    try:
        _give_to_service(path, config)
        return _make_account(answers, config)
    except BaseException:
        os.unlink(path)  # this call made it, under the lock
        raise


def make_again(answers: Values, path: str) -> tuple[NewConfiguration, str]:
    """Replace an existing file by the answers; return the result and the name of the version with the old file.

    Existing accounts and aliases stay unchanged. Raises ConfigProblems, EditRefused, LockHeld or OSError; the file is
    unchanged then.
    """
    text = text_of(answers, path)
    config = parse(text, path)
    made = _make_account(answers, config)
    try:
        return made, start_over(path, text)
    except BaseException:
        if not made.existed:
            delete_account(config, made.login)
        raise


def _make_account(answers: Values, config: Config) -> NewConfiguration:
    """Add the first account and the alias of postmaster, unless they exist. Raises EditRefused or OSError."""
    login = f"{answers['user']}@{answers['domain']}" if "@" not in answers["user"] else answers["user"]
    if os.path.exists(config.server.users_file) and any(
        account.address == login.lower() for account in list_accounts(config)
    ):
        made = NewConfiguration(config, login.lower(), answers["password"], made_up=False, existed=True)
    else:
        password = answers["password"] or generate_password()
        login = add_account(config, login, hash_password(password), full_name=answers["full_name"])
        made = NewConfiguration(config, login, password, made_up=not answers["password"])
    postmaster = f"postmaster@{answers['domain']}"
    try:
        known = os.path.exists(config.server.aliases_file) and any(
            name == postmaster for name, _ in list_aliases(config)
        )
        if made.login != postmaster and not known:
            set_alias(config, postmaster, [made.login])
    except BaseException:
        if not made.existed:
            delete_account(config, made.login)
        raise
    return made


def _give_to_service(path: str, config: Config) -> None:
    """Let root own the file and the service group read it: it has secrets, and the server must not change it."""
    if os.geteuid() != 0:
        return
    try:
        group = pwd.getpwnam(config.server.user).pw_gid
    except KeyError:
        return  # the server's check reports the missing user
    os.chown(path, 0, group)
    os.chmod(path, 0o640)


def as_rows(answers: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the answers as rows of the summary."""
    relay = f"{answers['way']}{': ' + answers['relay'] if answers['way'] == RELAY else ''}"
    return [
        ("Domain", answers["domain"]),
        ("Host name", answers["host"] or answers["domain"]),
        ("First account", f"{answers['user']}@{answers['domain']}"),
        ("Certificate", answers["certificate"] or "self-signed at the first start"),
        ("Mail for others", relay),
        ("Reached by", answers["reach"]),
        ("Mail and queue", answers["place"]),
    ]
