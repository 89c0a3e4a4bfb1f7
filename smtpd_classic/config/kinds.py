"""Kinds of option: how a value reads in the file, in the manual and in a form.

A kind is a record of functions, not a class to inherit from. `parse` raises ValueError with one sentence that says what
was meant; `format` gives the text that `parse` takes back. Nothing here knows an option by name.
"""

import ipaddress
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, TypeVar

__all__ = [
    "ADDRESS",
    "ADDRESSES",
    "BOOLEAN",
    "DOMAINS",
    "DOMAIN_NAME",
    "DOMAIN_PATTERNS",
    "DURATION",
    "FACTOR",
    "HOSTS",
    "IP_ADDRESSES",
    "LOG_TARGET",
    "NAME_SERVERS",
    "NETWORKS",
    "OPTIONAL_DOMAIN_NAME",
    "PATH",
    "PATTERN",
    "PORT",
    "RELAY_HOSTS",
    "REPLACEMENT",
    "SECRET",
    "SENDER_ADDRESS",
    "SIZE",
    "TEXT",
    "WORD",
    "Host",
    "Kind",
    "Network",
    "choice",
    "number",
    "optional_number",
]

T = TypeVar("T")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MASK = "********"


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """How values of one type are named, read, written and chosen.

    `name` is what the manual calls it ("duration"); `example` is a value that a person could type; `choices` is empty
    unless the value is one of few; `many` marks values that are a list of items, one a line in a form; `mask` hides
    what nobody may read over a shoulder and is None for kinds without a secret.
    """

    name: str
    parse: Callable[[str], T]
    format: Callable[[T], str]
    example: str
    choices: tuple[str, ...] = ()
    many: bool = False
    mask: Callable[[str], str] | None = None


@dataclass(frozen=True, slots=True)
class Host:
    """A server that mail is handed to; `port` 0 means the default of the option, `user` blank means no login."""

    name: str
    port: int = 0
    ssl: bool = False
    user: str = ""
    password: str = field(default="", repr=False)


def _one_line(text: str) -> str:
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise ValueError("control characters and line ends are not allowed here.")
    return text


def _boolean(text: str) -> bool:
    word = text.strip().lower()
    if word in {"yes", "on", "true", "1"}:
        return True
    if word in {"no", "off", "false", "0"}:
        return False
    raise ValueError(f"“{text}” is neither yes nor no.")


BOOLEAN = Kind("yes or no", _boolean, lambda value: "yes" if value else "no", "yes", choices=("yes", "no"))


def _whole(text: str, least: int, most: int) -> int:
    try:
        value = int(text)
    except ValueError:
        raise ValueError(f"“{text}” is not a whole number.") from None
    if not least <= value <= most:
        raise ValueError(f"{value} is not between {least} and {most}.")
    return value


def number(least: int, most: int) -> Kind[int]:
    return Kind(
        f"number from {least} to {most}",
        lambda text: _whole(text, least, most),
        str,
        str(max(least, min(100, most))),
    )


def optional_number(least: int, most: int) -> Kind[int | None]:
    """A number that may be left blank (None)."""
    return Kind(
        f"number from {least} to {most}, or blank",
        lambda text: _whole(text, least, most) if text.strip() else None,
        lambda value: "" if value is None else str(value),
        str(max(least, min(3, most))),
    )


PORT = Kind("port number", lambda text: _whole(text, 1, 65535), str, "25")


def _factor(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"“{text}” is not a number.") from None
    if not 1 <= value <= 10:
        raise ValueError(f"{text} is not between 1 and 10.")
    return value


FACTOR = Kind("factor from 1 to 10", _factor, lambda value: f"{value:g}", "2")


def choice(*words: str) -> Kind[str]:
    def parse(text: str) -> str:
        word = text.strip().lower()
        if word not in words:
            raise ValueError(f"“{text}” is none of {', '.join(words)}.")
        return word

    return Kind("one of " + ", ".join(words), parse, str, words[0], choices=words)


_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def _duration(text: str) -> timedelta:
    stripped = text.strip().lower()
    if stripped == "0":
        return timedelta(0)
    if not re.fullmatch(r"(\d{1,9}\s*[smhdw]\s*)+", stripped, re.ASCII):
        raise ValueError(f"“{text}” is not a duration: write a number and s, m, h, d or w, as in 30m, 4h or 5d.")
    total = sum(int(amount) * _SECONDS[unit] for amount, unit in re.findall(r"(\d+)\s*([smhdw])", stripped))
    if total > 10 * 365 * 86400:
        raise ValueError(f"“{text}” is longer than ten years.")
    return timedelta(seconds=total)


def _duration_text(value: timedelta) -> str:
    seconds = int(value.total_seconds())
    if seconds == 0:
        return "0"
    for unit in ("d", "h", "m"):
        if seconds % _SECONDS[unit] == 0:
            return f"{seconds // _SECONDS[unit]}{unit}"
    return f"{seconds}s"


