"""The options of the archive: addresses that get a copy of mail."""

from smtpd_classic.config.frozen import frozen_dataclass
from smtpd_classic.config.kinds import ARCHIVES
from smtpd_classic.config.option import option

__all__ = ["Archive"]


@frozen_dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """The options of [archive]."""

    incoming: tuple[str, ...] = option(
        ARCHIVES,
        (),
        "Archive of incoming mail",
        "The addresses that get a copy of each message for a recipient here, from users here too. The copy has the "
        "fields X-Envelope-From and X-Envelope-To with all recipients, Bcc too. It is stored together with the "
        "message, and waits in the queue while the archive is full. A copy that cannot be delivered is put on hold. "
        "One that comes back here gets no copy of its own: the field X-Archive-Copy shows that it is from this server. "
        "A recipient that a filter rule or a milter takes away counts too. Notices of this server are not archived. "
        "Blank: no archive.",
    )
    outgoing: tuple[str, ...] = option(
        ARCHIVES,
        (),
        "Archive of outgoing mail",
        "The same for each message of users, trusted hosts and local programs, for recipients here too.",
    )
