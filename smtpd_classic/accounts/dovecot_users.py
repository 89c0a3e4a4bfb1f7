"""The accounts of a Dovecot, looked up when they are needed.

Rule 1: an address that could not be an account is not looked up.
Rule 2: without an answer AccountsUnreadable is raised, so that mail and logins wait.
"""

import base64
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from smtpd_classic.accounts.account import Account, AccountsUnreadable, LoginCircumstances
from smtpd_classic.accounts.address import DomainTable, account_problem
from smtpd_classic.accounts.directory import DirectoryReport, UserDirectory
from smtpd_classic.config.schema import Config
from smtpd_classic.dovecot.protocol import AuthReply, parameter
from smtpd_classic.dovecot.sockets import AuthClient, AuthExchange, UserLookups, user_of
from smtpd_classic.pool import NeighbourFailure
from smtpd_classic.smtp.address import split_address
from smtpd_classic.smtp.exchange import Challenge, Failure, Step, Success

__all__ = ["AUTH", "USERDB", "DovecotExchange", "DovecotUsers"]

AUTH, USERDB = "auth-client", "auth-userdb"  # their names in `status`
_KNOWN_S, _UNKNOWN_S = 10.0, 1.0
_MOST_KEPT = 10_000
_PASSED_ON = ("SCRAM-SHA-256", "OAUTHBEARER", "XOAUTH2")
_BY_PASSWORD = ("PLAIN", "LOGIN")


class _Kept(NamedTuple):
    account: Account | None
    until: float


class DovecotUsers(UserDirectory):
    """The accounts that the sockets of a Dovecot know. Its answers are kept for seconds."""

    def __init__(
        self,
        config: Config,
        table: DomainTable,
        report: DirectoryReport,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        server = config.server
        self._table = table
        self._clock = clock
        self._auth = AuthClient(server.dovecot_auth, lambda reason, took_s: report(AUTH, reason, took_s))
        self._userdb = UserLookups(server.dovecot_userdb, lambda reason, took_s: report(USERDB, reason, took_s))
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}

    def __getitem__(self, address: str) -> Account:
        found = self._look_up(address)
        if found is None:
            raise KeyError(address)
        return found

    def __contains__(self, address: object) -> bool:
        return isinstance(address, str) and self._look_up(address) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        return True

    def _look_up(self, address: str) -> Account | None:
        now = self._clock()
        kept = self._kept.get(address)  # at once: a thread never sees it half changed
        if kept is not None and now < kept.until:
            return kept.account
        domain = split_address(address)[1]
        if self._table.local(domain) is None or account_problem(address) is not None:
            return None
        try:
            found = Account(address) if self._userdb.exists(address) else None
        except NeighbourFailure as problem:
            raise AccountsUnreadable(str(problem)) from None
        with self._lock:
            self._kept.pop(address, None)
            if len(self._kept) >= _MOST_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[address] = _Kept(found, now + (_UNKNOWN_S if found is None else _KNOWN_S))
        return found

    def mechanisms(self) -> tuple[str, ...]:
        """Return the mechanisms of Dovecot that the server can pass on."""
        offered = self._auth.mechanisms()
        known = _BY_PASSWORD + _PASSED_ON
        return tuple(each for each in known if each in offered) or _BY_PASSWORD

    def authenticate(self, login: str, password: str, circumstances: LoginCircumstances) -> Account | None:
        try:
            user = self._auth.password_login(login, password, _parameters(circumstances))
        except NeighbourFailure as problem:
            raise AccountsUnreadable(str(problem)) from None
        return self.get(self._table.canonical(user)) if user else None

    def exchange(self, mechanism: str, circumstances: LoginCircumstances) -> "DovecotExchange":
        return DovecotExchange(self._auth.exchange(mechanism, _parameters(circumstances)))

    def close(self) -> None:
        self._auth.close()
        self._userdb.close()


def _parameters(login: LoginCircumstances) -> str:
    """Return the parameters of a request. Failed logins of an address are counted here, so Dovecot need not do it."""
    secured = "\tsecured" if login.tls_version else ""
    tls = parameter("tls_cipher", login.tls_cipher) + parameter("tls_protocol", login.tls_version)
    bits = parameter("tls_cipher_bits", str(login.tls_bits)) if login.tls_bits else ""
    port = parameter("rport", str(login.client_port)) if login.client_port else ""
    addresses = parameter("lip", login.server_ip) + parameter("rip", login.client_ip)
    return f"\tservice=smtp{secured}\tno-penalty{addresses}{port}{tls}{bits}"


class DovecotExchange:
    """A mechanism of SASL: Dovecot makes and reads its messages."""

    def __init__(self, exchange: AuthExchange) -> None:
        self._exchange = exchange
        self._begun = False

    def step(self, response: bytes | None) -> Step:
        """Return the next step after a response of the client. Raises AccountsUnreadable."""
        try:
            if self._begun:
                return self._step(self._exchange.go_on(response or b""))
            self._begun = True
            return self._step(self._exchange.begin(response))
        except NeighbourFailure as problem:
            raise AccountsUnreadable(str(problem)) from None

    def cancel(self) -> None:
        """Let Dovecot forget the exchange."""
        self._exchange.cancel()

    def _step(self, reply: AuthReply) -> Step:
        if reply.word == "CONT":
            return Challenge(_octets(reply.words[0] if reply.words else ""))
        user = user_of(reply)
        return Failure(reply.value("user") or "") if user is None else Success(user)


def _octets(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise NeighbourFailure("Dovecot sent a challenge that is not base64") from None
