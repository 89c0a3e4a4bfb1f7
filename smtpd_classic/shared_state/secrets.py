"""The secrets that all servers of a shared state must have, compared by fingerprints in the shared state."""

import hashlib
import os

from smtpd_classic.shared_state.client import PREFIX, SharedState

__all__ = ["SECRETS", "SecretMismatch", "compare_secret"]

SECRETS = ("srs-secret", "approval-secret")
_COMPARE = """
local found = redis.call('GET', KEYS[1])
if not found and ARGV[1] ~= '' then redis.call('SET', KEYS[1], ARGV[1]); found = ARGV[1] end
return found or ''
"""


class SecretMismatch(Exception):
    """Raised when another server of the shared state has another secret; `str()` gives advice."""


def compare_secret(shared: SharedState, path: str, *, register: bool) -> bool:
    """Return True if the file is there and no server has another one; False if no server has one, and this neither.

    The first server of a shared state registers the fingerprint. Raises SecretMismatch, SharedStateDown and OSError.
    """
    try:
        with open(path, "rb") as file:
            own = hashlib.sha256(b"fingerprint " + file.read().strip()).hexdigest()[:16]
    except FileNotFoundError:
        own = ""
    name = os.path.basename(path)
    found = shared.run(_COMPARE, [f"{PREFIX}:fingerprint:{name}"], [own if register else ""])
    if found and found != own:
        lacks = "is another one than that of" if own else "is missing, but there is one on"
        raise SecretMismatch(
            f"{path} {lacks} the other servers of the shared state at {shared.address}. Copy it from one of them."
        )
    return bool(own)
