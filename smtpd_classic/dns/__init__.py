"""DNS as a mail server needs it.

`Resolver` is the interface that the rest of the program uses. `DnsResolver` asks name servers; `FixedResolver` answers
from dictionaries (tests).
"""

from smtpd_classic.dns.fixed import FixedResolver
from smtpd_classic.dns.lookup import DnsResolver
from smtpd_classic.dns.resolver import (
    DnsFailure,
    MxRecord,
    NoSuchDomain,
    NullMx,
    Resolver,
    TlsaAnswer,
    TlsaRecord,
)

__all__ = [
    "DnsFailure",
    "DnsResolver",
    "FixedResolver",
    "MxRecord",
    "NoSuchDomain",
    "NullMx",
    "Resolver",
    "TlsaAnswer",
    "TlsaRecord",
]
