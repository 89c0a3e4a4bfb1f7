"""The envelope and the macros that milters get, from the state of a transaction."""

import time
from collections.abc import Iterator

from smtpd_classic import __version__
from smtpd_classic.milter.session import FilteredEnvelope
from smtpd_classic.policy.transaction import ClientContext, Transaction
from smtpd_classic.smtp.events import MailFrom
from smtpd_classic.smtp.grammar import encode_xtext

__all__ = ["envelope_of", "recipient_macros"]


def envelope_of(transaction: Transaction) -> FilteredEnvelope:
    """Return the client and sender. A local program is shown as a client at the loopback address."""
    peer, mail = transaction.peer, transaction.mail
    client = peer.client
    ip = "127.0.0.1" if client.local else client.ip
    host = client.name if client.name not in {"", "unknown"} else f"[{ip}]"
    known = {**_client_macros(peer, ip, host), **_session_macros(peer), **_mail_macros(transaction)}
    parameters = tuple(_parameters(mail))
    return FilteredEnvelope(host, ip, client.port, peer.hello, transaction.sender, parameters, known)


def _parameters(mail: MailFrom) -> Iterator[str]:
    """Yield the parameters of MAIL."""
    if mail.size is not None:
        yield f"SIZE={mail.size}"
    if mail.body_8bit:
        yield "BODY=8BITMIME"
    if mail.smtputf8:
        yield "SMTPUTF8"
    if mail.ret:
        yield f"RET={mail.ret}"
    if mail.envid:
        yield f"ENVID={encode_xtext(mail.envid)}"
    if mail.submitter:
        yield f"AUTH={encode_xtext(mail.submitter)}"


def _client_macros(peer: ClientContext, ip: str, host: str) -> dict[str, str]:
    client = peer.client
    name = peer.rules.config.helo_name
    connections = 0 if client.local else peer.rules.sources.connections_of(client.ip)
    shown = f"IPv6:{ip}" if ":" in ip else ip
    return {
        "j": name,
        "v": f"smtpd-classic {__version__}",
        "_": host if host.startswith("[") else f"{host} [{shown}]",
        "daemon_name": name,
        "daemon_port": str(client.listener.port),
        "daemon_addr": client.server_ip,
        "if_addr": client.server_ip,
        "if_name": name if client.server_ip else "",
        "client_addr": ip,
        "client_name": client.name,
        "client_ptr": client.name,
        "client_port": str(client.port),
        "client_connections": str(connections) if connections else "",
        "client_resolve": "FAIL" if host.startswith("[") else "OK",
    }


def _session_macros(peer: ClientContext) -> dict[str, str]:
    """Return the macros of TLS and of the login. There are none of a certificate, for clients are asked for none."""
    session, login = peer.session, peer.login
    known = {} if session is None else {"r": session.protocol_name}
    if session is not None and session.tls is not None:
        known["tls_version"] = session.tls.version
        known["cipher"] = session.tls.cipher
        known["cipher_bits"] = str(session.tls.bits)
    if login is not None:
        known["auth_authen"] = login.address
        known["auth_type"] = peer.mechanism
    return known


def _mail_macros(transaction: Transaction) -> dict[str, str]:
    sender = transaction.sender
    is_user = transaction.peer.login is not None
    return {
        "i": transaction.queue_id,
        "b": time.strftime("%a, %d %b %Y %H:%M:%S %z", time.localtime(transaction.arrival)),
        "mail_addr": sender or "<>",
        "mail_host": sender.rpartition("@")[2],
        "mail_mailer": "esmtp" if sender else "local",
        "auth_author": transaction.mail.submitter if is_user else "",
    }


def recipient_macros(transaction: Transaction) -> dict[str, str]:
    recipient = transaction.recipient
    if recipient is None:
        return {}
    return {
        "rcpt_addr": recipient.address,
        "rcpt_host": recipient.domain,
        "rcpt_mailer": "esmtp" if recipient.remote else "local",
    }
