"""The answers of an LMTP session (RFC 2033): after the content, each recipient has a reply of its own."""

from smtpd_classic.policy.lmtp import EachMailbox
from smtpd_classic.policy.transaction import Client
from smtpd_classic.reception.reception import Reception
from smtpd_classic.services import Services
from smtpd_classic.smtp.events import EndContent, Event, Help, StartContent
from smtpd_classic.smtp.replies import HELP_LMTP, INTERNAL_ERROR
from smtpd_classic.smtp.reply import Reply
from smtpd_classic.smtp.session import ServerSession

__all__ = ["LmtpReception", "reception_for"]


class LmtpReception(Reception):
    """The server's side of one LMTP session."""

    __slots__ = ()

    def answer(self, event: Event) -> Reply | None:
        transaction = self._transaction
        addresses = [each.address for each in transaction.recipients] if type(event) is EndContent else []
        checks = transaction.content_checks  # the answer ends the transaction, which lets go of them
        reply = super().answer(event)
        if isinstance(event, Help):
            return HELP_LMTP
        if isinstance(event, StartContent) and event.chunking and reply is not None and not reply.positive:
            return INTERNAL_ERROR  # it ends the session: the client waits for a reply to each recipient
        if not addresses or reply is None:
            return reply
        refused: dict[str, Reply] = {}
        for check in checks if reply.positive else ():
            if isinstance(check, EachMailbox):
                refused = check.refused
        for address, refusal in refused.items():
            self._journal.rejected("DATA", refusal, transaction.sender, address, transaction.queue_id)
        answers = [refused.get(address, reply) for address in addresses]
        self._session.send_first(*answers[:-1])
        return answers[-1]


def reception_for(session: ServerSession, client: Client, services: Services) -> Reception:
    """Return the answers for the protocol of the client's listener."""
    made = LmtpReception if client.listener.is_lmtp else Reception
    return made(session, client, services)
