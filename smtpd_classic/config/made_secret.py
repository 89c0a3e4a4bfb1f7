"""A secret of this server in a file, made at first use; no person needs to know it."""

import os
import secrets

from smtpd_classic.atomic_file import draft_of

__all__ = ["existing_secret", "made_secret"]


def made_secret(path: str) -> bytes:
    """Return the secret in a file, made at first use. Raises OSError."""
    try:
        return existing_secret(path)
    except FileNotFoundError:
        pass
    draft = draft_of(path)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_hex(32).encode() + b"\n")
            file.flush()
            os.fsync(descriptor)
        os.link(draft, path)  # unlike rename, never over one that another process has just made
    except FileExistsError:
        pass
    finally:
        os.unlink(draft)
    return existing_secret(path)


def existing_secret(path: str) -> bytes:
    """Return the secret in a file. Raises OSError."""
    with open(path, "rb") as file:
        secret = file.read(4096).strip()
    if len(secret) < 16:
        raise OSError(f"{path} is too short to be a secret; remove it, and a new one is made")
    return secret