DURATION = Kind("duration", _duration, _duration_text, "30m")

_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d{1,15})\s*([kKmMgGtT]?)[iI]?[bB]?", text.strip(), re.ASCII)
    if not match:
        raise ValueError(f"“{text}” is not a size: write bytes, or a number and K, M or G, as in 25M.")
    return int(match[1]) * _UNITS[match[2].upper()]


def _size_text(value: int) -> str:
    for unit in ("T", "G", "M", "K"):
        if value and value % _UNITS[unit] == 0:
            return f"{value // _UNITS[unit]}{unit}"
    return str(value)


SIZE = Kind("size", _size, _size_text, "25M")
TEXT = Kind("text", _one_line, str, "text")
SECRET = Kind("secret", _one_line, str, "a password", mask=lambda text: MASK if text else "")


def _path(text: str) -> str:
    if "\0" in text or not text.strip():
        raise ValueError("a file name is missing.")
    return _one_line(text.strip())


PATH = Kind("path", _path, str, "/etc/smtpd-classic/users")


def _log_target(text: str) -> str:
    word = text.strip()
    if word.lower() in {"syslog", "stderr"}:
        return word.lower()
    if word.startswith("/"):
        return _one_line(word)
    raise ValueError(f"“{text}” is neither syslog, nor stderr, nor an absolute file name.")


LOG_TARGET = Kind("syslog, stderr or a file name", _log_target, str, "syslog")

_LABEL = re.compile(r"(?!-)[\w-]{1,63}(?<!-)")


def _is_domain(text: str) -> bool:
    return 0 < len(text) <= 253 and all(_LABEL.fullmatch(label) for label in text.split("."))


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _domain(text: str) -> str:
    name = text.strip().rstrip(".").lower()
    if not _is_domain(name) or _is_ip(name):
        raise ValueError(f"“{text}” is not a domain name such as example.org.")
    return name


def _pattern(text: str) -> str:
    """A domain, `.domain` for its sub-domains; `.` and `*` mean every domain (and are an open relay)."""
    word = text.strip().lower()
    if word in {".", "*"}:
        return word
    return "." + _domain(word[1:]) if word.startswith(".") else _domain(word)


def _one_pattern(text: str) -> str:
    if text.strip() in {".", "*"}:
        raise ValueError(f"“{text}” would match every domain; write the domain, or .domain for its sub-domains.")
    return _pattern(text)


DOMAIN_NAME = Kind("domain name", _domain, str, "example.org")
OPTIONAL_DOMAIN_NAME = Kind(
    "domain name, or blank",
    lambda text: _domain(text) if text.strip() else "",
    str,
    "mail.example.org",
)


def split_items(text: str) -> list[str]:
    """The items of a list: one a line, or parted by commas."""
    return [item.strip() for line in text.splitlines() for item in line.split(",") if item.strip()]


def _list_of(name: str, item: Callable[[str], T], item_text: Callable[[T], str], example: str) -> Kind[tuple[T, ...]]:
    def parse(text: str) -> tuple[T, ...]:
        return tuple(dict.fromkeys(item(word) for word in split_items(text)))

    def text_of(values: Sequence[T]) -> str:
        return ", ".join(item_text(value) for value in values)

    return Kind(name, parse, text_of, example, many=True)


DOMAINS = _list_of("list of domain names", _domain, str, "example.net")
DOMAIN_PATTERNS = _list_of("list of domains", _pattern, str, "example.org, .example.org")


def _network(text: str) -> Network:
    word = text.strip()
    if re.fullmatch(r"(\d{1,3}\.){1,3}", word, re.ASCII):  # the short prefix form: 192.168.
        parts = word.rstrip(".").split(".")
        word = ".".join(parts + ["0"] * (4 - len(parts))) + f"/{8 * len(parts)}"
    try:
        return ipaddress.ip_network(word)
    except ValueError as problem:
        if "host bits" in str(problem):
            fixed = ipaddress.ip_network(word, strict=False)
            raise ValueError(f"“{text}” has bits set behind its prefix; perhaps {fixed} is meant.") from None
        raise ValueError(f"“{text}” is no IP address, network (192.0.2.0/24) or prefix (192.168.).") from None


def _network_text(value: Network) -> str:
    return str(value.network_address) if value.prefixlen == value.max_prefixlen else str(value)


NETWORKS = _list_of(
    "list of IP addresses and networks",
    _network,
    _network_text,
    "192.0.2.7, 192.168., 2001:db8::/32",
)


def _ip(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip().strip("[]")))
    except ValueError:
        raise ValueError(f"“{text}” is not an IP address.") from None


IP_ADDRESSES = _list_of("list of IP addresses", _ip, str, "0.0.0.0, ::")


