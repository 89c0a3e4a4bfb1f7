"""Things that the commands about keys and DNS share."""

import argparse
import os

from smtpd_classic.commands.failures import Refused
from smtpd_classic.config import Config
from smtpd_classic.daemon.privileges import PrivilegeProblem
from smtpd_classic.doctor import examination
from smtpd_classic.doctor.examination import signing_domains
from smtpd_classic.domain_name import ascii_domain
from smtpd_classic.keys.store import KeyStore

__all__ = ["domain_argument", "key_store", "known_domain"]


def domain_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("domain", metavar="DOMAIN", type=lambda text: text.lower().removesuffix("."))


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
    """Return the keys of the instance. As root, new files are given to the service user. Raises Refused."""
    try:
        return examination.key_store(config)
    except PrivilegeProblem as problem:
        raise Refused(str(problem), os.EX_NOUSER) from None
