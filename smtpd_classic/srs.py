"""The Sender Rewriting Scheme: mail that an alias sends on leaves with a sender of ours, so that SPF still holds.

    joe@example.org, forwarded by us         SRS0=HHHHHH=TT=example.org=joe@our.domain
    that address, forwarded by another       SRS1=HHHHHH=our.domain==HHHHHH=TT=example.org=joe@their.domain
    a sender that is too long for that       SRS0=HHHHHH=TT=KKKKKKKKKKKKKKKK@our.domain

`TT` is the day, `HHHHHH` an HMAC over the text behind it: no stranger can make an address through which we would send
bounces to others, and none works for longer than three weeks. `K…` is the key of a stored sender. The case of letters
does not matter, since some servers change it.
"""

import base64
import hmac
import os
import re
from collections.abc import Callable, Collection
from datetime import date

from smtpd_classic.config.made_secret import existing_secret, made_secret
from smtpd_classic.shared_state import SharedState
from smtpd_classic.srs_senders import SenderStore, SharedSenderStore

__all__ = ["VALID_DAYS", "Srs", "srs_for", "srs_secret"]

VALID_DAYS = 21
_HASH_LENGTH = 6  # 30 bits: a stranger would have to try half a billion addresses
_KEY_LENGTH = 16  # 80 bits
_MAX_LOCAL_PART = 64
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_DAYS = 32 * 32  # as many as two letters can tell apart
_DOT_ATOM = re.compile(r"[^\s\"(),:;<>@\[\\\].]+(?:\.[^\s\"(),:;<>@\[\\\].]+)*")
_SRS0 = re.compile(r"srs0[=+-]([a-z2-7]{6})=([a-z2-7]{2})=([^=]+)=(.+)", re.IGNORECASE | re.DOTALL | re.ASCII)
_SRS1 = re.compile(r"srs1[=+-]([a-z2-7]{6})=([^=]+)=([=+-].+)", re.IGNORECASE | re.DOTALL | re.ASCII)
_STORED = re.compile(r"srs0[=+-]([a-z2-7]{6})=([a-z2-7]{2})=([a-z2-7]{16})", re.IGNORECASE | re.ASCII)
_FOREIGN_SRS0 = re.compile(r"srs0([=+-].+)", re.IGNORECASE | re.DOTALL | re.ASCII)
_FOREIGN_SRS1 = re.compile(r"srs1[=+-][^=]+=([^=]+)=([=+-].+)", re.IGNORECASE | re.DOTALL | re.ASCII)


