"""Addresses: one canonical form, and nothing that is no address."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtpd_classic.smtp.address import (
    NULL_SENDER,
    BadAddress,
    is_address,
    parse_address,
    parse_domain,
    parse_path,
    split_address,
)

L63 = "x" * 63


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("joe@example.org", "joe@example.org"),
        ("Joe@Example.ORG", "Joe@example.org"),
        ("joe@example.org.", "joe@example.org"),
        ("joe.b+tag@example.org", "joe.b+tag@example.org"),
        ("!#$%&'*+-/=?^_`{|}~@example.org", "!#$%&'*+-/=?^_`{|}~@example.org"),
        ('"joe"@example.org', "joe@example.org"),
        ('"joe.b"@example.org', "joe.b@example.org"),
        ('"j\\oe"@example.org', "joe@example.org"),
        ('"joe b"@example.org', '"joe b"@example.org'),
        ('"joe..b"@example.org', "joe..b@example.org"),
        ('".joe"@example.org', ".joe@example.org"),
        ('"a@b"@example.org', '"a@b"@example.org'),
        ('"a\\"b\\\\c"@example.org', '"a\\"b\\\\c"@example.org'),
        ('""@example.org', '""@example.org'),
        ("joe%elsewhere.org@example.org", "joe%elsewhere.org@example.org"),
        ("elsewhere.org!joe@example.org", "elsewhere.org!joe@example.org"),
        ("../../etc/passwd@example.org", "../../etc/passwd@example.org"),
        ("-rf@example.org", "-rf@example.org"),
        ("joe@localhost", "joe@localhost"),
        ("joe@under_score.example", "joe@under_score.example"),
        ("joe@[192.0.2.1]", "joe@[192.0.2.1]"),
        ("joe@[IPv6:2001:DB8:0:0::1]", "joe@[IPv6:2001:db8::1]"),
        ("joe@[ipv6:::1]", "joe@[IPv6:::1]"),
        (f"joe@{L63}.example", f"joe@{L63}.example"),
        (f"{'a' * 64}@example.org", f"{'a' * 64}@example.org"),
        (f"{'a' * 65}@example.org", f"{'a' * 65}@example.org"),
        (f"{'a' * 243}@example.org", None),
        (f"joe@{L63}x.example", None),
        (f"joe@{L63}.{L63}.{L63}.{'y' * 58}", f"joe@{L63}.{L63}.{L63}.{'y' * 58}"),
        (f"joe@{L63}.{L63}.{L63}.{'y' * 59}", None),
        (f"j@{L63}.{L63}.{L63}.{'y' * 61}.zzz", None),
        ("", None),
        ("joe", None),
        ("joe@", None),
        ("@example.org", None),
        ("joe@.", None),
        ("joe@.example.org", None),
        ("joe@example..org", None),
        ("joe@example.org..", None),
        ("joe@-example.org", None),
        ("joe@example-.org", None),
        ("joe@example.-org", None),
        ("joe@example.org-", None),
        ("joe@exam ple.org", None),
        ("joe@exam/ple.org", None),
        (".joe@example.org", ".joe@example.org"),
        ("joe.@example.org", "joe.@example.org"),
        ("jo..e@example.org", "jo..e@example.org"),
        ("joe b@example.org", None),
        ("joe<@example.org", None),
        ("a@b@example.org", None),
        ('"joe@example.org', None),
        ('"joe"b@example.org', None),
        ('"joe\\"@example.org', None),
        ('"joe\\', None),
        ("joe\n@example.org", None),
        ("joe\0@example.org", None),
        ('"joe\r\nb"@example.org', None),
        ('"joe\x7f"@example.org', None),
        ("joe@example.org\n", None),
        ("joe@[192.0.2.1", None),
        ("joe@[192.0.2.256]", None),
        ("joe@[192.0.2]", None),
        ("joe@[2001:db8::1]", None),
        ("joe@[IPv6:2001:db8::1%eth0]", None),
        ("joe@[]", None),
        ("joe@[tag:content]", None),
        ("joe@[", None),
    ],
)
def test_canonical_form(text: str, canonical: str | None) -> None:
    if canonical is None:
        assert not is_address(text)
        with pytest.raises(BadAddress):
            parse_address(text)
    else:
        assert parse_address(text) == canonical
        assert parse_address(text, utf8=True) == canonical
        assert is_address(text)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("jürgen@example.org", "jürgen@example.org"),
        ("joe@Bücher.example", "joe@bücher.example"),
        ("joe@bu\u0308cher.example", "joe@bücher.example"),
        ('"ren\u00e9 b"@example.org', '"ren\u00e9 b"@example.org'),
        ('"ren\u00e9"@example.org', "ren\u00e9@example.org"),
        ("用户@例子.广告", "用户@例子.广告"),
        ("ü" * 32 + "@example.org", "ü" * 32 + "@example.org"),
        ("ü" * 33 + "@example.org", "ü" * 33 + "@example.org"),
        ("ü" * 122 + "@example.org", None),
        ("joe@example。org", None),
        ("joe@example．org", None),
        ("joe@example｡org", None),
        ("joe@-bücher.example", None),
        ("joe@bücher.", "joe@bücher"),
        ("joe@bü cher.example", None),
        ("joe\u202e@example.org", None),
        ("joe@exam\u200bple.org", None),
        ("joe\x85@example.org", None),
        ("joe\udc80@example.org", None),
        ("joe@\udc80.example.org", None),
        ("jür gen@example.org", None),
    ],
)
def test_utf8(text: str, canonical: str | None) -> None:
    with pytest.raises(BadAddress):
        parse_address(text)
    if canonical is None:
        assert not is_address(text)
    else:
        assert parse_address(text, utf8=True) == canonical


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("joe@example.org", "joe@example.org"),
        ("@a.example:joe@example.org", "joe@example.org"),
        ("@a.example,@[192.0.2.1]:joe@example.org", "joe@example.org"),
        ("@a.example", None),
        ("@a.example:", None),
        (":joe@example.org", None),
        ("@:joe@example.org", None),
        ("@a.example,b.example:joe@example.org", None),
        ("@a b:joe@example.org", None),
    ],
)
def test_source_routes_are_ignored(path: str, address: str | None) -> None:
    if address is None:
        with pytest.raises(BadAddress):
            parse_path(path)
    else:
        assert parse_path(path) == address


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        (NULL_SENDER, ("", "")),
        ("postmaster", ("postmaster", "")),
        ("joe@example.org", ("joe", "example.org")),
        ('"a@b"@example.org', ('"a@b"', "example.org")),
    ],
)
def test_split(address: str, parts: tuple[str, str]) -> None:
    assert split_address(address) == parts


@pytest.mark.parametrize("text", ["b\xfccher.example", "", "a..b", "[192.0.2.1"])
def test_what_is_no_domain(text: str) -> None:
    with pytest.raises(BadAddress):
        parse_domain(text)


def test_a_domain_that_cannot_be_encoded() -> None:
    with pytest.raises(BadAddress):
        parse_domain("\udc80.example", utf8=True)


def quoted(text: str) -> str:
    """Write a local part in quotes, with a backslash before some that need none."""
    return '"' + re.sub(r'["\\a-g]', lambda found: f"\\{found[0]}", text) + '"'


addresses = st.builds(
    "{}@{}".format,
    st.text(max_size=20) | st.text(max_size=20).map(quoted),
    st.text(max_size=20) | st.text("ABCXYZabcxyz0123456789ü.-", min_size=1, max_size=30),
)


@settings(deadline=None, max_examples=500)
@given(st.one_of(st.text(), addresses), st.booleans())
def test_the_canonical_form_is_its_own(text: str, utf8: bool) -> None:
    try:
        address = parse_address(text, utf8=utf8)
    except BadAddress:
        return
    assert parse_address(address, utf8=utf8) == address
    assert address.isprintable()
    assert len(address.encode()) <= 254
    local, domain = split_address(address)
    assert f"{local}@{domain}" == address
    assert domain == parse_domain(domain, utf8=utf8)
    assert utf8 or address.isascii()


@settings(deadline=None, max_examples=500)
@given(st.text())
def test_any_path_is_an_address_or_bad(text: str) -> None:
    try:
        address = parse_path(text, utf8=True)
    except BadAddress:
        return
    assert is_address(address if "@" in address else f"{address}@example.org")