def _host_and_port(text: str) -> tuple[str, int]:
    """`name`, `name:port`, `192.0.2.1:port`, `2001:db8::1`, `[2001:db8::1]:port`."""
    word = text.strip()
    if _is_ip(word):
        return _ip(word), 0
    match = re.fullmatch(r"\[([^\]]+)\](?::(\d{1,5}))?", word, re.ASCII) or re.fullmatch(
        r"([^\s:\[\]]+)(?::(\d{1,5}))?", word, re.ASCII
    )
    if not match:
        raise ValueError(f"“{text}” is not a host such as mail.example.org, 192.0.2.1:2525 or [2001:db8::1]:25.")
    name = match[1]
    port = _whole(match[2], 1, 65535) if match[2] else 0
    return (_ip(name) if _is_ip(name) else _domain(name)), port


def _host_text(name: str, port: int) -> str:
    shown = f"[{name}]" if ":" in name and port else name
    return f"{shown}:{port}" if port else shown


def _name_server(text: str) -> tuple[str, int]:
    name, port = _host_and_port(text)
    return _ip(name), port or 53


NAME_SERVERS = _list_of(
    "list of IP addresses, each with an optional :port",
    _name_server,
    lambda value: _host_text(value[0], 0 if value[1] == 53 else value[1]),
    "127.0.0.1, [::1]:5353",
)


def _plain_host(text: str) -> Host:
    name, port = _host_and_port(text)
    return Host(name, port)


RELAY_HOSTS = _list_of(
    "list of hosts, each with an optional :port",
    _plain_host,
    lambda host: _host_text(host.name, host.port),
    "smtp.example.net",
)


def _host(line: str) -> Host:
    try:
        words = shlex.split(line)
    except ValueError:
        raise ValueError(f"a quotation mark is not closed in “{mask_host(line)}”.") from None
    name, port = _host_and_port(words[0])
    ssl, user, password = False, "", ""
    for word in words[1:]:
        key, equals, value = word.partition("=")
        if word == "ssl":
            ssl = True
        elif equals and key == "user":
            user = _one_line(value)
        elif equals and key == "password":
            password = _one_line(value)
        else:
            raise ValueError(f"“{key}” is not known behind a host; known are ssl, user=NAME and password=SECRET.")
    if bool(user) != bool(password):
        raise ValueError(f"{name} has a user or a password but not both.")
    return Host(name, port, ssl, user, password)


def host_text(host: Host) -> str:
    words = [_host_text(host.name, host.port)]
    if host.ssl:
        words.append("ssl")
    if host.user:
        words += [shlex.quote("user=" + host.user), shlex.quote("password=" + host.password)]
    return " ".join(words)


def mask_host(line: str) -> str:
    """The line with what stands behind password= hidden, quoted or not, however broken the rest is."""
    return re.sub(r"""(["']?password=).*""", rf"\1{MASK}", line)


def _hosts(text: str) -> tuple[Host, ...]:
    return tuple(_host(line) for line in text.splitlines() if line.strip())


HOSTS = Kind(
    "list of hosts, one a line: name[:port] [ssl] [user=NAME password=SECRET]",
    _hosts,
    lambda hosts: "\n".join(host_text(host) for host in hosts),
    "mail.example.org:465 ssl",
    many=True,
    mask=lambda text: "\n".join(mask_host(line) for line in text.splitlines()),
)


def _mail_address(text: str) -> str:
    word = text.strip()
    local, at, domain = word.rpartition("@")
    if not at or not local or not re.fullmatch(r'[^\s<>,;:"()\[\]\\@]+|"[^"\\]+"', local):
        raise ValueError(f"“{text}” is not an address such as joe@example.org.")
    return f"{local}@{_domain(domain)}"


ADDRESS = Kind("address", _mail_address, str, "postmaster@example.org")


def _optional_address(text: str) -> str:
    return _mail_address(text) if text.strip() else ""


SENDER_ADDRESS = Kind("address, or blank", _optional_address, str, "joe@example.org")


def _addresses(text: str) -> tuple[str, ...]:
    words = [word.strip() for line in text.splitlines() for word in line.split(";") if word.strip()]
    return tuple(dict.fromkeys(_mail_address(word) for word in words))


ADDRESSES = Kind(
    "list of addresses parted by “;”",
    _addresses,
    "; ".join,
    "joe@pc.lan; root@pc.lan",
    many=True,
)


def _word(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", text.strip()):
        raise ValueError(f"“{text}” is not a name of up to 32 letters, digits, “-” and “_”.")
    return text.strip()


WORD = Kind("name", _word, str, "smtp")
PATTERN = Kind("domain, or .domain for its sub-domains", _one_pattern, str, "example.org")


def _replacement(text: str) -> str:
    """An address, or `Display Name <address>`."""
    word = _one_line(text.strip())
    match = re.fullmatch(r"([^<>]*)<([^<>]+)>", word)
    if not match:
        return _mail_address(word)
    display = match[1].strip()
    return f"{display} <{_mail_address(match[2])}>" if display else _mail_address(match[2])


REPLACEMENT = Kind("address, or Name <address>", _replacement, str, "Sales <sales@example.org>")
