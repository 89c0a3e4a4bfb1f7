"""Kinds that name machines: addresses, networks, name servers, and the hosts that mail is handed to."""

import ipaddress
import re
import shlex
from dataclasses import dataclass, field

from smtpd_classic.config.kind import MASK, Kind, list_of, one_line
from smtpd_classic.config.names import domain_name, is_ip
from smtpd_classic.config.values import whole_number

__all__ = [
    "HOSTS",
    "HOST_PATTERNS",
    "IP_ADDRESSES",
    "IP_AND_PORT",
    "NAME_SERVERS",
    "NETWORKS",
    "RELAY_HOSTS",
    "Host",
    "Network",
    "address_and_port",
    "host_and_port",
    "host_and_port_text",
    "host_text",
    "mask_host",
]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Host:
    """A server that mail is handed to; `port` 0 means the default of the option, `user` blank means no login."""

    name: str
    port: int = 0
    ssl: bool = False
    user: str = ""
    password: str = field(default="", repr=False)


def _network(text: str) -> Network:
    word = text.strip()
    if re.fullmatch(r"(\d{1,3}\.){1,3}", word, re.ASCII):  # the short prefix form: 192.168.
        parts = word.rstrip(".").split(".")
        word = ".".join(parts + ["0"] * (4 - len(parts))) + f"/{8 * len(parts)}"
    try:
        wide = ipaddress.ip_network(word, strict=False)
    except ValueError:
        wide = None
    if wide is None or "%" in word:
        raise ValueError(f"“{text}” is no IP address, network (192.0.2.0/24) or prefix (192.168.).")
    if str(wide.network_address) == str(ipaddress.ip_address(word.partition("/")[0])):
        return wide
    if wide.prefixlen == 0:  # to propose 0.0.0.0/0 would be to propose an open relay
        raise ValueError(f"“{text}” would be every address there is; the number behind “/” is too small.")
    raise ValueError(f"“{text}” has bits set behind its prefix; perhaps {wide} is meant.")


def _network_text(value: Network) -> str:
    return str(value.network_address) if value.prefixlen == value.max_prefixlen else str(value)


NETWORKS = list_of(
    "list of IP addresses and networks",
    _network,
    _network_text,
    "192.0.2.7, 192.168., 2001:db8::/32",
)


def _host_pattern(text: str) -> str:
    """An address or network, a host name, or `.domain` for all hosts below it."""
    word = text.strip()
    if re.fullmatch(r"[0-9.]+(/[0-9]+)?|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*(/[0-9]+)?", word):
        return _network_text(_network(word))
    return "." + domain_name(word[1:]) if word.startswith(".") else domain_name(word)


HOST_PATTERNS = list_of(
    "list of IP addresses, networks, host names and .domains",
    _host_pattern,
    str,
    "192.0.2.7, lists.example.net, .example.org",
)


def _ip(text: str) -> str:
    word = text.strip()
    if word.startswith("[") and word.endswith("]"):
        word = word[1:-1]
    try:
        return str(ipaddress.ip_address(word))
    except ValueError:
        raise ValueError(f"“{text}” is not an IP address.") from None


IP_ADDRESSES = list_of("list of IP addresses", _ip, str, "0.0.0.0, ::")


def host_and_port(text: str) -> tuple[str, int]:
    """`name`, `name:port`, `192.0.2.1:port`, `2001:db8::1`, `[2001:db8::1]:port`."""
    word = text.strip()
    if is_ip(word):
        return _ip(word), 0
    match = re.fullmatch(r"\[([^\]]+)\](?::(\d{1,5}))?", word, re.ASCII) or re.fullmatch(
        r"([^\s:\[\]]+)(?::(\d{1,5}))?", word, re.ASCII
    )
    if not match:
        raise ValueError(f"“{text}” is not a host such as mail.example.org, 192.0.2.1:2525 or [2001:db8::1]:25.")
    name = match[1]
    port = whole_number(match[2], 1, 65535) if match[2] else 0
    return (_ip(name) if is_ip(name) else domain_name(name)), port


def host_and_port_text(name: str, port: int) -> str:
    shown = f"[{name}]" if ":" in name and port else name
    return f"{shown}:{port}" if port else shown


def _name_server(text: str) -> tuple[str, int]:
    name, port = host_and_port(text)
    return _ip(name), port or 53


NAME_SERVERS = list_of(
    "list of IP addresses, each with an optional :port",
    _name_server,
    lambda value: host_and_port_text(value[0], 0 if value[1] == 53 else value[1]),
    "127.0.0.1, [::1]:5353",
)


