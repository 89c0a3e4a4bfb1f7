"""The domain of a message's author, from its From fields (RFC 5322 3.6.2, RFC 6854)."""

import re

from smtpd_classic.mailauth.lookup import ascii_name
from smtpd_classic.message.authors import read_authors
from smtpd_classic.message.headers import HeaderBlock
from smtpd_classic.message.mailboxes import Unreadable, mailboxes

__all__ = ["AuthorProblem", "address_in_name", "author_domain"]

_LONGEST_PARSED, _MOST_AUTHORS = 4_096, 50
_ANGLE = re.compile(rb"<[^<>@]*@([^<>@,;:\s]+)>[ \t\n]*(?:\([^()]*\)[ \t\n]*)?$")


class AuthorProblem(Exception):
    """There is not exactly one domain of an author; `str()` says why."""


def author_domain(header: HeaderBlock, *, alone: bool = False) -> str:
    """Return the one domain of all authors as an A-label; blank for one that cannot be in DNS, such as localhost.

    Raises AuthorProblem when there is no From field, more than one, or one that names several domains or that readers
    could understand in different ways; with `alone` also when there are several authors.
    """
    number = header.count(b"from")
    if number != 1:
        raise AuthorProblem("there is more than one From field" if number else "there is no From field")
    fields = header.fields(b"from")
    domains = _domains(header.raw[fields[0].value : fields[0].end])
    if not domains:
        raise AuthorProblem("the From field has no address")
    if alone and len(domains) > 1:
        raise AuthorProblem("the From field has several addresses")
    if len(set(domains)) > 1:
        raise AuthorProblem("the From field has authors of several domains")
    return domains[0]


def address_in_name(header: HeaderBlock) -> str:
    """Return an address in the display name or a comment of From that is not the author's own; blank for none.

    Many programs show the name alone, so that a reader takes this address for the author. A header with several From
    fields has no author to imitate; it is marked for that.
    """
    if header.count(b"from") != 1:
        return ""
    value = b"".join(header.raw[field.value : field.end] for field in header.fields(b"from"))
    number = value.count(b"@")
    if len(value) > _LONGEST_PARSED or number > _MOST_AUTHORS or (number < 2 and b"=?" not in value):
        return ""
    try:
        found = read_authors(value)
    except Unreadable:
        return ""
    own = {each.address.lower() for each in found.addresses}
    return next((name for name in found.display_names if name.lower() not in own), "")


def _domains(value: bytes) -> list[str]:
    """Return the domain of each author."""
    if value.count(b"@") > _MOST_AUTHORS:
        raise AuthorProblem("the From field has too many addresses")
    try:
        found = [each.address.rpartition("@")[2] for each in mailboxes(value, longest=_LONGEST_PARSED)]
    except Unreadable:
        found = _angle_domain(value)
    return [ascii_name(domain) for domain in found]


def _angle_domain(value: bytes) -> list[str]:
    """Return the domain of the only address in angle brackets, for a display name that is not quoted as it should be.

    Readers agree about such a field when it has one pair of brackets and one “@”.
    """
    match = _ANGLE.search(value)
    if match is None or value.count(b"@") != 1 or value.count(b"<") != 1:
        raise AuthorProblem("the From field cannot be read")
    return [match[1].decode("utf-8", "replace")]
