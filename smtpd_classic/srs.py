"""The Sender Rewriting Scheme: mail that an alias sends on leaves with a sender of ours, so that SPF still holds.

    joe@example.org, forwarded by us         SRS0=HHHHHH=TT=example.org=joe@our.domain
    that address, forwarded by another       SRS1=HHHHHH=our.domain==HHHHHH=TT=example.org=joe@their.domain

`TT` is the day, `HHHHHH` an HMAC over what follows it: nobody else can make an address through which we would send
bounces to strangers, and none works for longer than three weeks. Case does not matter, since some servers change it.
"""

import base64
import hmac
import os
import re
import secrets
from datetime import date

__all__ = ["VALID_DAYS", "Srs", "srs_secret"]

VALID_DAYS = 21
_HASH_LENGTH = 6  # 30 bits: no stranger tries half a billion addresses unnoticed
_MAX_LOCAL_PART = 64
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_DAYS = 32 * 32  # as many as two letters can tell apart
_DOT_ATOM = re.compile(r"[^\s\"(),:;<>@\[\\\].]+(?:\.[^\s\"(),:;<>@\[\\\].]+)*")
_SRS0 = re.compile(r"srs0[=+-]([a-z2-7]{6})=([a-z2-7]{2})=([^=]+)=(.+)", re.IGNORECASE | re.DOTALL | re.ASCII)
_SRS1 = re.compile(r"srs1[=+-]([a-z2-7]{6})=([^=]+)=([=+-].+)", re.IGNORECASE | re.DOTALL | re.ASCII)
_FOREIGN_SRS0 = re.compile(r"srs0([=+-].+)", re.IGNORECASE | re.DOTALL | re.ASCII)
_FOREIGN_SRS1 = re.compile(r"srs1[=+-][^=]+=([^=]+)=([=+-].+)", re.IGNORECASE | re.DOTALL | re.ASCII)


class Srs:
    """Rewrites senders to addresses in `domain`, and back."""

    def __init__(self, secret: bytes, domain: str) -> None:
        self._secret = secret
        self._domain = domain.lower()

    def forward(self, sender: str, today: date) -> str:
        """The sender under which a message of this one is sent on. The null sender stays, one of ours too, and one that
        would become longer than a local part may be (RFC 5321 4.5.3.1.1): a bounce to that could never arrive."""
        quoted, at, domain = sender.rpartition("@")
        if not at or domain.lower() == self._domain:
            return sender
        local = _unquoted(quoted)
        if found := _FOREIGN_SRS1.fullmatch(local):
            rest = f"{found[1]}={found[2]}"  # the first forwarder stays, we take the place of the last
        elif found := _FOREIGN_SRS0.fullmatch(local):
            rest = f"{domain}={found[1]}"
        else:
            day = today.toordinal() % _DAYS
            rest = f"{_BASE32[day // 32]}{_BASE32[day % 32]}={domain}={local}"
            return self._address("SRS0", rest) or sender
        return self._address("SRS1", rest) or sender

    def reverse(self, address: str, today: date) -> str | None:
        """Where a bounce to this address goes: one hop back. None when it is not ours, forged or expired."""
        quoted, _, domain = address.rpartition("@")
        if domain.lower() != self._domain:
            return None
        local = _unquoted(quoted)
        if found := _SRS0.fullmatch(local):
            rest = f"{found[2]}={found[3]}={found[4]}"
            if self._is_ours("SRS0", found[1], rest) and _is_recent(found[2], today):
                return f"{_quoted(found[4])}@{found[3]}"
        elif (found := _SRS1.fullmatch(local)) and self._is_ours("SRS1", found[1], f"{found[2]}={found[3]}"):
            return f"{_quoted(f'SRS0{found[3]}')}@{found[2]}"
        return None

    def _hash(self, kind: str, rest: str) -> str:
        """The kind is hashed too: one form with the hash of the other would lead to a server of a stranger's choice."""
        digest = hmac.digest(self._secret, f"{kind}={rest}".lower().encode("utf-8", "surrogatepass"), "sha256")
        return base64.b32encode(digest)[:_HASH_LENGTH].decode()

    def _is_ours(self, kind: str, hashed: str, rest: str) -> bool:
        return hmac.compare_digest(self._hash(kind, rest), hashed.upper())

    def _address(self, kind: str, rest: str) -> str:
        """Blank when it would be too long."""
        local = _quoted(f"{kind}={self._hash(kind, rest)}={rest}")
        return f"{local}@{self._domain}" if len(local.encode()) <= _MAX_LOCAL_PART else ""


def _is_recent(stamp: str, today: date) -> bool:
    """A day of grace backwards: another machine of ours may have passed midnight already."""
    day = _BASE32.index(stamp[0].lower()) * 32 + _BASE32.index(stamp[1].lower())
    return (today.toordinal() + 1 - day) % _DAYS <= VALID_DAYS + 1


def _unquoted(local: str) -> str:
    if len(local) > 2 and local.startswith('"') and local.endswith('"'):
        return re.sub(r"\\(.)", r"\1", local[1:-1], flags=re.DOTALL)
    return local


def _quoted(local: str) -> str:
    """RFC 5321 4.1.2: what is no dot-string is written as a quoted string."""
    return local if _DOT_ATOM.fullmatch(local) else '"' + re.sub(r'(["\\])', r"\\\1", local) + '"'


def srs_secret(spool_folder: str) -> bytes:
    """The secret of this server, made at first use. Whichever process makes it first, all have the same."""
    path = os.path.join(spool_folder, "srs-secret")
    try:
        return _read_secret(path)
    except FileNotFoundError:
        pass
    draft = f"{path}.{secrets.token_hex(8)}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_hex(32).encode() + b"\n")
            file.flush()
            os.fsync(descriptor)
        os.link(draft, path)  # unlike rename, never over one that somebody else has just made
    except FileExistsError:
        pass
    finally:
        os.unlink(draft)
    return _read_secret(path)


def _read_secret(path: str) -> bytes:
    with open(path, "rb") as file:
        secret = file.read(4096).strip()
    if len(secret) < 16:
        raise OSError(f"{path} is too short to be a secret; remove it, and a new one is made")
    return secret
