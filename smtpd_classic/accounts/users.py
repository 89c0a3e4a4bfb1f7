"""The users file: Dovecot's passwd-file, one account a line.

    joe@example.org:{ARGON2ID}$argon2id$…:uid:gid:Joe Doe:home::userdb_quota_rule=*:bytes=1000000 …

A Dovecot beside us reads the same file: `driver = passwd-file` and `args = username_format=%u FILE` in `passdb` and in
`userdb`. The fields that Dovecot does not know are written so that it still does the right thing:

- The full name is the gecos field. uid, gid, home and shell are Dovecot's: kept as they are, blank in new lines.
- `userdb_quota_rule=*:bytes=N` is the quota for both.
- `userdb_smtpd_status=disabled` or `suspended` is our status. Such an account also has “!” in front of its hash, as in
  /etc/shadow: Dovecot then takes it for a crypt(3) hash that no password fits, and the hash is still there for the day
  when the account is normal again. A “!” alone, or Dovecot's `nologin`, means suspended.
- `userdb_smtpd_may_send_as=a@example.org,*@example.net`: Dovecot ignores it.
- `userdb_smtpd_forward_only=yes`: an alias of the same name takes the place of the mailbox.
- `userdb_smtpd_junk_folder=.Spam`: its junk folder, if that is another one than the server's; `inbox` for none.
- Fields that are none of these, comments and the order of lines survive every edit.
"""

import re
from typing import NamedTuple

from smtpd_classic.accounts.account import DISABLED, NORMAL, STATUSES, SUSPENDED
from smtpd_classic.accounts.passwords import LOCK
from smtpd_classic.config.kinds import JUNK_FOLDER

__all__ = ["INBOX", "UserLine", "edited_line", "is_locked", "junk_folder", "new_line", "parse_line"]

QUOTA, STATUS, MAY_SEND_AS = "userdb_quota_rule", "userdb_smtpd_status", "userdb_smtpd_may_send_as"
FORWARD_ONLY, OWN_JUNK_FOLDER = "userdb_smtpd_forward_only", "userdb_smtpd_junk_folder"
INBOX = "inbox"  # in place of the name of a junk folder
_UNITS = {"": 1, "B": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


class UserLine(NamedTuple):
    """The fields of one line; addresses are not yet completed, and the hash is without its lock."""

    name: str
    password: str
    full_name: str = ""
    status: str = NORMAL
    quota: int = 0
    may_send_as: tuple[str, ...] = ()
    forward_only: bool = False
    junk_folder: str = ""


def parse_line(line: str) -> UserLine:
    """Return the account of a line that is neither blank nor a comment. Raises ValueError with one sentence."""
    fields = line.split(":", 7)
    if len(fields) < 2 or not fields[0]:
        raise ValueError("this is not an account: write user@domain:{ARGON2ID}hash.")
    name, password, full_name = fields[0], fields[1], fields[4] if len(fields) > 4 else ""
    status, quota = NORMAL, 0
    grants: tuple[str, ...] = ()
    forward_only, own_junk_folder = False, ""
    for word in fields[7].split() if len(fields) > 7 else ():
        key, _, value = word.partition("=")
        if key == QUOTA:
            quota = _quota(value) or quota
        elif key == STATUS:
            status = _status(value)
        elif key == MAY_SEND_AS:
            grants = tuple(item for item in value.split(",") if item)
        elif key == FORWARD_ONLY:
            forward_only = value == "yes"
        elif key == OWN_JUNK_FOLDER:
            own_junk_folder = junk_folder(value)
        elif key == "nologin" and status == NORMAL:
            status = SUSPENDED
    if password.startswith(LOCK):
        password, status = password[len(LOCK) :], DISABLED if status == DISABLED else SUSPENDED
    return UserLine(name, password, full_name, status, quota, grants, forward_only, own_junk_folder)


def junk_folder(text: str) -> str:
    """Return the junk folder of an account as the file has it; blank for the server's. Raises ValueError."""
    name = text.strip()
    if name.lower() == INBOX:
        return INBOX
    if any(char.isspace() for char in name):
        raise ValueError(f"“{name}” has a blank; the users file cannot hold such a name of a folder.")
    return JUNK_FOLDER.parse(name)


def is_locked(line: str) -> bool:
    """Return True if a Dovecot beside us refuses every login of this line."""
    return line.split(":", 2)[1].startswith(LOCK) or "nologin" in line


def _status(text: str) -> str:
    if text not in STATUSES:
        raise ValueError(f"“{text}” is not a status; there are {', '.join(STATUSES)}.")
    return text


def _quota(rule: str) -> int:
    """Return the bytes of a quota rule for the whole mailbox, `*:bytes=N` or `*:storage=N` (in KiB without a unit)."""
    folder, *limits = rule.split(":")
    if folder != "*":
        return 0
    for limit in limits:
        key, _, value = limit.partition("=")
        if key in {"bytes", "storage"}:
            match = re.fullmatch(r"(\d{1,15})([BKMGT]?)", value.upper(), re.ASCII)
            if not match:
                raise ValueError(f"“{rule}” is not a quota: write *:bytes=NUMBER.")
            return int(match[1]) * (1024 if key == "storage" and not match[2] else _UNITS[match[2]])
    return 0


def new_line(user: UserLine) -> str:
    return edited_line(f"{user.name}:" + ":" * 6, user)


def edited_line(line: str, user: UserLine) -> str:
    """Return the line with the fields of `user`; fields that are not ours stay as they are."""
    fields = line.split(":", 7)
    fields += [""] * (8 - len(fields))
    fields[1] = (LOCK if user.status != NORMAL else "") + user.password
    fields[4] = user.full_name
    fields[7] = " ".join(_extra(fields[7].split(), user))
    return ":".join(fields)


def _extra(words: list[str], user: UserLine) -> list[str]:
    ours = {
        QUOTA: f"*:bytes={user.quota}" if user.quota else "",
        STATUS: user.status if user.status != NORMAL else "",
        MAY_SEND_AS: ",".join(user.may_send_as),
        FORWARD_ONLY: "yes" if user.forward_only else "",
        OWN_JUNK_FOLDER: user.junk_folder,
    }
    kept = []
    for word in words:
        key, _, value = word.partition("=")
        if key == QUOTA and not value.startswith("*:"):
            kept.append(word)  # the rule of one folder, which is Dovecot's alone
        elif key == QUOTA and _quota(value) == user.quota:
            kept.append(word)  # it says the same in other words, and perhaps more
            ours[QUOTA] = ""
        elif key not in ours and not (key == "nologin" and user.status == NORMAL):
            kept.append(word)
    return kept + [f"{key}={value}" for key, value in ours.items() if value]
