"""The accounts and aliases of a running server: looked up by many threads, read again when a file changes."""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

from smtpd_classic.accounts.account import NORMAL, Account, LoginCircumstances, ResolvedAddress, StoredScramKeys
from smtpd_classic.accounts.address import domain_table
from smtpd_classic.accounts.book import address_book
from smtpd_classic.accounts.checks import check
from smtpd_classic.accounts.directory import DirectoryReport, unreported, user_directory
from smtpd_classic.accounts.groups import MailGroup
from smtpd_classic.accounts.login import Logins, cost_samples
from smtpd_classic.accounts.passwords import scram_keys
from smtpd_classic.accounts.reading import (
    AliasTable,
    FileSignature,
    NotText,
    UserTable,
    file_signature,
    read_aliases,
    read_text,
    read_users,
    unreadable,
)
from smtpd_classic.accounts.resolution import AddressBook, GroupMembers
from smtpd_classic.config.kinds import MailboxPlace
from smtpd_classic.config.problem import Problem
from smtpd_classic.config.schema import Config
from smtpd_classic.smtp.sasl import ServerMechanism

__all__ = ["Accounts"]

F = TypeVar("F", bound="_WatchedFile")
_LOOK_INTERVAL_S = 1.0
_WITHOUT_TLS = LoginCircumstances()
_FEW = 3  # fewer accounts than these may all be replaced at once


class _WatchedFile(Protocol):
    """The content of one file: the users or the aliases."""

    @property
    def whole(self) -> bool: ...
    @property
    def problems(self) -> tuple[Problem, ...]: ...


class _State(NamedTuple):
    """The content of both files at one moment."""

    users: UserTable
    aliases: AliasTable
    signatures: tuple[FileSignature, FileSignature]
    book: AddressBook
    all_scram: bool
    cost_samples: tuple[str, ...]