class Srs:
    """A rewriter of senders to addresses in `domain`, and back. `senders` keeps those that are too long. `spellings`
    are others of the domain."""

    def __init__(
        self,
        secret: bytes,
        domain: str,
        senders: SenderStore | SharedSenderStore,
        spellings: Collection[str] = (),
    ) -> None:
        self._secret = secret
        self._domain = domain.lower()
        self._ours = frozenset({self._domain, *spellings})
        self._senders = senders

    def forward(self, sender: str, today: date) -> str:
        """Return the sender under which a message is sent on; the null sender and senders in our domain stay.

        Raises OSError when a long sender cannot be stored.
        """
        quoted, at, domain = sender.rpartition("@")
        if not at or domain.lower() in self._ours:
            return sender
        local = _unquoted(quoted)
        if found := _FOREIGN_SRS1.fullmatch(local):
            # The first forwarder stays, we take the place of the last.
            classic = self._address("SRS1", f"{found[1]}={found[2]}")
        elif found := _FOREIGN_SRS0.fullmatch(local):
            classic = self._address("SRS1", f"{domain}={found[1]}")
        else:
            classic = self._address("SRS0", f"{_stamp(today)}={domain}={local}")
        return classic or self._stored(sender, today)

    def reverse(self, address: str, today: date) -> str | None:
        """Return the address for a bounce, one hop back; None when the address is not ours, forged or expired.

        Raises OSError when the stored senders cannot be read.
        """
        quoted, _, domain = address.rpartition("@")
        if domain.lower() not in self._ours:
            return None
        local = _unquoted(quoted)
        if found := _SRS0.fullmatch(local):
            rest = f"{found[2]}={found[3]}={found[4]}"
            if self._is_ours("SRS0", found[1], rest) and _is_recent(found[2], today):
                return f"{_quoted(found[4])}@{found[3]}"
        elif found := _STORED.fullmatch(local):
            if self._is_ours("SRS0", found[1], f"{found[2]}={found[3]}") and _is_recent(found[2], today):
                return self._senders.sender(found[3].lower())
        elif (found := _SRS1.fullmatch(local)) and self._is_ours("SRS1", found[1], f"{found[2]}={found[3]}"):
            return f"{_quoted(f'SRS0{found[3]}')}@{found[2]}"
        return None

    def _stored(self, sender: str, today: date) -> str:
        """Return a short address for a stored sender; the same sender always has the same key."""
        digest = hmac.digest(self._secret, f"sender={sender}".encode("utf-8", "surrogatepass"), "sha256")
        key = base64.b32encode(digest)[:_KEY_LENGTH].decode().lower()
        self._senders.keep(key, sender, today.toordinal(), today.toordinal() - VALID_DAYS - 2)
        return self._address("SRS0", f"{_stamp(today)}={key}")

    def _hash(self, kind: str, rest: str) -> str:
        """Return the HMAC. The kind is part of it: one form must not be valid as the other."""
        digest = hmac.digest(self._secret, f"{kind}={rest}".lower().encode("utf-8", "surrogatepass"), "sha256")
        return base64.b32encode(digest)[:_HASH_LENGTH].decode()

    def _is_ours(self, kind: str, hashed: str, rest: str) -> bool:
        return hmac.compare_digest(self._hash(kind, rest), hashed.upper())

    def _address(self, kind: str, rest: str) -> str:
        """Return the address, blank when its local part would be over 64 octets (RFC 5321 4.5.3.1.1)."""
        local = _quoted(f"{kind}={self._hash(kind, rest)}={rest}")
        return f"{local}@{self._domain}" if len(local.encode()) <= _MAX_LOCAL_PART else ""


def _stamp(today: date) -> str:
    day = today.toordinal() % _DAYS
    return _BASE32[day // 32] + _BASE32[day % 32]


def _is_recent(stamp: str, today: date) -> bool:
    """Return True if the day is valid; a day ahead is, since another machine may have passed midnight already."""
    day = _BASE32.index(stamp[0].lower()) * 32 + _BASE32.index(stamp[1].lower())
    return (today.toordinal() + 1 - day) % _DAYS <= VALID_DAYS + 1


def _unquoted(local: str) -> str:
    if len(local) > 2 and local.startswith('"') and local.endswith('"'):
        return re.sub(r"\\(.)", r"\1", local[1:-1], flags=re.DOTALL)
    return local


def _quoted(local: str) -> str:
    """Return the local part, as a quoted string unless it is a dot-string (RFC 5321 4.1.2)."""
    return local if _DOT_ATOM.fullmatch(local) else '"' + re.sub(r'(["\\])', r"\\\1", local) + '"'


def srs_for(
    spool_folder: str,
    domain: str,
    secret: Callable[[], bytes] | None = None,
    shared: SharedState | None = None,
    *,
    spellings: Collection[str] = (),
) -> Srs:
    """Return the rewriter of this server. Without `secret` it is that of the folder. Raises OSError when the secret
    cannot be read or made.
    """
    senders = SenderStore(os.path.join(spool_folder, "srs-senders"))
    found = srs_secret(spool_folder) if secret is None else secret()
    return Srs(found, domain, senders if shared is None else SharedSenderStore(senders, shared), spellings)


def srs_secret(folder: str, *, is_shared: bool = False) -> bytes:
    """Return the secret of this server. All processes have the same, and all servers if it is shared: then no process
    makes one that is missing. Raises OSError.
    """
    path = os.path.join(folder, "srs-secret")
    return existing_secret(path) if is_shared else made_secret(path)
