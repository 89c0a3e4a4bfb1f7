"""The servers that are measured, in the order of their turns."""

from tests.bench.authenticated import AUTHENTICATED
from tests.bench.exim import Exim
from tests.bench.filtered import FILTERED
from tests.bench.opensmtpd import OpenSmtpd
from tests.bench.ours import Interpreted, Ours
from tests.bench.peer import Peer
from tests.bench.plain import Aiosmtpd, SinkAlone
from tests.bench.postfix import Postfix

__all__ = ["PEERS"]

PEERS: tuple[type[Peer], ...] = (
    Ours,
    Interpreted,
    Postfix,
    Exim,
    OpenSmtpd,
    Aiosmtpd,
    SinkAlone,
    *AUTHENTICATED,
    *FILTERED,
)
