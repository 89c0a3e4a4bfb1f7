"""Resolves a local address: account → group → alias → plus-address → postmaster → mailbox of reports → catch-all.

Each address is visited once at most.

An `AddressBook` holds the content of both files and of the configuration at one moment. It never changes; a changed
file makes another one.

An account comes before an alias of the same name, with one exception: an alias that names the account itself as one of
its targets (`ann: \\ann, else@where`) forwards. The mailbox keeps its copy, and the other targets get one each. When
the users file says `userdb_smtpd_forward_only=yes`, the mailbox keeps none.

A group ends the resolution as a mailbox does: its copies have an envelope of their own. `members_of` expands it.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from smtpd_classic.accounts.account import DISABLED, Account, AccountsUnreadable, ResolvedAddress
from smtpd_classic.accounts.address import DomainTable, local_key
from smtpd_classic.accounts.groups import MailGroup, bounces_of
from smtpd_classic.domain_name import comparable_address
from smtpd_classic.smtp.address import split_address

__all__ = ["MAX_TARGETS", "AddressBook", "GroupMembers", "TooManyTargets"]

MAX_TARGETS = 10_000


class TooManyTargets(AccountsUnreadable):
    """An alias that would be cut off: better to defer than to lose some of them."""


class _Step(NamedTuple):
    """One step of resolution: mail ends at `mailbox`, if there is one, and at the ends of `targets`.

    `owner` is the address of the account that the looked-up address belongs to, blank for any other.
    """

    how: str
    targets: tuple[str, ...] = ()
    mailbox: str = ""
    owner: str = ""


class GroupMembers(NamedTuple):
    """The members of a group: the ends, and every address on the way to them."""

    ends: tuple[str, ...]
    named: frozenset[str]


class AddressBook:
    """The accounts and aliases of all local domains."""

    def __init__(
        self,
        table: DomainTable,
        accounts: Mapping[str, Account],
        aliases: dict[str, tuple[str, ...]],
        catch_all: dict[str, str],
        postmaster: str,
        doubt: str = "",
        *,
        postmaster_set: bool = False,
        groups: Mapping[str, MailGroup] = MappingProxyType({}),
        reports: Mapping[str, Account] = MappingProxyType({}),
    ) -> None:
        """`catch_all` maps a canonical domain to an address. It, the targets of aliases and `postmaster` are canonical.

        `postmaster_set` is True when the configuration names the postmaster, who then comes before an alias of that
        name. `doubt` is blank, or the reason why an address that is not found here may exist: a part of the files
        could not be read. A look-up of such an address raises AccountsUnreadable.
        """
        self.accounts = accounts
        self._remembers = isinstance(accounts, dict)  # those of another program may come and go
        self.groups = groups
        self._reports = reports
        self._bounces = bounces_of(groups)
        self._members: dict[str, GroupMembers] = {}
        self._doubt = doubt
        self._table = table
        self._aliases = aliases
        self._catch_all = catch_all
        self._postmaster = postmaster
        self._chosen = postmaster if postmaster_set else ""
        # Accounts are here from the beginning, aliases after their first look-up: nearly every look-up ends here.
        self.known = {address: ResolvedAddress("account", (address,)) for address in accounts}
        for key in aliases:
            for each in [key] if "@" in key else [f"{key}@{name}" for name in table.names]:
                if each in self.known and self.forwards(each) is not None:
                    del self.known[each]

    def forwards(self, address: str) -> tuple[str, ...] | None:
        """Return the targets of the alias that forwards the mail of this account, or None when no alias does.

        The account itself is among them when it keeps a copy.
        """
        local, domain = split_address(address)
        targets = self.alias(local, domain)
        if targets is None:  # nearly always, and the account may be that of another program
            return None
        account = self.accounts.get(address)
        if account is None or account.status == DISABLED:
            return None
        return targets if account.forward_only or address in targets else None

    def find(self, address: str) -> ResolvedAddress | None:
        """Return the targets of an address, None when it does not exist. Raises AccountsUnreadable."""
        local, domain = split_address(address)
        key = local_key(local)
        name = self._table.local(domain) if domain else (self._table.primary if key == "postmaster" else None)
        if name is None:
            return None
        exact = f"{key}@{name}"
        if known := self.known.get(exact):
            return known
        step = self._step(key, name)
        if step is None:
            return None
        targets = self._ends(step, exact)
        if not targets and key == "postmaster":  # it is always reachable, whichever alias it has (RFC 5321 4.5.1)
            step, targets = _Step("postmaster"), self.expanded((self._postmaster,), exact)
        if not targets:
            return None
        found = self._parted(step.how, targets)
        if self._remembers and (step.how in {"alias", "group"} or step.owner == exact):
            self.known[exact] = found
        return found

    def _parted(self, how: str, ends: tuple[str, ...]) -> ResolvedAddress:
        if not self.groups:
            return ResolvedAddress(how, ends)
        groups = tuple(each for each in ends if each in self.groups)
        return ResolvedAddress(how, tuple(each for each in ends if each not in groups) if groups else ends, groups)

    def members_of(self, group: str) -> GroupMembers:
        """Return the members of a group and of groups in it, but no disabled account. Raises AccountsUnreadable."""
        found = self._members.get(group)
        if found is None:
            seen = {group}
            ends = self.expanded(self.groups[group].members, group, through_groups=True, seen=seen)
            owners = [self._account_of(end) for end in ends]
            living = [end for end, owner in zip(ends, owners, strict=True) if owner is None or owner.status != DISABLED]
            found = GroupMembers(tuple(living), frozenset(seen))
            if self._remembers:
                self._members[group] = found
        return found

    def _ends(self, step: _Step, origin: str) -> tuple[str, ...]:
        if not step.targets:
            return (step.mailbox,) if step.mailbox else ()
        others = self.expanded(step.targets, origin)
        if step.owner and not others:
            return (origin,)  # forwarding that leads nowhere must not lose the mail
        return tuple(dict.fromkeys((step.mailbox, *others))) if step.mailbox else others

    def exists(self, canonical: str) -> bool:
        """Return True if it is an address elsewhere, or an address here, even one that leads nowhere."""
        local, domain = split_address(canonical)
        return self._table.local(domain) is None or self._step(local, domain) is not None

    def _step(self, key: str, domain: str) -> _Step | None:
        """Return the first step that applies to a local address."""
        address = f"{key}@{domain}"
        if address in self.accounts:
            return self._account_step("account", address, address)
        if address in self.groups:
            return _Step("group", (), address)
        if key == "postmaster" and self._chosen not in {"", address}:
            return _Step("postmaster", (self._chosen,))
        if (targets := self.alias(key, domain)) is not None:
            return _Step("alias", targets)
        if address in self._bounces:
            return _Step("group bounces", (self.groups[self._bounces[address]].owner,))
        base, plus, _ = key.partition("+")
        if plus:
            if f"{base}@{domain}" in self.accounts:
                return self._account_step("plus address", address, f"{base}@{domain}")
            if (targets := self.alias(base, domain)) is not None:
                return _Step("plus address", targets)
        return self._other_step(address, key, domain)

    def _other_step(self, address: str, key: str, domain: str) -> _Step | None:
        """Return the step for an address that neither file names. Raises AccountsUnreadable."""
        self._raise_doubt()
        if key == "postmaster":
            return _Step("postmaster", (self._postmaster,))
        if address in self._reports:
            return _Step("reports", (), address)
        catch_all = self._catch_all.get(domain)
        return _Step("catch-all", (catch_all,)) if catch_all else None

    def _account_step(self, how: str, address: str, owner: str) -> _Step:
        """Return the step for an address of an account, which keeps its tag."""
        targets = self.forwards(owner)
        if targets is None:
            return _Step(how, (), address, owner)
        others = tuple(target for target in targets if target != owner)
        return _Step(how, others, address if len(others) < len(targets) else "", owner)

    def alias(self, key: str, domain: str) -> tuple[str, ...] | None:
        """Return the targets of an alias as in the file. One of this domain comes before one of every domain."""
        targets = self._aliases.get(f"{key}@{domain}")
        return targets if targets is not None else self._aliases.get(key)

    def expanded(
        self,
        targets: Iterable[str],
        origin: str = "",
        *,
        forwarded: bool = True,
        through_groups: bool = False,
        seen: set[str] | None = None,
    ) -> tuple[str, ...]:
        """Return the ends of these targets, in order. No address is visited twice, so a loop ends by itself.

        `forwarded=False` stops at the accounts that aliases lead to, although they forward their mail.
        `through_groups` expands groups too. `seen` gets every address that is visited.
        """
        ends: dict[str, None] = {}
        seen = {origin} if seen is None else seen
        waiting = list(targets)[::-1]
        while waiting:
            address = waiting.pop()
            if address in seen:
                continue
            seen.add(address)
            local, domain = split_address(address)
            if self._table.local(domain) is None:
                ends[address] = None
            elif through_groups and address in self.groups:
                waiting += self.groups[address].members[::-1]
            elif (step := self._step(local, domain)) is not None:
                if step.mailbox or (step.owner and not forwarded):
                    ends[address] = None
                if forwarded or not step.owner:
                    waiting += step.targets[::-1]
            if len(ends) > MAX_TARGETS:
                raise TooManyTargets(f"{origin} stands for more than {MAX_TARGETS} addresses")
        return tuple(ends)

    def account(self, address: str) -> Account | None:
        """Return the account of an address, with a tag or not, or of a login name."""
        return self._sure(address, self._account_of(self._table.canonical(address)))

    def _account_of(self, canonical: str) -> Account | None:
        found = self.accounts.get(canonical)
        if found is None and "+" in canonical:
            local, domain = split_address(canonical)
            found = self.accounts.get(f"{local.partition('+')[0]}@{domain}")
        return found if found is not None else self._reports.get(canonical)

    def login(self, name: str) -> Account | None:
        """Return the account of a login name: its address, not one of its plus-addresses."""
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
        """Return True if the account may send from the address: its own and its plus-addresses, aliases that lead to
        it alone, all of these under domain aliases too, and its grants."""
        owner = self.accounts.get(account.address)
        if owner is None or not address:
            return False
        canonical = self._table.canonical(address)
        granted = set(map(comparable_address, owner.may_send_as))
        if granted:
            wanted = comparable_address(canonical)
            if wanted in granted or f"*@{split_address(wanted)[1]}" in granted:
                return True
        local, domain = split_address(canonical)
        step = self._step(local, domain) if self._table.local(domain) is not None else None
        if step is None or step.how not in {"account", "plus address", "alias"}:
            return False
        if step.owner:
            return step.owner == owner.address
        ends = self.expanded(step.targets, canonical, forwarded=False)
        found = [self._account_of(target) for target in ends]
        return bool(found) and all(each is not None and each.address == owner.address for each in found)

    def members(self, name: str) -> tuple[str, ...] | None:
        """Return the targets of an alias or the members of a group, None for any other name."""
        found = self.find(self._table.canonical(name))
        if found is None or found.how not in {"alias", "group"}:
            return None
        inner = (member for group in found.groups for member in self.members_of(group).ends)
        return tuple(dict.fromkeys((*found.targets, *inner)))
