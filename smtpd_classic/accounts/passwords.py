"""Password hashes: Dovecot's `{SCHEME}` forms verified, Argon2id made."""

import base64
import binascii
import ctypes
import functools
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Callable

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error
from argon2.low_level import Type, verify_secret

from smtpd_classic.accounts.account import StoredScramKeys
from smtpd_classic.smtp.scram import saslprep

__all__ = [
    "DUMMY_HASH",
    "LOCK",
    "cost_class",
    "generate_password",
    "hash_password",
    "is_old_scheme",
    "scheme_problem",
    "scram_hash",
    "scram_keys",
    "verify",
]

LOCK = "!"  # in front of a hash: no password fits, neither here nor in Dovecot, and the hash is still there
MAX_PASSWORD = 1024  # bytes; SHA-512-crypt takes time in proportion to the length

# OWASP's first choice: 19 MiB, two passes, one lane.
_ARGON2 = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1, type=Type.ID)
# Verified for a login that does not exist, so that it takes as long as one that does. Its password is unknown.
DUMMY_HASH = "{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$c210cGQtY2xhc3NpYw$FWo5bk1DNV8dx2cUTVSmbcDkDFvSOFGYsCeJ0rXPGjk"
_SCRAM_ITERATIONS = 4096  # RFC 7677 4
_MAX_SCRAM_ITERATIONS = 10_000_000


def hash_password(password: str) -> str:
    """Return a new hash for the users file."""
    return "{ARGON2ID}" + _ARGON2.hash(_octets(password))


def generate_password() -> str:
    """Return a password of about 100 bits without letters that look alike."""
    alphabet = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
    return "-".join("".join(secrets.choice(alphabet) for _ in range(6)) for _ in range(3))


def _octets(password: str) -> bytes:
    octets = password.encode()
    if not octets:
        raise ValueError("the password is empty.")
    if len(octets) > MAX_PASSWORD:
        raise ValueError(f"the password is longer than {MAX_PASSWORD} bytes.")
    if b"\0" in octets:
        raise ValueError("the password holds a NUL.")
    return octets


def _split(stored: str) -> tuple[str, str]:
    """Return the scheme in capitals and the rest. Without a scheme it is crypt(3)'s, as for Dovecot's passwd-file."""
    if stored.startswith("{") and (end := stored.find("}")) > 0:
        return stored[1:end].upper(), stored[end + 1 :]
    return "CRYPT", stored


def verify(stored: str, password: str) -> bool:
    """Return True if the password fits; a locked, unknown or unreadable hash fits none."""
    scheme, rest = _split(stored)
    check = _SCHEMES.get(scheme)
    try:
        return check is not None and check(rest, _octets(password))
    except (ValueError, OSError):
        return False


def _argon2(kind: Type) -> Callable[[str, bytes], bool]:
    def check(rest: str, password: bytes) -> bool:
        try:
            return verify_secret(rest.encode(), password, kind)
        except (Argon2Error, ValueError):  # an older argon2 has no InvalidHashError, a ValueError, yet
            return False

    return check


@functools.cache
def _libcrypt() -> ctypes.CDLL:
    """Return the C library's crypt; Python's own module is gone since 3.13."""
    for name in ("libcrypt.so.1", "libcrypt.so.2", None):
        try:
            library = ctypes.CDLL(name)
            library.crypt_r.restype = ctypes.c_char_p
            library.crypt_r.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
        except (OSError, AttributeError):
            continue
        return library
    raise OSError("this system has no libcrypt")


_CRYPT_DATA = 262_144  # more than struct crypt_data of any libc: 131,232 bytes in glibc, 32,768 in libxcrypt


def _crypt(rest: str, password: bytes) -> bool:
    """crypt_r, since crypt() returns a buffer that all threads share. It runs without the interpreter's lock."""
    setting = rest.encode()
    if b"\0" in setting:
        return False
    data = ctypes.create_string_buffer(_CRYPT_DATA)
    result: bytes | None = _libcrypt().crypt_r(password, setting, data)
    return result is not None and hmac.compare_digest(result, setting)


def scram_keys(stored: str) -> StoredScramKeys | None:
    """Return the keys for a SCRAM exchange, or None for a hash of another scheme."""
    scheme, rest = _split(stored)
    if scheme != "SCRAM-SHA-256":
        return None
    try:
        iterations, salt, stored_key, server_key = rest.split(",")
        keys = StoredScramKeys(_decoded(salt), int(iterations), _decoded(stored_key), _decoded(server_key))
    except ValueError:
        return None
    sound = 0 < keys.iterations <= _MAX_SCRAM_ITERATIONS and len(keys.stored_key) == len(keys.server_key) == 32
    return keys if sound and keys.salt else None


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as problem:
        raise ValueError(str(problem)) from None


