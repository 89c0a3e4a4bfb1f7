"""Mail from the server in plain words, to its postmaster and to others."""

from collections.abc import Callable

from smtpd_classic.accounts import Accounts, AccountsUnreadable
from smtpd_classic.config.schema import Config
from smtpd_classic.dsn import Notification, plain_notice
from spool import Envelope, Recipient, Spool, SpoolBroken, SpoolFull, new_queue_id

__all__ = ["PostmasterMail", "recipients_of"]


def recipients_of(accounts: Accounts, address: str) -> tuple[Recipient, ...]:
    """Return the recipients that mail for the address reaches; none if it is local and does not exist. Raises
    AccountsUnreadable.
    """
    if not accounts.is_local_domain(address.rpartition("@")[2]):
        return (Recipient(address),)
    targets = accounts.reached(address)
    return tuple(Recipient(target, original=address if target != address else "") for target in targets)


class PostmasterMail:
    """Puts mail of the server into the queue. `wake` is called with the queue id of each."""

    def __init__(
        self,
        config: Config,
        spool: Spool,
        accounts: Accounts,
        clock: Callable[[], float],
        wake: Callable[[str], object],
    ) -> None:
        self._config = config
        self._spool = spool
        self._accounts = accounts
        self._clock = clock
        self._wake = wake

    def send(self, subject: str, words: str) -> str:
        """Queue a message from the null sender to the postmaster. Return the problem, or blank."""
        return self.send_to(self._config.postmaster, subject, words)

    def send_to(self, address: str, subject: str, words: str, *, quoted: str = "", answers: bool = True) -> str:
        """Queue a message from the null sender. Return the problem, or blank. `quoted` stands below the words."""
        now, postmaster = self._clock(), self._config.postmaster
        token = new_queue_id(now)
        note = Notification("", token, self._config.helo_name, postmaster, address, now, now, (), answers=answers)
        try:
            recipients = recipients_of(self._accounts, address)
            if not recipients:
                return "there is no such address"
            utf8 = any(not each.address.isascii() for each in recipients)
            with self._spool.draft(token) as draft:
                draft.write(plain_notice(note, subject, words, quoted))
                draft.commit(Envelope("", recipients, body_8bit=True, smtputf8=utf8, sign=True), now)
        except (SpoolFull, SpoolBroken, AccountsUnreadable) as problem:
            return str(problem)
        self._wake(token)
        return ""
