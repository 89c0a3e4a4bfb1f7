"""Whom an address stands for: account → alias → plus-address → postmaster → catch-all, and never round in a circle.

An `AddressBook` is what both files and the configuration said at one moment. It does not change; a changed file makes
another one.
"""

from collections.abc import Iterable
from typing import NamedTuple

from smtpd_classic.accounts.account import Account, AccountsUnreadable, ResolvedAddress
from smtpd_classic.accounts.address import DomainTable, local_key
from smtpd_classic.accounts.reading import AliasTable, UserTable
from smtpd_classic.config.schema import Config
from smtpd_classic.smtp.address import split_address

__all__ = ["MAX_TARGETS", "AddressBook", "TooManyTargets", "address_book", "domain_table"]

MAX_TARGETS = 10_000


class TooManyTargets(AccountsUnreadable):
    """An alias that would be cut off: better to defer than to lose some of them."""


class _Step(NamedTuple):
    """One step of resolution: `final` targets are where mail ends, others are looked up in turn."""

    how: str
    targets: tuple[str, ...]
    final: bool = False


class AddressBook:
    def __init__(
        self,
        table: DomainTable,
        accounts: dict[str, Account],
        aliases: dict[str, tuple[str, ...]],
        catch_all: dict[str, str],
        postmaster: str,
        doubt: str = "",
        *,
        postmaster_set: bool = False,
    ) -> None:
        """`catch_all` is by canonical domain; its addresses, the targets of aliases and `postmaster` are canonical.
        `postmaster_set`: somebody chose it, so it comes before an alias of that name.

        `doubt`, unless blank, says why a local address that is not here may exist all the same: asked for such a one,
        the book raises AccountsUnreadable.
        """
        self.accounts = accounts
        self._doubt = doubt
        self._table = table
        self._aliases = aliases
        self._catch_all = catch_all
        self._postmaster = postmaster
        self._chosen = postmaster if postmaster_set else ""
        # Accounts from the beginning, aliases once they were asked for: nearly every look-up ends here.
        self.known = {address: ResolvedAddress("account", (address,)) for address in accounts}

    def find(self, address: str) -> ResolvedAddress | None:
        local, domain = split_address(address)
        key = local_key(local)
        name = self._table.local(domain) if domain else (self._table.primary if key == "postmaster" else None)
        if name is None:
            return None
        exact = f"{key}@{name}"
        if known := self.known.get(exact):
            return known
        step = self._step(key, name)
        if step is None or step.final:
            return step and ResolvedAddress(step.how, step.targets)
        targets = self.expanded(step.targets, exact)
        if not targets and key == "postmaster":  # it is always reachable, whatever its alias says (RFC 5321 4.5.1)
            step, targets = _Step("postmaster", ()), self.expanded((self._postmaster,), exact)
        if not targets:
            return None
        found = ResolvedAddress(step.how, targets)
        if step.how == "alias":
            self.known[exact] = found
        return found

    def exists(self, canonical: str) -> bool:
        """Whether it is an address elsewhere, or one here that is at least an alias, wherever that leads."""
        local, domain = split_address(canonical)
        return self._table.local(domain) is None or self._step(local, domain) is not None

    def _step(self, key: str, domain: str) -> _Step | None:
        """The first that applies to a local address."""
        address = f"{key}@{domain}"
        if address in self.accounts:
            return _Step("account", (address,), final=True)
        if key == "postmaster" and self._chosen not in {"", address}:
            return _Step("postmaster", (self._chosen,))
        if (targets := self.alias(key, domain)) is not None:
            return _Step("alias", targets)
        base, plus, _ = key.partition("+")
        if plus:
            if f"{base}@{domain}" in self.accounts:
                return _Step("plus address", (address,), final=True)
            if (targets := self.alias(base, domain)) is not None:
                return _Step("plus address", targets)
        self._raise_doubt()
        if key == "postmaster":
            return _Step("postmaster", (self._postmaster,))
        catch_all = self._catch_all.get(domain)
        return _Step("catch-all", (catch_all,)) if catch_all else None

    def alias(self, key: str, domain: str) -> tuple[str, ...] | None:
        """The targets as the file names them; an alias of the very domain comes before one of every domain."""
        targets = self._aliases.get(f"{key}@{domain}")
        return targets if targets is not None else self._aliases.get(key)

    def expanded(self, targets: Iterable[str], origin: str = "") -> tuple[str, ...]:
        """Where mail for these targets ends, in order. No address is visited twice, so a loop ends by itself."""
        ends: dict[str, None] = {}
        seen = {origin}
        waiting = list(targets)[::-1]
        while waiting:
            address = waiting.pop()
            if address in seen:
                continue
            seen.add(address)
            local, domain = split_address(address)
            if self._table.local(domain) is None:
                ends[address] = None
            elif (step := self._step(local, domain)) is not None:
                if step.final:
                    ends[address] = None
                else:
                    waiting += step.targets[::-1]
            if len(ends) > MAX_TARGETS:
                raise TooManyTargets(f"{origin} stands for more than {MAX_TARGETS} addresses")
        return tuple(ends)

    def account(self, address: str) -> Account | None:
        """By address, tag or not, or by login."""
        return self._sure(address, self._account_of(self._table.canonical(address)))

    def _account_of(self, canonical: str) -> Account | None:
        found = self.accounts.get(canonical)
        if found is None and "+" in canonical:
            local, domain = split_address(canonical)
            found = self.accounts.get(f"{local.partition('+')[0]}@{domain}")
        return found

    def login(self, name: str) -> Account | None:
        """By login name: the address itself, not one of its plus-addresses."""
        return self._sure(name, self.accounts.get(self._table.canonical(name)))

    def _sure(self, name: str, found: Account | None) -> Account | None:
        domain = split_address(name)[1]
        if found is None and (not domain or self._table.local(domain) is not None):
            self._raise_doubt()
        return found

    def _raise_doubt(self) -> None:
        if self._doubt:
            raise AccountsUnreadable(self._doubt)

    def owns(self, account: Account, address: str) -> bool:
        """Whether mail from this address is this account's: its own and its plus-addresses, aliases that lead to it
        alone, all of it under domain aliases too, and what it was granted."""
        owner = self.accounts.get(account.address)
        if owner is None or not address:
            return False
        canonical = self._table.canonical(address)
        granted = {grant.lower() for grant in owner.may_send_as}
        if canonical.lower() in granted or f"*@{split_address(canonical)[1]}" in granted:
            return True
        found = self.find(canonical)
        if found is None or found.how not in {"account", "plus address", "alias"}:
            return False
        return all(self._account_of(target) is owner for target in found.targets)

    def members(self, name: str) -> tuple[str, ...] | None:
        """What an alias stands for; None when it is none."""
        found = self.find(self._table.canonical(name))
        return found.targets if found is not None and found.how == "alias" else None


def domain_table(config: Config) -> DomainTable:
    return DomainTable(config.server.primary_domain, {each.name: each.aliases for each in config.domains})


def address_book(config: Config, table: DomainTable, users: UserTable, aliases: AliasTable) -> AddressBook:
    catch_all = {
        name: table.canonical(each.catch_all)
        for each in config.domains
        if each.catch_all and (name := table.local(each.name)) is not None
    }
    parts = ((users.whole, users.problems), (aliases.whole, aliases.problems))
    doubt = "; ".join(str(problems[0]) for whole, problems in parts if not whole)
    postmaster = table.canonical(config.postmaster)
    return AddressBook(
        table,
        users.accounts,
        aliases.targets,
        catch_all,
        postmaster,
        doubt,
        postmaster_set=bool(config.basic.postmaster),
    )
