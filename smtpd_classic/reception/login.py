"""AUTH (RFC 4954): one exchange after the other until one succeeds, or too many have failed."""

from smtpd_classic.accounts import Account, LoginCircumstances
from smtpd_classic.counters.sender_limits import SUSPENDED, group_of
from smtpd_classic.dns import DnsFailure
from smtpd_classic.policy import ClientContext
from smtpd_classic.reception.journal import ReceptionLog
from smtpd_classic.services import Services
from smtpd_classic.smtp import sasl
from smtpd_classic.smtp.events import Auth, AuthResponse
from smtpd_classic.smtp.replies import (
    AUTHENTICATED,
    BLOCKED,
    LOGIN_FAILED,
    LOGIN_NOT_AVAILABLE,
    LOGIN_SUSPENDED,
    TOO_MANY_FAILED_LOGINS,
    UNKNOWN_MECHANISM,
    challenge,
)
from smtpd_classic.smtp.reply import Reply

__all__ = ["LoginDialogue"]

_MOST_FAILURES = 3


class LoginDialogue:
    """The AUTH exchange of one session. A success sets `peer.login`."""

    __slots__ = ("_exchange", "_failures", "_journal", "_mechanism", "_peer", "_services")

    def __init__(self, services: Services, peer: ClientContext, journal: ReceptionLog) -> None:
        self._services = services
        self._peer = peer
        self._journal = journal
        self._exchange: sasl.ServerMechanism | None = None
        self._mechanism = ""
        self._failures = 0

    def begin(self, event: Auth) -> Reply:
        self.abandon()
        self._mechanism = event.mechanism
        accounts = self._services.accounts
        match event.mechanism:
            case "PLAIN":
                self._exchange = sasl.PlainMechanism()
            case "LOGIN":
                self._exchange = sasl.LoginMechanism()
            case _ if accounts.in_directory:
                self._exchange = accounts.exchange(event.mechanism, self._circumstances())
            case "SCRAM-SHA-256":
                # The salt of a name that does not exist must be the same in every process.
                secret = self._services.runtime.secret("scram")
                self._exchange = sasl.ScramSha256(accounts.scram_keys, secret=secret)
            case _:
                return UNKNOWN_MECHANISM
        return self._step(event.initial_response)

    def go_on(self, event: AuthResponse) -> Reply:
        return self._step(event.response)

    def abandon(self) -> None:
        """End an exchange that the client has not completed."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.cancel()

    def _circumstances(self) -> LoginCircumstances:
        client, session = self._peer.client, self._peer.session
        tls = session.tls if session is not None else None
        if tls is None:
            return LoginCircumstances(client.ip, client.port, client.server_ip)
        return LoginCircumstances(client.ip, client.port, client.server_ip, tls.version, tls.cipher, tls.bits)

    def count_attacks(self, number: int) -> None:
        """Count, at the end of the session, the commands that only attackers send; they may lead to a block.

        A session that has logged in is not an attack.
        """
        if not number or self._peer.login is not None or self._exempt():
            return
        attack, ip = self._services.runtime.failures.attack, self._peer.client.ip
        if any(attack(ip) for _ in range(number)):
            self._blocked("signs of an attack")

    def _step(self, response: bytes | None) -> Reply:
        exchange = self._exchange
        if exchange is None:
            return LOGIN_NOT_AVAILABLE
        try:
            step = exchange.step(response)
            match step:
                case sasl.Challenge(octets):
                    return challenge(octets.decode())
                case sasl.Credentials():
                    accounts, circumstances = self._services.accounts, self._circumstances()
                    account = accounts.authenticate(step.login, step.password, circumstances)
                    return self._proven(account, step.login, step.authzid, step.password)
                case sasl.Success():
                    return self._proven(self._services.accounts.account(step.login), step.login, step.authzid)
                case sasl.Failure():
                    return self._failed(step.login)
        except Exception as problem:  # a broken users file must not look like a wrong password
            self._journal.warning(f"login cannot be decided: {type(problem).__name__}: {problem}")
            return LOGIN_NOT_AVAILABLE

    def _proven(self, account: Account | None, login: str, authzid: str, password: str = "") -> Reply:
        """Check that the authorisation identity only repeats the login (RFC 4616 2): no user acts for another."""
        accounts = self._services.accounts
        if account is None or (authzid and accounts.canonical(authzid) != account.address):
            return self._failed(login, password)
        self._exchange = None
        group = group_of(account.address, "")
        if self._services.counters.numbers(group, [SUSPENDED])[SUSPENDED].value:
            self._journal.warning(f"{self._peer.client}: login refused: {account.address} is suspended")
            return LOGIN_SUSPENDED
        self._peer.login = account
        self._services.runtime.failures.succeeded(self._peer.client.ip)
        self._peer.mechanism = self._mechanism
        return AUTHENTICATED

    def _failed(self, login: str, password: str = "") -> Reply:
        """Count a failed login. A wrong SCRAM proof does not reveal the password: per name, all count as the same
        password."""
        self._exchange = None
        self._failures += 1
        self._journal.login_failed(self._mechanism, login)
        client = self._peer.client
        if not self._exempt() and self._services.runtime.failures.login(client.ip, login, password):
            self._blocked("failed logins")
            return BLOCKED
        return TOO_MANY_FAILED_LOGINS if self._failures >= _MOST_FAILURES else LOGIN_FAILED

    def _exempt(self) -> bool:
        """Return True for Trusted Hosts and clients of LMTP, which are never blocked, and for a client if DNS cannot
        show now that it is none."""
        try:
            return self._peer.client.listener.is_lmtp or bool(self._peer.trust())
        except DnsFailure:
            return True

    def _blocked(self, why: str) -> None:
        self._journal.warning(f"{self._peer.client} is blocked for a while: too many {why}")
