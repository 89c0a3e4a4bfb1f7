"""Rules about the listeners: which ports can be opened, and where users can log in."""

import ipaddress
import os
from collections.abc import Iterator

from smtpd_classic.config.open_relay import holds_loopback, holds_most_addresses, widest
from smtpd_classic.config.problem import Finding
from smtpd_classic.config.rule import Rule
from smtpd_classic.config.schema import Config, Listener

__all__ = ["RULES"]

_LONGEST_PATH = 107  # sun_path (unix(7)), less its NUL


def _title(listener: Listener) -> str:
    return f"listener {listener.name}"


def a_server_listens(config: Config) -> Iterator[Finding]:
    if not config.listeners:
        said = (
            "there is no listener; add [listener smtp] with port = 25, and for users [listener submission] "
            "with port = 587 and auth = required."
        )
        yield Finding("server", "", said)


def each_listener_has_a_place(config: Config) -> Iterator[Finding]:
    for listener in config.listeners:
        title = _title(listener)
        if listener.socket and not listener.is_lmtp:
            yield Finding(title, "socket", "only [listener lmtp] can have a socket.")
        if len(os.fsencode(listener.socket)) > _LONGEST_PATH:
            yield Finding(title, "socket", f"the name of a socket has {_LONGEST_PATH} octets at most.")


def lmtp_is_for_this_machine(config: Config) -> Iterator[Finding]:
    """Complain about LMTP that others could reach (RFC 2033 5)."""
    for listener in filter(lambda each: each.is_lmtp, config.listeners):
        title = _title(listener)
        if listener.port == 25:
            yield Finding(title, "port", "LMTP is never spoken on port 25 (RFC 2033 5).")
        outside = [each for each in listener.address if not ipaddress.ip_address(each).is_loopback]
        if outside:
            said = f"LMTP is for this machine alone, and {outside[0]} is no loopback address; set address = 127.0.0.1."
            yield Finding(title, "address", said)


def lmtp_has_few_options(config: Config) -> Iterator[Finding]:
    """Complain about options that would be taken and ignored."""
    for listener in filter(lambda each: each.is_lmtp, config.listeners):
        title = _title(listener)
        if listener.auth != "none":
            yield Finding(title, "auth", "LMTP has no login: its client is a mail server of this machine.")
        if listener.given_tls != "none" and (title, "tls") in config.lines:
            yield Finding(title, "tls", "LMTP has no TLS here: it does not leave this machine.")
        if (title, "tls_ciphers") in config.lines:
            yield Finding(title, "tls_ciphers", "tls_ciphers does not apply to LMTP, which has no TLS here.")
        if not listener.port and (title, "address") in config.lines:
            yield Finding(title, "address", "address has no effect without a port: clients connect to the socket.")
        for name in ("proxy_protocol", "refuse", "allow_only"):
            if getattr(listener, name):
                yield Finding(title, name, f"{name} does not apply to LMTP, which is for this machine alone.")


def each_address_and_port_is_bound_once(config: Config) -> Iterator[Finding]:
    taken: list[tuple[str, int, str]] = []
    for listener in config.listeners:
        for address in listener.address:
            other = next((each for each in taken if each[1] == listener.port and _overlap(each[0], address)), None)
            if other:
                said = f"port {listener.port} of {address} is taken by listener {other[2]} already."
                yield Finding(_title(listener), "port", said)
                break
        taken += [(address, listener.port, listener.name) for address in listener.address]


def _overlap(one: str, other: str) -> bool:
    first, second = ipaddress.ip_address(one), ipaddress.ip_address(other)
    if first.version != second.version:
        return False
    return first == second or first.is_unspecified or second.is_unspecified


def implicit_tls_needs_tls(config: Config) -> Iterator[Finding]:
    for listener in config.listeners:
        if listener.tls == "implicit" and not config.basic.allow_tls:
            said = f"listener {listener.name} is not opened: it has implicit TLS, and allow_tls in [basic] is off."
            yield Finding(_title(listener), "tls", said, "warning")


def a_required_login_is_possible(config: Config) -> Iterator[Finding]:
    """Complain about AUTH that the TLS settings make impossible: an error where it is required, else a warning.

    With allow_tls off it is a warning, for the manual of that option says so.
    """
    if config.basic.allow_auth_without_tls:
        return
    for listener in config.listeners:
        if listener.auth == "none" or (config.basic.allow_tls and listener.tls != "none"):
            continue
        option = "allow_tls is off" if not config.basic.allow_tls else "it has no TLS"
        said = f"users cannot log in at listener {listener.name}: {option}, and allow_auth_without_tls is off."
        severity = "error" if listener.auth == "required" and config.basic.allow_tls else "warning"
        yield Finding(_title(listener), "auth", said, severity)


def passwords_in_the_clear(config: Config) -> Iterator[Finding]:
    if not config.basic.allow_auth_without_tls:
        return
    for listener in config.listeners:
        outside = not all(ipaddress.ip_address(address).is_loopback for address in listener.address)
        if outside and listener.auth != "none" and listener.tls != "implicit":
            said = f"passwords may cross the network in the clear at listener {listener.name}."
            yield Finding("basic", "allow_auth_without_tls", said, "warning")


def a_usual_port_is_used_as_usual(config: Config) -> Iterator[Finding]:
    for listener in config.listeners:
        if listener.port == 25 and listener.auth == "required":
            said = f"other servers cannot deliver to listener {listener.name}: it requires a login on port 25."
            yield Finding(_title(listener), "auth", said, "warning")
        if listener.port in {465, 587} and listener.auth == "none":
            said = f"users cannot log in at listener {listener.name}, though port {listener.port} is theirs."
            yield Finding(_title(listener), "auth", said, "warning")
        if listener.port == 465 and listener.tls != "implicit":
            said = f"listener {listener.name}: clients expect implicit TLS on port 465."
            yield Finding(_title(listener), "tls", said, "warning")


def trusted_loopback_behind_a_proxy(config: Config) -> Iterator[Finding]:
    if any(listener.proxy_protocol for listener in config.listeners) and holds_loopback(config.trusted.hosts):
        said = (
            "Trusted Hosts hold a loopback address while a listener is behind a proxy: a proxy on this machine that "
            "does not announce its clients would make all of them trusted."
        )
        yield Finding("trusted", "hosts", said, "warning")


def clients_may_connect(config: Config) -> Iterator[Finding]:
    places = [("access", config.access.refuse)]
    places += [(_title(listener), listener.refuse) for listener in config.listeners]
    for title, refused in places:
        everything = [network for network in refused if network.prefixlen == 0]
        for network in everything:
            said = f"{network} refuses every client with an IPv{network.version} address."
            yield Finding(title, "refuse", said, "warning")
        if not everything and holds_most_addresses(refused):
            yield Finding(title, "refuse", f"{widest(refused)} and the others refuse most clients.", "warning")


RULES: tuple[Rule, ...] = (
    clients_may_connect,
    a_server_listens,
    each_listener_has_a_place,
    lmtp_is_for_this_machine,
    lmtp_has_few_options,
    each_address_and_port_is_bound_once,
    implicit_tls_needs_tls,
    a_required_login_is_possible,
    passwords_in_the_clear,
    a_usual_port_is_used_as_usual,
    trusted_loopback_behind_a_proxy,
)
