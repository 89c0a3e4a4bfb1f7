"""TLS versions, cipher suites and groups of a listener, by the name that `tls_ciphers` gives them."""

import os
import ssl

from smtpd_classic.config.schema import Listener

__all__ = ["DEFAULT_SUITES", "apply_suites", "suites_of"]

DEFAULT_SUITES = "intermediate"
_OPPORTUNISTIC = "intermediate, opportunistic"
_MODERN = "ECDHE+AESGCM:ECDHE+CHACHA20"
_INTERMEDIATE = f"{_MODERN}:DHE+AESGCM:DHE+CHACHA20"
_WITH_CBC = f"{_INTERMEDIATE}:ECDHE+AES"
_NEVER = "!aNULL:!eNULL:!PSK:!SRP:!AESCCM:!ARIA:!CAMELLIA"
# OpenSSL signs the handshake of TLS 1.0 and 1.1 (with SHA-1) at security level 0 only.
_OLD = f"{_WITH_CBC}:DHE+AES:kRSA+AESGCM:kRSA+AES:@SECLEVEL=0"
_CIPHERS = {"modern": _MODERN, DEFAULT_SUITES: _INTERMEDIATE, _OPPORTUNISTIC: _WITH_CBC, "old": _OLD}
# OpenSSL 3.5 has the hybrid with ML-KEM, which holds against quantum computers.
_GROUPS = f"{'X25519MLKEM768:' if ssl.OPENSSL_VERSION_INFO >= (3, 5) else ''}X25519:P-256:P-384"
# RFC 7919 A.1: ffdhe2048.
_DH_PARAMETERS = b"""\
-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==
-----END DH PARAMETERS-----
"""


def suites_of(listener: Listener) -> str:
    """Return the name of the suites of a listener, for `apply_suites`.

    Where other servers may deliver without a login, ECDHE with CBC is added: they would send in the clear otherwise.
    """
    if listener.tls_ciphers == DEFAULT_SUITES and listener.tls == "starttls" and listener.auth != "required":
        return _OPPORTUNISTIC
    return listener.tls_ciphers


def apply_suites(context: ssl.SSLContext, suites: str) -> None:
    """Set versions, ciphers and groups of a server's context."""
    old = suites == "old"
    # MINIMUM_SUPPORTED means TLS 1.0 here: the context excludes SSL 3 by its options.
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED if old else ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{_CIPHERS[suites]}:{_NEVER}")
    if suites != "modern":
        _load_dh_parameters(context)
    # Python 3.15 has this; older ones can name a single group only, which would exclude clients.
    set_groups = getattr(context, "set_groups", None)
    if set_groups is not None:
        set_groups(_GROUPS)


def _load_dh_parameters(context: ssl.SSLContext) -> None:
    """Give OpenSSL the parameters for DHE, which it reads from a file only."""
    with open(os.memfd_create("ffdhe2048"), "wb") as file:
        file.write(_DH_PARAMETERS)
        file.flush()
        context.load_dh_params(f"/proc/self/fd/{file.fileno()}")
