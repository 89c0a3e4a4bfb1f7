"""The thread that watches the DKIM keys of this server."""

from functools import partial

from smtpd_classic.config.check_domains import local_domains
from smtpd_classic.domain_name import ascii_domain
from smtpd_classic.keys.publication import publication_by
from smtpd_classic.keys.store import KeyStore, dkim_folder
from smtpd_classic.keys.watch import DomainKeys, KeyWatch
from smtpd_classic.services import Services

__all__ = ["key_watch"]


def key_watch(services: Services) -> KeyWatch:
    """Return the watch over the keys of all local domains.

    Servers that share a state have the same keys: none of them makes one by itself.
    """
    config = services.config
    store = KeyStore(dkim_folder(config.path))
    sections = {name: each for each in config.domains for name in (each.name, *each.aliases)}
    domains: list[DomainKeys] = []
    for name in sorted(local_domains(config)):
        section = sections.get(name)
        if section is None:
            domains.append(DomainKeys(ascii_domain(name), "rsa2048", 0.0))
        elif section.sign != "no":
            rotate_s = 0.0 if config.server.shared_state else section.dkim_rotate.total_seconds()
            domains.append(DomainKeys(ascii_domain(name), section.dkim_algorithm, rotate_s))
    publication = partial(publication_by, store, config.server.name_servers)
    return KeyWatch(store, publication, domains, services.clock, lambda words: services.log.write("keys", words))
