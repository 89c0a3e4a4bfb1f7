"""Accounts that live in another program: how the server asks for them."""

from abc import abstractmethod
from collections.abc import Callable, Mapping

from smtpd_classic.accounts.account import Account, LoginCircumstances
from smtpd_classic.accounts.address import DomainTable
from smtpd_classic.config.schema import Config
from smtpd_classic.smtp.sasl import ServerMechanism

__all__ = ["IN_DOVECOT", "DirectoryReport", "UserDirectory", "unreported", "user_directory"]

IN_DOVECOT = "dovecot"
DirectoryReport = Callable[[str, str, float], object]


class UserDirectory(Mapping[str, Account]):
    """Accounts by canonical address. Thread-safe. Every look-up raises AccountsUnreadable if it cannot be decided.

    It has no list of its accounts, so an iteration finds none.
    """

    @abstractmethod
    def mechanisms(self) -> tuple[str, ...]:
        """Return the mechanisms for a login."""

    @abstractmethod
    def authenticate(self, login: str, password: str, circumstances: LoginCircumstances) -> Account | None:
        """Return the account if the password fits."""

    @abstractmethod
    def exchange(self, mechanism: str, circumstances: LoginCircumstances) -> ServerMechanism:
        """Return the server's side of a mechanism other than PLAIN and LOGIN."""

    @abstractmethod
    def close(self) -> None:
        """Close the connections."""


def unreported(name: str, reason: str, took_s: float) -> None:
    """Take the state of a socket in a program that has no use for it."""


def user_directory(config: Config, table: DomainTable, report: DirectoryReport = unreported) -> UserDirectory | None:
    """Return the accounts of the configuration if they live in Dovecot, None if they are in the users file."""
    if config.server.accounts != IN_DOVECOT:
        return None
    from smtpd_classic.accounts.dovecot_users import DovecotUsers  # noqa: PLC0415 - not loaded without the option

    return DovecotUsers(config, table, report)