def _ip_and_port(text: str) -> str:
    if not text.strip():
        return ""
    name, port = host_and_port(text)
    if not is_ip(name) or not port:
        raise ValueError(f"“{text}” is not an IP address with a port, such as 127.0.0.1:9587 or [::1]:9587.")
    return host_and_port_text(name, port)


IP_AND_PORT = Kind("IP address with a port, or blank", _ip_and_port, str, "127.0.0.1:9587")


def address_and_port(text: str) -> tuple[str, int]:
    """Return the parts of a value of `IP_AND_PORT`."""
    return host_and_port(text)


def _plain_host(text: str) -> Host:
    name, port = host_and_port(text)
    return Host(name, port)


RELAY_HOSTS = list_of(
    "list of hosts, each with an optional :port",
    _plain_host,
    lambda host: host_and_port_text(host.name, host.port),
    "smtp.example.net",
)


def _host(line: str) -> Host:
    """No sentence repeats a word behind the first: it may be a password, or the second half of one."""
    try:
        first, *words = shlex.split(line)
    except ValueError:
        raise ValueError("a quotation mark is not closed, or “\\” is the last character of the line.") from None
    if "=" in first:
        raise ValueError("the host comes first, then ssl, user=NAME and password=SECRET.")
    name, port = host_and_port(first)
    ssl, login = False, {"user": "", "password": ""}
    for word in words:
        key, equals, value = word.partition("=")
        if word.lower() == "ssl":
            ssl = True
        elif equals and key in login and not login[key] and value:
            login[key] = one_line(value)
        else:
            raise ValueError(
                f"behind {name} only ssl, user=NAME and password=SECRET are allowed, each once; "
                "a value with blanks needs quotation marks."
            )
    if bool(login["user"]) != bool(login["password"]):
        raise ValueError(f"{name} has a user or a password but not both.")
    return Host(name, port, ssl, login["user"], login["password"])


def host_text(host: Host) -> str:
    words = [host_and_port_text(host.name, host.port)]
    if host.ssl:
        words.append("ssl")
    if host.user:
        words += [shlex.quote("user=" + host.user), shlex.quote("password=" + host.password)]
    return " ".join(words)


# The words of a line that may be shown: the host, ssl, and a user in plain or quoted form. Few starts need them.
_WORDS = r"""(\s+(ssl|user=[^\s'"\\]+|user="[^"\\]*"|user='[^']*'|'user=[^']*'|"user=[^"\\]*")(?=\s|$))*"""
_SHOWN = rf"[^\s=]+(?=\s|$){_WORDS}"
_QUOTED_PASSWORD = (
    rf"""(?P<before>\s+(?:"password=|password="))[^"\\]+(?P<after>"{_WORDS})|"""
    rf"""(?P<before_single>\s+(?:'password=|password='))[^']+(?P<after_single>'{_WORDS})"""
)


def mask_host(line: str) -> str:
    """Return the line with all behind password= hidden; in a broken line, all that might be the password.

    Quotation marks around the password or the whole word stay.
    """
    text = line.strip()
    match = re.match(_SHOWN, text, re.IGNORECASE)
    shown = match[0] if match else ""
    rest = text[len(shown) :]
    if not rest.strip():
        return shown
    if quoted := re.fullmatch(_QUOTED_PASSWORD, rest, re.IGNORECASE):
        before, after = (quoted[name] or quoted[f"{name}_single"] for name in ("before", "after"))
        return shown + before + MASK + after
    key = re.match(r"""\s*["']?password=""", rest)
    return shown + (key[0] if key else " " * bool(shown)) + MASK


def _neighbour(text: str) -> str:
    word = text.strip()
    path = word.removeprefix("unix:")
    if path != word:
        if not path.startswith("/") or len(path.encode()) > 107:
            raise ValueError(f"“{text}” names no socket: write unix: and its full path, at most 107 octets.")
        return "unix:" + one_line(path)
    try:
        name, port = host_and_port(word)
    except ValueError:
        name, port = "", 0
    if not port:
        raise ValueError(f"“{text}” is neither unix:/PATH nor HOST:PORT.")
    return host_and_port_text(name, port)


NEIGHBOUR = Kind("unix:/PATH or HOST:PORT", _neighbour, str, "unix:/run/rspamd/milter.sock")


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


HOSTS = Kind(
    "list of hosts, one a line: name[:port] [ssl] [user=NAME password=SECRET]",
    lambda text: tuple(_host(line) for line in _lines(text)),
    lambda hosts: "\n".join(host_text(host) for host in hosts),
    "mail.example.org:465 ssl",
    many=True,
    mask=lambda text: "\n".join(mask_host(line) for line in _lines(text)),
)
