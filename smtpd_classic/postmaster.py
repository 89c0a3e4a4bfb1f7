"""Mail from the server, from the null sender: in plain words to its postmaster and to others, and notifications."""

from collections.abc import Callable, Iterable

from smtpd_classic.accounts import Accounts, AccountsUnreadable
from smtpd_classic.config.schema import Config
from smtpd_classic.dsn import Notification, plain_notice
from smtpd_classic.smtp.address import NULL_SENDER
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
        """Queue a message to the postmaster. Return the problem, or blank."""
        return self.send_to(self._config.postmaster, subject, words)

    def send_to(self, address: str, subject: str, words: str, *, quoted: str = "", answers: bool = True) -> str:
        """Queue a message. Return the problem, or blank."""
        try:
            posted = self.post(address, subject, words, quoted=quoted, answers=answers)
        except (SpoolFull, SpoolBroken, AccountsUnreadable) as problem:
            return str(problem)
        return "" if posted else "there is no such address"

    def post(self, address: str, subject: str, words: str, *, quoted: str = "", answers: bool = True) -> bool:
        """Queue a message; `quoted` stands below the words. Return False if the address is local and does not exist.
        Raises the errors of the spool, and AccountsUnreadable.
        """
        recipients = self.recipients(address)
        if recipients:
            now, postmaster = self._clock(), self._config.postmaster
            token = new_queue_id(now)
            note = Notification("", token, self._config.helo_name, postmaster, address, now, now, (), answers=answers)
            self.commit(token, recipients, (plain_notice(note, subject, words, quoted),), now, body_8bit=True)
        return bool(recipients)

    def recipients(self, address: str) -> tuple[Recipient, ...]:
        """Return the recipients that mail for the address reaches, as `recipients_of` does."""
        return recipients_of(self._accounts, address)

    def commit(
        self, queue_id: str, recipients: tuple[Recipient, ...], pieces: Iterable[bytes], now: float, *, body_8bit: bool
    ) -> None:
        """Queue a message from the null sender. Raises the errors of the spool."""
        utf8 = any(not recipient.address.isascii() for recipient in recipients)
        envelope = Envelope(NULL_SENDER, recipients, body_8bit=body_8bit, smtputf8=utf8, sign=True)
        with self._spool.draft(queue_id) as draft:
            for piece in pieces:
                draft.write(piece)
            draft.commit(envelope, now)
        self._wake(queue_id)
