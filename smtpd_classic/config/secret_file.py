"""Passwords in files of their own, as containers have them."""

import os

__all__ = ["SecretUnreadable", "read_secret"]

_LONGEST = 4096


class SecretUnreadable(Exception):
    """Raised when a file holds no password; `str()` gives the reason."""


def read_secret(path: str) -> str:
    """Return the first line of a file. Raises SecretUnreadable."""
    try:
        with open(path, "rb") as file:
            first = file.read(_LONGEST).partition(b"\n")[0].rstrip(b"\r")
    except OSError as problem:
        raise SecretUnreadable(f"{path} cannot be read: {os.strerror(problem.errno or 0)}") from None
    try:
        secret = first.decode()
    except UnicodeDecodeError:
        secret = ""
    if not secret or not secret.isprintable():
        raise SecretUnreadable(f"{path} has no password in its first line")
    return secret