class Accounts:
    """The accounts and aliases of a running server. Thread-safe.

    A users file that becomes empty or loses more than half of its accounts is not taken before the next start or
    reload, which makes new `Accounts`.

    A file that has become unreadable leaves in force what it said before. Where there is no before, what can be read is
    used, and for what is not in it `AccountsUnreadable` is raised, so that mail waits instead of coming back.
    """

    def __init__(
        self,
        config: Config,
        complain: Callable[[str], None] = lambda sentence: None,
        *,
        clock: Callable[[], float] = time.monotonic,
        report: DirectoryReport = unreported,
    ) -> None:
        """`report` takes the state of the sockets of Dovecot, if the accounts live there."""
        self._config = config
        self._complain = complain
        self._clock = clock
        self._table = domain_table(config)
        self._paths = (config.server.users_file, config.server.aliases_file)
        self._logins = Logins()
        self._directory = user_directory(config, self._table, report)
        self._directory_table = UserTable(self._directory, {}) if self._directory is not None else None
        self._reloading = threading.Lock()
        self._failed: set[str] = set()
        self._said: dict[str, tuple[Problem, ...]] = {}
        self._state: _State | None = None
        self._look_at = 0.0
        self._current()

    def is_local_domain(self, domain: str) -> bool:
        return self._table.local(domain) is not None

    def mailbox_place(self, domain: str) -> MailboxPlace:
        """Return the place of the mailboxes of a local domain."""
        return self._table.place(domain)

    def canonical(self, address: str) -> str:
        """Return the one spelling: no domain alias, lower case, and the primary domain if there is none."""
        return self._table.canonical(address)

    def find(self, address: str) -> ResolvedAddress | None:
        """Return the targets of an address of a local domain, or of a bare "postmaster"; None if unknown."""
        book = self._current().book
        found = book.known.get(address)
        if found is not None:
            return found
        if self._directory is None:
            return self._current(at_once=True).book.find(address)
        found = book.find(address)
        if found is not None and found.how == "account":  # no line of the aliases could change this
            return found
        newest = self._current(at_once=True).book
        return found if newest is book else newest.find(address)

    def account(self, address: str) -> Account | None:
        """Return the account of an address, with a tag or not, or of a login name."""
        if self._directory is None and (found := self._current().book.accounts.get(address)) is not None:
            return found  # a directory is asked for local addresses alone
        domain = address.rpartition("@")[2]
        if len(domain) < len(address) and not self.is_local_domain(domain):
            return None  # without a look at the files: no line of theirs could make it one
        return self._current().book.accounts.get(address) or self._current(at_once=True).book.account(address)

    def full_name(self, address: str) -> str:
        """Return the full name of an account; blank for any other address."""
        account = self.account(address)
        return account.full_name if account is not None else ""

    def members(self, alias: str) -> tuple[str, ...] | None:
        """Return the addresses that an alias or a group stands for; None if it is neither."""
        return self._current(at_once=True).book.members(alias)

    def group(self, address: str) -> MailGroup | None:
        """Return the group of a canonical address."""
        return self._current().book.groups.get(address)

    def members_of(self, group: str) -> GroupMembers:
        """Return the members of a group. Raises AccountsUnreadable."""
        return self._current(at_once=True).book.members_of(group)

    def reached(self, address: str) -> tuple[str, ...]:
        """Return all ends of an address of a local domain, with the members of groups; none if it does not exist."""
        found = self.find(address)
        if found is None or not found.groups:
            return found.targets if found is not None else ()
        members = (member for group in found.groups for member in self.members_of(group).ends)
        return tuple(dict.fromkeys((*found.targets, *members)))

    def owns(self, account: Account, address: str) -> bool:
        """Return True if the account may send from the address."""
        return self._current().book.owns(account, address)

    def authenticate(
        self, login: str, password: str, circumstances: LoginCircumstances = _WITHOUT_TLS
    ) -> Account | None:
        """Return the account if it may log in and the password fits. All failures look and last the same."""
        if self._directory is not None:
            return self._directory.authenticate(login, password, circumstances)
        state = self._current(at_once=True)
        account = state.book.login(login)
        return account if self._logins.succeeds(account, password, self._clock(), state.cost_samples) else None

    def scram_keys(self, login: str) -> StoredScramKeys | None:
        """Return the keys of an account that may log in and is stored for SCRAM-SHA-256."""
        account = self._current(at_once=True).book.login(login)
        return scram_keys(account.password) if account is not None and account.status == NORMAL else None

    @property
    def in_directory(self) -> bool:
        """Return True if another program knows the accounts."""
        return self._directory is not None

    def exchange(self, mechanism: str, circumstances: LoginCircumstances) -> ServerMechanism:
        """Return the side of the server of a mechanism that the directory decides."""
        assert self._directory is not None
        return self._directory.exchange(mechanism, circumstances)

    def mechanisms(self) -> tuple[str, ...]:
        """Return the mechanisms for a login. SCRAM-SHA-256 is one if every account that can log in, and there is one,
        is stored for it."""
        if self._directory is not None:
            return self._directory.mechanisms()
        return ("PLAIN", "LOGIN", "SCRAM-SHA-256") if self._current().all_scram else ("PLAIN", "LOGIN")

    def addresses(self) -> tuple[str, ...]:
        """Return the addresses of all accounts, in the order of the file."""
        return tuple(self._current(at_once=True).book.accounts)

    def close(self) -> None:
        """End the threads that verify passwords, and the connections to another program that knows the accounts. No
        session may use them any more."""
        self._logins.close()
        if self._directory is not None:
            self._directory.close()

    @staticmethod
    def check(config: Config) -> list[Problem]:
        """Return the problems of both files under this configuration, and of the addresses in the configuration."""
        return check(config, domain_table(config))

    def _current(self, *, at_once: bool = False) -> _State:
        state = self._state
        if state is not None and not at_once and self._clock() < self._look_at:
            return state
        # One thread reads. The others use the old state, unless there is none or the address is not in it.
        if self._reloading.acquire(blocking=at_once or state is None):
            try:
                self._look()
            finally:
                self._reloading.release()
        assert self._state is not None
        return self._state

    def _look(self) -> None:
        self._look_at = self._clock() + _LOOK_INTERVAL_S
        signatures = file_signature(self._paths[0]), file_signature(self._paths[1])
        old = self._state
        changed = [
            old is None or now != before or path in self._failed
            for path, now, before in zip(self._paths, signatures, old.signatures if old else signatures, strict=True)
        ]
        if old is not None and not any(changed):
            return
        users = self._read_users(old) if old is None or changed[0] else old.users
        aliases = self._read_aliases(old) if old is None or changed[1] else old.aliases
        if old is not None and users is old.users and aliases is old.aliases:
            self._state = old._replace(signatures=signatures)
            return
        self._state = self._state_of(users, aliases, signatures)
        self._logins.forget()

    def _read_users(self, old: _State | None) -> UserTable:
        if self._directory_table is not None:
            return self._directory_table
        path = self._paths[0]
        try:
            users = read_users(path, self._text(path), self._table, self._config.server)
        except (OSError, NotText) as problem:
            users = UserTable({}, {}, (unreadable(path, problem),), whole=False)
        if old is not None and users.whole and (lost := _lost(old.users, users)):
            self._complain(
                f"{path}: {lost} of {len(old.users.accounts)} accounts are gone; the file as it was before stays in "
                "force until “smtpd-classic reload” confirms the new one."
            )
            return old.users
        return self._kept(path, users, old.users if old else None)

    def _read_aliases(self, old: _State | None) -> AliasTable:
        path = self._paths[1]
        try:
            aliases = read_aliases(path, self._text(path), self._table)
        except (OSError, NotText) as problem:
            aliases = AliasTable({}, {}, (unreadable(path, problem),), whole=False)
            # A server without aliases needs no file of them; one that had some has lost it.
            if isinstance(problem, FileNotFoundError) and (old is None or not old.aliases.targets):
                aliases = AliasTable({}, {})
        return self._kept(path, aliases, old.aliases if old else None)

    def _text(self, path: str) -> str:
        """Read a file. A failure of the system (too many open files) is tried again, with the file unchanged."""
        self._failed.discard(path)
        try:
            return read_text(path)
        except FileNotFoundError:
            raise
        except OSError:
            self._failed.add(path)
            raise

    def _kept(self, path: str, new: F, old: F | None) -> F:
        """Return the new content of a file, or the one in force when the new one is broken, and log that once."""
        broken = not new.whole and old is not None and old.whole
        if new.problems != self._said.get(path):
            self._said[path] = new.problems
            for problem in new.problems:
                if problem.is_error:
                    self._complain(str(problem))
            if broken:
                self._complain(f"{path}: the last good version stays in force.")
        return old if old is not None and broken else new

    def _state_of(
        self, users: UserTable, aliases: AliasTable, signatures: tuple[FileSignature, FileSignature]
    ) -> _State:
        book = address_book(self._config, self._table, users, aliases)
        able = [each for each in users.accounts.values() if each.status == NORMAL and each.password]
        all_scram = bool(able) and all(scram_keys(each.password) is not None for each in able)
        return _State(users, aliases, signatures, book, all_scram, cost_samples(users.accounts.values()))


def _lost(old: UserTable, new: UserTable) -> int:
    """Return how many accounts are gone if that looks like an accident: all, or more than half of three or more."""
    lost = len(old.accounts.keys() - new.accounts.keys())
    suspicious = lost * 2 > len(old.accounts) and (not new.accounts or len(old.accounts) >= _FEW)
    return lost if suspicious else 0
