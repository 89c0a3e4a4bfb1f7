"""The form of the archive: its names, and the options whose files it holds."""

import os
from typing import NamedTuple

from smtpd_classic.config import Config
from smtpd_classic.keys.store import dkim_folder

__all__ = ["CONFIG", "DKIM", "FORM", "HOME", "MAIL", "MANIFEST", "SETTINGS", "SPOOL", "Place", "places", "stays_below"]

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
    dkim = Place(DKIM, dkim_folder(os.path.abspath(config.path)))
    folders = (Place(SPOOL, server.spool_folder), Place(MAIL, server.mail_folder))
    return (Place(CONFIG, os.path.abspath(config.path)), *settings, dkim, *folders)
