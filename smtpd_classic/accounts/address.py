"""Addresses as the accounts compare them."""

import re
import unicodedata

from smtpd_classic.config.kinds import MAILDIRS, MailboxPlace
from smtpd_classic.config.schema import Config
from smtpd_classic.domain_name import spellings, tidy_domain
from smtpd_classic.smtp.address import split_address

__all__ = ["DomainTable", "account_problem", "domain_table", "local_key"]

# A name for a Maildir's folder, a Dovecot login and a field of the users file: no “/”, “:” or blank, nothing that
# begins with “.”, “-” or “#”. “+” begins the tag of a plus-address.
_DOT_STRING = re.compile(r"[^\s\"(),:;<>@\[\\\].]+(?:\.[^\s\"(),:;<>@\[\\\].]+)*")
_LOCAL_PART = re.compile(r"(?![.#-])(?!.*\.\.)[\w!#$%&'*=?^`{|}~.-]{1,64}(?<!\.)")


# The time of Unicode normalization grows with the square of the length; no address is longer.
_LONGEST_LOCAL_PART = 254


def local_key(local: str) -> str:
    """Return the local part as it is looked up: in lower case (RFC 5321 2.4 permits it), without needless quotes."""
    if local.startswith('"') and local.endswith('"') and len(local) > 2:
        # RFC 5321 4.1.2: the quoted form is the same mailbox. One that needs them keeps them, as "a@b" does.
        bare = re.sub(r"\\(.)", r"\1", local[1:-1])
        local = bare if _DOT_STRING.fullmatch(bare) else local
    if local.isascii() or len(local) > _LONGEST_LOCAL_PART:
        return local.lower()
    return unicodedata.normalize("NFC", local).lower()


def account_problem(address: str) -> str | None:
    """Return the reason why no account can have this address, in one sentence, or None."""
    local, domain = split_address(address)
    if not domain:
        return f"“{address}” has no “@” and domain."
    if not _LOCAL_PART.fullmatch(local):
        return f"“{local}” cannot name a mailbox: use letters, digits and “.”, “-”, “_”, with a letter or digit first."
    return None


class DomainTable:
    """The local domains under all their names: `[domain]` sections, their aliases, and the primary domain."""

    def __init__(
        self,
        primary: str,
        aliases: dict[str, tuple[str, ...]],
        places: dict[str, MailboxPlace] | None = None,
        usual_place: MailboxPlace = MAILDIRS,
    ) -> None:
        """`places` are those of the mailboxes of a domain, where they are not in the usual one."""
        self.primary = tidy_domain(primary)
        self._usual_place = usual_place
        self._canonical: dict[str, str] = {}
        for name in dict.fromkeys([*map(tidy_domain, aliases), self.primary]):
            self._canonical |= dict.fromkeys(spellings(name), name)
        for name, others in aliases.items():
            for other in others:
                for spelling in spellings(other):
                    self._canonical.setdefault(spelling, self._canonical[tidy_domain(name)])
        self.names = tuple(dict.fromkeys(self._canonical.values()))
        self._places = {self._canonical[tidy_domain(name)]: place for name, place in (places or {}).items()}

    def local(self, domain: str) -> str | None:
        """Return the canonical name of a local domain, None for any other."""
        found = self._canonical.get(domain)
        if found is not None or (domain.islower() and domain[-1] != "."):  # most are tidy
            return found
        return self._canonical.get(tidy_domain(domain))

    def place(self, domain: str) -> MailboxPlace:
        """Return the place of the mailboxes of a local domain."""
        return self._places.get(self.local(domain) or "", self._usual_place)

    def canonical(self, address: str) -> str:
        """Return the one spelling of an address. Without a domain it is completed with the primary one; the local part
        of an address elsewhere stays as it is."""
        local, domain = split_address(address)
        name = self.local(domain) if domain else self.primary
        return f"{local_key(local)}@{name}" if name is not None else f"{local}@{tidy_domain(domain)}"


def domain_table(config: Config) -> DomainTable:
    """Return the local domains of a configuration."""
    aliases = {each.name: each.aliases for each in config.domains}
    places = {each.name: each.mailbox for each in config.domains if each.mailbox is not None}
    return DomainTable(config.server.primary_domain, aliases, places, config.server.mailbox)
