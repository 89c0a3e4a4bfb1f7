"""A host that sends no greeting: it is busy, or it expects TLS from the first octet, as on port 465."""

from smtpd_classic.client.network import Network, Target
from smtpd_classic.client.transcript import Transcript
from smtpd_classic.client.wire import ClientWire, ConnectionLost, connect

__all__ = ["TRY_S", "expects_tls_at_once"]

TRY_S = 5.0


def expects_tls_at_once(wire: ClientWire, target: Target, network: Network, transcript: Transcript) -> bool:
    """Return True if the host sends no greeting for a while, and takes TLS at once on another connection.

    Only hosts that must have TLS, and with STARTTLS, are asked so. The first connection stays open.
    """
    if not target.encryption.required or target.implicit_tls:
        return False
    if wire.has_data(min(network.timeouts.silence, network.timeouts.greeting)):
        return False
    transcript.happened("no greeting yet; trying whether the host expects TLS at once")
    try:
        other = connect(target.peer, target.endpoint(network.local), TRY_S, transcript)
    except ConnectionLost:
        return False
    try:
        other.start_tls(network.tls.any_certificate, target.peer.name, TRY_S)
    except ConnectionLost:
        return False
    finally:
        other.close()
    return True
