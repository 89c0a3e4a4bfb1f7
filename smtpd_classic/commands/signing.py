"""Things that the commands about keys and DNS share."""

import argparse
import ipaddress
import os
import socket

from smtpd_classic.commands.failures import Refused
from smtpd_classic.config import Config
from smtpd_classic.config.check_domains import local_domains
from smtpd_classic.daemon.privileges import PrivilegeProblem, service_user
from smtpd_classic.dns import DnsResolver
from smtpd_classic.domain_name import ascii_domain
from smtpd_classic.keys.publication import Publication
from smtpd_classic.keys.store import KeyStore, dkim_folder

__all__ = ["domain_argument", "key_store", "known_domain", "own_addresses", "publication_of", "signing_domains"]


def domain_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("domain", metavar="DOMAIN", type=lambda text: text.lower().removesuffix("."))


def signing_domains(config: Config) -> list[str]:
    """Return all local domains and their other names in A-labels, the primary one first."""
    names = {ascii_domain(name) for name in local_domains(config)}
    primary = ascii_domain(config.server.primary_domain)
    return [primary, *sorted(names - {primary})]


def known_domain(config: Config, domain: str) -> str:
    """Return a local domain in A-labels. Raises Refused for any other."""
    try:
        name = ascii_domain(domain)
    except ValueError as problem:
        raise Refused(f"{problem}.", os.EX_DATAERR) from None
    if name not in signing_domains(config):
        raise Refused(f"{domain} is not a domain of this server; add it first.", os.EX_DATAERR)
    return name


def key_store(config: Config) -> KeyStore:
    """Return the keys of the instance. As root, new files are given to the service user."""
    try:
        user = service_user(config.server.user)
    except PrivilegeProblem as problem:
        raise Refused(str(problem), os.EX_NOUSER) from None
    return KeyStore(dkim_folder(config.path), (user.pw_uid, user.pw_gid) if user else None)


def publication_of(config: Config, store: KeyStore) -> Publication:
    """Return the answers of DNS about the keys, from a resolver without a memory."""
    return Publication(store, DnsResolver(config.server.name_servers), lambda address: DnsResolver(((address, 53),)))


# Addresses of root name servers, which are as far away as any. Nothing is sent to them.
_FAR_AWAY = ((socket.AF_INET, "198.41.0.4"), (socket.AF_INET6, "2001:503:ba3e::2:30"))


def own_addresses(config: Config) -> tuple[str, ...]:
    """Return the addresses under which other servers know this one: those of the option, or those of the interfaces
    that lead to the Internet."""
    if config.server.public_addresses:
        return config.server.public_addresses
    found: list[str] = []
    for family, far_away in _FAR_AWAY:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((far_away, 53))
            except OSError:
                continue
            address = probe.getsockname()[0]
        if not ipaddress.ip_address(address).is_link_local:
            found.append(address)
    return tuple(found)
