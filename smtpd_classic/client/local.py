"""Delivery of queued mail into mailboxes on this machine. Most local mail is delivered during reception."""

from dataclasses import dataclass

from smtpd_classic.accounts import DISABLED, Account, Accounts, AccountsUnreadable
from smtpd_classic.client.transport import Action, DeliveryJob, JobRecipient, Outcome, Peer, Settle
from smtpd_classic.mailstore.store import MailStore, MailStoreBroken, MailStoreFull
from smtpd_classic.message.trace import envelope_to, return_path
from smtpd_classic.smtp.reply import Reply

__all__ = ["MaildirTransport"]

_HERE = Peer("local")
_DELIVERED = Outcome("", Action.DELIVERED, Reply(250, "2.0.0", "delivered to maildir"), _HERE)
_NO_SUCH_USER = Outcome("", Action.FAILED, Reply(550, "5.1.1", "there is no such user here"), _HERE)
_SWITCHED_OFF = Outcome("", Action.FAILED, Reply(550, "5.2.1", "the mailbox is disabled"), _HERE)
_FULL = Outcome("", Action.DELAYED, Reply(452, "4.2.2", "the mailbox is full"), _HERE)


@dataclass(frozen=True, slots=True)
class MaildirTransport:
    accounts: Accounts
    mail_store: MailStore

    def deliver(self, job: DeliveryJob, settle: Settle) -> None:
        """Write one copy and link it into all mailboxes; a failure of one mailbox does not delay the others."""
        folders: dict[str, list[JobRecipient]] = {}
        for recipient in job.recipients:
            found = self._mailbox(recipient.address, job.content.facts().size)
            if isinstance(found, Outcome):
                settle([found.of(recipient.address)])
            else:
                folders.setdefault(found.junk_maildir if job.junk else found.folder, []).append(recipient)
        if folders:
            settle(self._write(job, folders))

    def _mailbox(self, address: str, size: int) -> Account | Outcome:
        try:
            account = self.accounts.account(address)
        except AccountsUnreadable as problem:
            return _deferred("4.3.0", str(problem))
        if account is None:
            return _NO_SUCH_USER
        if account.status == DISABLED:
            return _SWITCHED_OFF
        try:
            used = self.mail_store.quota_used(account.folder, account.uncounted_maildir) if account.quota else 0
        except MailStoreBroken as problem:
            return _deferred("4.3.0", str(problem))
        return _FULL if account.quota and used + size > account.quota else account

    def _write(self, job: DeliveryJob, folders: dict[str, list[JobRecipient]]) -> list[Outcome]:
        on_top = return_path(job.sender)
        if job.alone:
            only = job.recipients[0]
            on_top += envelope_to(only.original or only.address)
        try:
            with self.mail_store.incoming() as incoming:
                incoming.write(on_top)
                for chunk in job.content.chunks():
                    incoming.write(chunk)
                # Envelope-To may name an alias of several mailboxes, from which a sweep could not find this one.
                left = set(incoming.deliver(list(folders), sync_names=True, is_junk=job.junk))
        except (MailStoreFull, MailStoreBroken) as problem:
            enhanced = "4.3.1" if isinstance(problem, MailStoreFull) else "4.3.0"
            return job.only(_addresses(folders)).all(_deferred(enhanced, str(problem)))
        missed = _deferred("4.3.0", "the mailbox could not be written to")
        return [
            (missed if folder in left else _DELIVERED).of(recipient.address)
            for folder, recipients in folders.items()
            for recipient in recipients
        ]


def _addresses(folders: dict[str, list[JobRecipient]]) -> set[str]:
    return {recipient.address for recipients in folders.values() for recipient in recipients}


def _deferred(enhanced: str, words: str) -> Outcome:
    return Outcome("", Action.DELAYED, Reply(451, enhanced, words), _HERE)