def _scram(rest: str, password: bytes) -> bool:
    keys = scram_keys("{SCRAM-SHA-256}" + rest)
    if keys is None:
        return False
    # As clients prepare it (RFC 5802 2.2), and as it was typed: doveadm pw does not prepare it.
    for octets in dict.fromkeys((_prepared(password), password)):
        stored_key, _ = _derive(octets, keys.salt, keys.iterations)
        if hmac.compare_digest(stored_key, keys.stored_key):
            return True
    return False


def _prepared(password: bytes) -> bytes:
    try:
        return saslprep(password.decode()).encode()
    except ValueError:
        return password


def _derive(password: bytes, salt: bytes, iterations: int) -> tuple[bytes, bytes]:
    """StoredKey and ServerKey (RFC 5802 3)."""
    salted = hashlib.pbkdf2_hmac("sha256", password, salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return hashlib.sha256(client_key).digest(), hmac.digest(salted, b"Server Key", "sha256")


def scram_hash(password: str, iterations: int = _SCRAM_ITERATIONS) -> str:
    """Return a new hash in Dovecot's form of SCRAM-SHA-256: iterations, salt, StoredKey, ServerKey."""
    salt = os.urandom(16)
    parts = (salt, *_derive(_prepared(_octets(password)), salt, iterations))
    return "{SCRAM-SHA-256}" + ",".join([str(iterations), *(base64.b64encode(part).decode() for part in parts)])


_SCHEMES: dict[str, Callable[[str, bytes], bool]] = {
    "ARGON2ID": _argon2(Type.ID),
    "ARGON2I": _argon2(Type.I),
    "SHA512-CRYPT": _crypt,
    "SHA256-CRYPT": _crypt,
    "BLF-CRYPT": _crypt,
    "CRYPT": _crypt,
    "SCRAM-SHA-256": _scram,
}
_COST = re.compile(r"\$argon2id?\$(?:v=\d+\$)?[^$]*\$|\$2[abxy]?\$\d\d\$|\$[56y]\$rounds=\d+\$|\$\w+\$")


def cost_class(stored: str) -> str:
    """Return a text that is equal for two hashes when it takes equally long to verify a password against them.

    Blank for a hash that no password fits, which takes no time.
    """
    if scheme_problem(stored) is not None:
        return ""
    scheme, rest = _split(stored.removeprefix(LOCK))
    if scheme == "SCRAM-SHA-256":
        return f"{scheme} {rest.partition(',')[0]}"
    found = _COST.match(rest)
    return found[0] if found else f"{scheme} {len(rest)}"


def is_old_scheme(stored: str) -> bool:
    """Return True for a hash of a scheme that new passwords are not stored with."""
    return bool(stored) and _split(stored.removeprefix(LOCK))[0] not in {"ARGON2ID", "SCRAM-SHA-256"}


_PLAIN = {"PLAIN", "CLEAR", "CLEARTEXT", "PLAIN-TRUNC"}
_BEGINNINGS = {"ARGON2ID": "$argon2id$", "ARGON2I": "$argon2i$", "SHA512-CRYPT": "$6$", "SHA256-CRYPT": "$5$"}


def scheme_problem(stored: str) -> str | None:
    """Return a sentence about a hash that no password will ever fit, or None. A locked one is as it should be."""
    scheme, rest = _split(stored.removeprefix(LOCK))
    if scheme in _PLAIN:
        return f"the password is stored readable ({{{scheme}}}), which is refused; set it again."
    if scheme not in _SCHEMES:
        return f"the password scheme {{{scheme}}} is not known; known are {', '.join(_SCHEMES)}."
    if scheme == "CRYPT" and rest.startswith("$argon2id$"):
        return "the password hash needs {ARGON2ID} in front of it."
    if not rest.startswith(_BEGINNINGS.get(scheme, "")) or (scheme == "BLF-CRYPT" and not rest.startswith("$2")):
        return f"the password hash is not one of {{{scheme}}}."
    if scheme == "SCRAM-SHA-256" and scram_keys("{SCRAM-SHA-256}" + rest) is None:
        return "the password hash is not one of {SCRAM-SHA-256}."
    return None
