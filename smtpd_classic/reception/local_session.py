"""A session of local submission without a socket: the same protocol, the same policy, the same reception.

What the server finds in maildrop/ is taken by it as if its user had sent it just now, at the socket.
"""

from smtpd_classic.config.schema import Config, Listener
from smtpd_classic.policy import Client
from smtpd_classic.reception.reception import Reception
from smtpd_classic.services import Services
from smtpd_classic.smtp.events import Pause
from smtpd_classic.smtp.extensions import Extensions
from smtpd_classic.smtp.session import ServerSession, SessionLimits

__all__ = ["LOCAL", "LocalSession", "extensions_for", "limits_for"]

LOCAL = Listener(name="local submission", address=(), port=0, tls="none", auth="none")


def extensions_for(config: Config) -> Extensions:
    """Return the extensions of local submission. The primary domain completes addresses without one, such as “root”."""
    return Extensions(
        helo_name=config.helo_name,
        max_message_size=config.basic.max_message_size,
        max_recipients=config.basic.max_recipients,
        starttls=False,
        auth=(),
        auth_without_tls=False,
        vrfy=config.basic.allow_vrfy_expn,
        domain=config.mail_domain,
    )


def limits_for(config: Config) -> SessionLimits:
    """Return the limits: wrong recipients do not end a session, because they are all in one message of a local user."""
    return SessionLimits(0, config.access.max_commands, config.basic.max_rset)


class LocalSession:
    """A `submission.conversation.Channel`, as the user `uid`. To be closed."""

    def __init__(self, services: Services, uid: int) -> None:
        client = Client("", 0, "localhost", LOCAL, local=True, uid=uid)
        self._session = ServerSession(extensions_for(services.config), limits_for(services.config))
        self._reception = Reception(self._session, client, services)
        self._out = b""
        self._go_on()

    def send(self, data: bytes) -> None:
        self._session.receive_data(data)
        self._go_on()

    def receive(self) -> bytes:
        out, self._out = self._out, b""
        return out

    def close(self, reason: str = "quit") -> None:
        self._reception.closed(reason)

    def _go_on(self) -> None:
        while not isinstance(event := self._session.next_event(), Pause):
            reply = self._reception.answer(event)
            if reply is not None:
                self._session.answer(reply)
        self._out += self._session.data_to_send()
