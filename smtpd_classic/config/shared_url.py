"""The address of the shared state: a URL as redis-py has it, and one for Sentinel."""

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from smtpd_classic.config.kind import MASK, Kind, one_line

__all__ = ["SHARED_STATE", "SharedUrl", "parse_shared_url"]

_SCHEMES = ("redis", "rediss", "unix", "sentinel")
_FORMS = "redis://HOST:6379/0, rediss://HOST:6379/0, unix:///PATH?db=0 or sentinel://HOST:26379,HOST:26379/NAME/0"
_PARAMETER = re.compile(r"db|ssl_[a-z_]+")
_PASSWORD = re.compile(r"(?<=://)([^/:]*):([^/]*)(?=@)")


class SharedUrl(NamedTuple):
    """The parts of the URL. `hosts` are those of Sentinel, and `service` is the name that it watches."""

    scheme: str
    text: str
    plain: str
    """The URL without user and password, for the log."""
    user: str = ""
    password: str = ""
    hosts: tuple[tuple[str, int], ...] = ()
    service: str = ""
    database: int = 0


def parse_shared_url(text: str) -> SharedUrl:
    """Return the parts. Raises ValueError."""
    try:
        parts = urlsplit(one_line(text.strip()))
        database = _database(parts.path, parts.query, parts.scheme)
        login, _, place = parts.netloc.rpartition("@")
        user, _, password = login.partition(":")
        found = SharedUrl(
            parts.scheme,
            text.strip(),
            f"{parts.scheme}://{place}{parts.path}",
            unquote(user),
            unquote(password),
            database=database,
        )
        if parts.scheme == "sentinel":
            hosts = tuple(_host_and_port(each) for each in place.split(","))
            return found._replace(hosts=hosts, service=parts.path.split("/")[1])
        if parts.scheme == "unix":
            is_whole = not place and parts.path.startswith("/")
        else:
            is_whole = parts.scheme in _SCHEMES and bool(parts.hostname) and (parts.port or 6379) > 0
    except (ValueError, IndexError):
        raise ValueError(f"this is no address of a shared state, such as {_FORMS}.") from None
    if not is_whole:
        raise ValueError(f"this is no address of a shared state, such as {_FORMS}.")
    return found


def _database(path: str, query: str, scheme: str) -> int:
    """Return the number of the database. Raises ValueError, also for parameters that would undo our deadline."""
    parameters = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=True)) if query else {}
    if (scheme == "sentinel" and query) or any(not _PARAMETER.fullmatch(name) for name in parameters):
        raise ValueError
    word = "" if scheme == "unix" else "/".join(path.split("/")[2 if scheme == "sentinel" else 1 :])
    word = parameters.get("db") or word or "0"
    if not re.fullmatch(r"[0-9]{1,5}", word):
        raise ValueError
    return int(word)


def _host_and_port(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError
    return parts.hostname, parts.port or 26379


def _parse(text: str) -> str:
    if text.strip():
        parse_shared_url(text)
    return text.strip()


def _mask(text: str) -> str:
    return _PASSWORD.sub(rf"\1:{MASK}", text)


SHARED_STATE = Kind(f"URL, or blank: {_FORMS}", _parse, str, "redis://192.0.2.10:6379/0", mask=_mask)
