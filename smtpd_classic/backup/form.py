"""The form of the archive: its names, and the options whose files it holds."""

import os
from typing import NamedTuple

from smtpd_classic.config import Config
from smtpd_classic.keys.store import dkim_folder

__all__ = [
    "CONFIG",
    "DKIM",
    "FORM",
    "HOME",
    "MAIL",
    "MANIFEST",
    "PASSWORDS",
    "SECRETS",
    "SETTINGS",
    "SPOOL",
    "Place",
    "places",
    "stays_below",
]

FORM = 1
MANIFEST = "backup.json"
CONFIG = "etc/smtpd-classic.conf"
DKIM, SPOOL, MAIL = "etc/dkim", "spool", "mail"
HOME = ".home"  # the folder of a domain in which Dovecot keeps the homes of its users
# The options of [server] that name a file of the settings, with the name of that file in the archive.
SETTINGS = {
    "users_file": "etc/users",
    "aliases_file": "etc/aliases",
    "certificate": "etc/certificate.pem",
    "private_key": "etc/key.pem",
}
# The options that name a file with a password.
PASSWORDS = {
    ("remote", "relay_password_file"): "etc/relay-password",
    ("server", "shared_state_password_file"): "etc/shared-state-password",
}
# The secrets that several servers share, beside the configuration file. Those of a single server are in its spool.
SECRETS = {"srs-secret": "etc/srs-secret", "approval-secret": "etc/approval-secret"}


class Place(NamedTuple):
    """A name in the archive, and the file or folder that belongs there."""

    name: str
    path: str


def stays_below(name: str) -> bool:
    """Return True if a relative name leads nowhere but below its folder."""
    return not {"..", ".", ""} & set(name.split("/"))


def places(config: Config) -> tuple[Place, ...]:
    """Return the places of a server, the settings first."""
    server = config.server
    settings = tuple(Place(name, getattr(server, option)) for option, name in SETTINGS.items())
    secrets = tuple(Place(name, os.path.join(config.secret_folder, file)) for file, name in SECRETS.items())
    files = {each: str(getattr(getattr(config, each[0]), each[1])) for each in PASSWORDS}
    passwords = tuple(Place(PASSWORDS[each], path) for each, path in files.items() if path)
    dkim = Place(DKIM, dkim_folder(os.path.abspath(config.path)))
    folders = (Place(SPOOL, server.spool_folder), Place(MAIL, server.mail_folder))
    shared = secrets if server.shared_state else ()
    return (Place(CONFIG, os.path.abspath(config.path)), *settings, *shared, *passwords, dkim, *folders)
