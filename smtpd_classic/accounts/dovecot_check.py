"""The check of the sockets of Dovecot: they answer, and not every name is a user."""

import secrets
from typing import NamedTuple

from smtpd_classic.config.schema import Config
from smtpd_classic.dovecot.sockets import AuthClient, UserLookups
from smtpd_classic.pool import NeighbourFailure

__all__ = ["DovecotFinding", "check_dovecot"]


class DovecotFinding(NamedTuple):
    """A sentence about one option. `is_error`: mail would be lost in wrong mailboxes; else Dovecot may come back."""

    option: str
    text: str
    advice: str
    is_error: bool


def check_dovecot(config: Config) -> list[DovecotFinding]:
    """Return the problems of accounts = dovecot."""
    server = config.server
    found: list[DovecotFinding] = []
    lookups = UserLookups(server.dovecot_userdb, lambda reason, took_s: None)
    name = f"{secrets.token_hex(10)}@{server.primary_domain}"
    try:
        if lookups.exists(name):
            said = f"Dovecot knows a user with the random name {name}, so that no address is unknown"
            advice = "Use a userdb that knows its users, such as passwd-file, SQL or LDAP; static and PAM do not."
            found.append(DovecotFinding("dovecot_userdb", said, advice, is_error=True))
    except NeighbourFailure as problem:
        advice = "Start Dovecot, or make the service user the owner of the socket auth-userdb."
        found.append(DovecotFinding("dovecot_userdb", str(problem), advice, is_error=False))
    finally:
        lookups.close()
    auth = AuthClient(server.dovecot_auth, lambda reason, took_s: None)
    try:
        if "PLAIN" not in auth.offered():
            advice = "Set auth_mechanisms = plain login in Dovecot."
            found.append(DovecotFinding("dovecot_auth", "Dovecot does not offer PLAIN", advice, is_error=False))
    except NeighbourFailure as problem:
        advice = "Start Dovecot, or give the service user the right to the socket auth-client."
        found.append(DovecotFinding("dovecot_auth", str(problem), advice, is_error=False))
    finally:
        auth.close()
    return found
