"""Rules about the place of the accounts."""

from collections.abc import Iterator

from smtpd_classic.config.problem import Finding
from smtpd_classic.config.rule import Rule
from smtpd_classic.config.schema import Config

__all__ = ["RULES"]


def dovecot_has_the_mailboxes(config: Config) -> Iterator[Finding]:
    """Complain about Maildirs of this server for accounts in Dovecot, whose system users this server cannot become."""
    server = config.server
    if server.accounts != "dovecot":
        return
    said = "accounts = dovecot needs mailboxes of Dovecot: set mailbox = lmtp:unix:/run/dovecot/lmtp."
    places = {each.name: each.mailbox for each in config.domains}
    if server.mailbox.is_maildir and places.get(server.primary_domain) is None:
        yield Finding("server", "mailbox", said)
    for each in config.domains:
        place = each.mailbox if each.mailbox is not None else server.mailbox
        if place.is_maildir and (each.mailbox is not None or each.name != server.primary_domain):
            yield Finding(f"domain {each.name}", "mailbox", said)


RULES: tuple[Rule, ...] = (dovecot_has_the_mailboxes,)
