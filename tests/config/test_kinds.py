"""Every kind of option: what it takes, what it refuses and why, and that what it writes it reads."""

from datetime import timedelta
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtpd_classic.config import kinds
from smtpd_classic.config.kinds import Host, Kind, choice, mask_host, number, optional_number
from smtpd_classic.config.schema import SECTIONS

ALL_KINDS: dict[str, Kind[Any]] = {
    **{option.kind.name: option.kind for section in SECTIONS for option in section.options()},
    **{name: kind for name, kind in vars(kinds).items() if isinstance(kind, Kind)},
    "choice": choice("none", "offered"),
}

GOOD = [
    (kinds.BOOLEAN, "Yes", True),
    (kinds.BOOLEAN, "on", True),
    (kinds.BOOLEAN, "1", True),
    (kinds.BOOLEAN, "no", False),
    (kinds.BOOLEAN, " FALSE ", False),
    (number(1, 10), "10", 10),
    (number(-5, 5), "-5", -5),
    (optional_number(0, 9), "", None),
    (optional_number(0, 9), "9", 9),
    (kinds.PORT, "65535", 65535),
    (kinds.FACTOR, "1.5", 1.5),
    (kinds.FACTOR, "10", 10.0),
    (choice("none", "offered"), "Offered", "offered"),
    (kinds.DURATION, "0", timedelta(0)),
    (kinds.DURATION, "90s", timedelta(seconds=90)),
    (kinds.DURATION, "1h30m", timedelta(minutes=90)),
    (kinds.DURATION, "2W", timedelta(weeks=2)),
    (kinds.DURATION, "5 d", timedelta(days=5)),
    (kinds.POSITIVE_DURATION, "1s", timedelta(seconds=1)),
    (kinds.SIZE, "0", 0),
    (kinds.SIZE, "25M", 25 * 1024**2),
    (kinds.SIZE, "25 MiB", 25 * 1024**2),
    (kinds.SIZE, "1000", 1000),
    (kinds.TEXT, "a;b#c % $ \\", "a;b#c % $ \\"),
    (kinds.SECRET, "gähn", "gähn"),
    (kinds.COMMAND, "/bin/token --for 'a b'", "/bin/token --for 'a b'"),
    (kinds.PATH, " tls/key.pem ", "tls/key.pem"),
    (kinds.LOG_TARGET, "Syslog", "syslog"),
    (kinds.LOG_TARGET, "/var/log/mail", "/var/log/mail"),
    (kinds.WORD, "smtp-1_a", "smtp-1_a"),
    (kinds.SYSTEM_USER, "_smtpd.c", "_smtpd.c"),
    (kinds.DOMAIN_NAME, "Mail.Example.ORG.", "mail.example.org"),
    (kinds.DOMAIN_NAME, "müller.example", "müller.example"),
    (kinds.DOMAIN_NAME, "mu\u0308ller.example", "müller.example"),  # as macOS writes it
    (kinds.DOMAIN_NAME, "localhost", "localhost"),
    (kinds.OPTIONAL_DOMAIN_NAME, "", ""),
    (kinds.OPTIONAL_DOMAIN_NAME, "A.example", "a.example"),
    (kinds.DOMAINS, "a.example, b.example\nc.example", ("a.example", "b.example", "c.example")),
    (kinds.DOMAINS, "a.example,, A.example", ("a.example",)),
    (kinds.DOMAIN_PATTERNS, "*, ., .Example.org", ("*", ".", ".example.org")),
    (kinds.PATTERN, ".Example.org", ".example.org"),
    (kinds.ADDRESS, "Joe.D@Example.org", "Joe.D@example.org"),
    (kinds.ADDRESS, '"joe d"@example.org', '"joe d"@example.org'),
    (kinds.SENDER_ADDRESS, " ", ""),
    (kinds.ADDRESSES, "a@x.example; b@y.example\nA@x.example", ("a@x.example", "b@y.example", "A@x.example")),
    (kinds.REPLACEMENT, "Sales  Team <sales@Example.org>", "Sales Team <sales@example.org>"),
    (kinds.REPLACEMENT, "<sales@example.org>", "sales@example.org"),
    (kinds.IP_ADDRESSES, "127.0.0.1, [::1]", ("127.0.0.1", "::1")),
    (kinds.NAME_SERVERS, "127.0.0.1, [::1]:5353", (("127.0.0.1", 53), ("::1", 5353))),
    (kinds.RELAY_HOSTS, "a.example, 192.0.2.1:587", (Host("a.example"), Host("192.0.2.1", 587))),
    (kinds.RELAY_HOSTS, "2001:db8::1", (Host("2001:db8::1"),)),
    (kinds.HOSTS, "a.example:465 SSL\n[2001:db8::1]:25", (Host("a.example", 465, True), Host("2001:db8::1", 25))),
    (
        kinds.HOSTS,
        "a.example user=joe 'password=a b=c'",
        (Host("a.example", user="joe", password="a b=c"),),
    ),
]

BAD = [
    (kinds.COMMAND, "/bin/token \\ ", "a quotation mark is not closed"),
    (kinds.BOOLEAN, "of", "“of” is neither yes nor no."),
    (number(1, 10), "ten", "“ten” is not a whole number from 1 to 10."),
    (number(1, 10), "1_0", "“1_0” is not a whole number"),
    (number(1, 10), "٣", "is not a whole number"),
    (number(1, 10), "11", "11 is not between 1 and 10."),
    (optional_number(0, 9), "x", "“x” is not a whole number"),
    (kinds.PORT, "0", "0 is not between 1 and 65535."),
    (kinds.FACTOR, "nan", "“nan” is not a factor from 1 to 10"),
    (kinds.FACTOR, "1e0", "is not a factor"),
    (kinds.FACTOR, "11", "11 is not between 1 and 10."),
    (choice("none", "offered"), "offer", "“offer” is none of none, offered."),
    (kinds.DURATION, "30", "“30” is not a duration: write a number and s, m, h, d or w"),
    (kinds.DURATION, "-5m", "is not a duration"),
    (kinds.DURATION, "11000d", "is longer than ten years"),
    (kinds.POSITIVE_DURATION, "0s", "0 is too short; the shortest is 1s."),
    (kinds.SIZE, "25X", "“25X” is not a size"),
    (kinds.SIZE, "-1", "is not a size"),
    (kinds.TEXT, "a\nb", "control characters and line ends are not allowed here."),
    (kinds.TEXT, "a\x85b", "control characters"),
    (kinds.COMMAND, "token 'a", "a quotation mark is not closed"),
    (kinds.PATH, " ", "a file name is missing."),
    (kinds.PATH, "a\0b", "control characters"),
    (kinds.LOG_TARGET, "mail.log", "“mail.log” is neither syslog, nor stderr, nor an absolute file name."),
    (kinds.WORD, "a b", "is not a name of up to 32"),
    (kinds.SYSTEM_USER, "0day", "is not the name of a system user"),
    (kinds.DOMAIN_NAME, "exa mple.org", "is not a domain name such as example.org."),
    (kinds.DOMAIN_NAME, "-a.example", "is not a domain name"),
    (kinds.DOMAIN_NAME, "a..example", "is not a domain name"),
    (kinds.DOMAIN_NAME, "192.0.2.1", "is not a domain name"),
    (kinds.DOMAIN_NAME, "é_x.example", "is not a domain name"),
    (kinds.DOMAIN_NAME, "ab--é.example", "is not a domain name"),
    (kinds.DOMAIN_NAME, "é" * 60 + ".example", "is not a domain name"),
    (kinds.ADDRESS, "joe@é_x.example", "is not a domain name"),
    (kinds.DOMAIN_NAME, "10.0.0.300", "is not a domain name"),
    (kinds.DOMAIN_NAME, "a" * 64 + ".example", "is not a domain name"),
    (kinds.DOMAIN_NAME, "a." * 127 + "example", "is not a domain name"),
    (kinds.DOMAIN_NAME, "bü_cher.example", "is not a domain name: Codepoint U+005F"),
    (kinds.PATTERN, ".bü_cher.example", "is not a domain name"),
    (kinds.PATTERN, "*", "“*” would match every domain"),
    (kinds.DOMAIN_PATTERNS, "*.example.org", "is not a domain name"),
    (kinds.ADDRESS, "joe", "“joe” is not an address such as joe@example.org."),
    (kinds.ADDRESS, "@example.org", "is not an address"),
    (kinds.ADDRESS, "joe d@example.org", "is not an address"),
    (kinds.ADDRESS, "joe@exa_mple!", "is not a domain name"),
    (kinds.REPLACEMENT, "Joe\r\nBcc: x <a@b.example>", "control characters"),
    (kinds.REPLACEMENT, "Joe <a@b.example", "is not an address"),
    (kinds.NETWORKS, "192.168", "“192.168” is no IP address, network (192.0.2.0/24) or prefix (192.168.)."),
    (kinds.NETWORKS, "10.0.0.1/8", "has bits set behind its prefix; perhaps 10.0.0.0/8 is meant."),
    (kinds.NETWORKS, "10.0.0.0/0", "would be every address there is"),
    (kinds.NETWORKS, "10.0.0.0/33", "is no IP address"),
    (kinds.NETWORKS, "300.", "is no IP address"),
    (kinds.NETWORKS, "fe80::1%eth0", "is no IP address"),
    (kinds.IP_ADDRESSES, "localhost", "“localhost” is not an IP address."),
    (kinds.NAME_SERVERS, "dns.example", "“dns.example” is not an IP address."),
    (kinds.RELAY_HOSTS, "a b", "“a b” is not a host such as"),
    (kinds.RELAY_HOSTS, "[a.example]:x", "is not a host such as"),
    (kinds.RELAY_HOSTS, "a.example:0", "0 is not between 1 and 65535."),
    (kinds.HOSTS, "a.example user=joe", "a.example has a user or a password but not both."),
    (kinds.HOSTS, "a.example starttls", "behind a.example only ssl"),
    (kinds.HOSTS, "user=joe a.example", "the host comes first"),
    (kinds.HOSTS, "a.example user=joe password='x", "a quotation mark is not closed"),
    (kinds.HOSTS, "a.example user=a user=b password=c", "each once"),
    (kinds.HOSTS, "a.example user= password=c", "behind a.example only ssl"),
]


def refusal(kind: Kind[Any], text: str) -> str:
    """Why the text is not taken; blank when it is. Any other exception fails the test."""
    try:
        kind.parse(text)
    except ValueError as refused:
        return str(refused)
    return ""


def _id(value: object) -> str:
    return value.name[:20] if isinstance(value, Kind) else repr(value)[:30]


@pytest.mark.parametrize(("kind", "text", "value"), GOOD, ids=_id)
def test_value_is_taken(kind: Kind[Any], text: str, value: Any) -> None:
    assert kind.parse(text) == value
    assert kind.parse(kind.format(value)) == value


@pytest.mark.parametrize(("kind", "text", "sentence"), BAD, ids=_id)
def test_value_is_refused_with_a_sentence(kind: Kind[Any], text: str, sentence: str) -> None:
    assert sentence in refusal(kind, text)
    assert refusal(kind, text).endswith(".")


@pytest.mark.parametrize(("value", "text"), [(timedelta(hours=4), "4h"), (timedelta(seconds=61), "61s")])
def test_duration_is_shown_in_its_largest_whole_unit(value: timedelta, text: str) -> None:
    assert kinds.DURATION.format(value) == text


@pytest.mark.parametrize(("value", "text"), [(25 * 1024**2, "25M"), (1025, "1025"), (0, "0"), (1024**4, "1T")])
def test_size_is_shown_in_its_largest_whole_unit(value: int, text: str) -> None:
    assert kinds.SIZE.format(value) == text


def test_networks_are_shown_as_people_write_them() -> None:
    text = "192.168., 192.0.2.7, 2001:db8::/32, ::1"
    assert kinds.NETWORKS.format(kinds.NETWORKS.parse(text)) == "192.168.0.0/16, 192.0.2.7, 2001:db8::/32, ::1"


@pytest.mark.parametrize("name", ALL_KINDS)
def test_example_of_a_kind_is_one(name: str) -> None:
    kind = ALL_KINDS[name]
    assert kind.parse(kind.example) is not None
    assert all(kind.parse(word) is not None for word in kind.choices)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.form)
def test_default_of_an_option_is_what_its_text_says(section: Any) -> None:
    for option in section.options():
        if not option.required:
            assert option.kind.parse(option.default_text) == option.default, option.name


# Pieces that make values likely to be almost right.
PIECES = st.lists(
    st.sampled_from(
        [
            *" \t\n,;:.=@<>[]/#'\"\\*-_0123456789smhdwKMGTxß\u2028\u00a0\x7f\x85\ud800",
            *("example", "org", "joe", "user=", "password=", "ssl", "yes", "off", "none", "10.", "::1", "192.0.2."),
        ]
    ),
    max_size=12,
).map("".join)


@cache
def texts() -> list[str]:
    """Make the texts that every kind is tried with: to draw them for each kind takes far longer than to parse them."""
    found: list[str] = []

    @settings(max_examples=400, deadline=None, database=None)
    @given(text=PIECES | st.text(max_size=30))
    def keep(text: str) -> None:
        found.append(text)

    keep()
    return found


@pytest.mark.parametrize("name", ALL_KINDS)
def test_what_a_kind_takes_it_writes_and_takes_again(name: str) -> None:
    kind = ALL_KINDS[name]
    for text in texts():
        refused = refusal(kind, text)
        if refused:
            assert refused.endswith("."), text
            continue
        value = kind.parse(text)
        written = kind.format(value)
        assert kind.parse(written) == value, text
        assert kind.format(kind.parse(written)) == written, text


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("a.example", "a.example"),
        ("  a.example:465  ssl ", "a.example:465  ssl"),
        ("a.example user=joe password=x", "a.example user=joe password=********"),
        ("a.example user=joe password='x y' ssl", "a.example user=joe password='********' ssl"),
        ("a.example user=joe password='x y' x", "a.example user=joe password=********"),
        ("a.example 'password=x y' user=\"a b\"", "a.example 'password=********' user=\"a b\""),
        ('a.example password="x"y"', "a.example password=********"),
        ("a.example 'user=joe d' 'password=x", "a.example 'user=joe d' 'password=********"),
        ('a.example user="joe d" "password=x y"', 'a.example user="joe d" "password=********"'),
        ("a.example user=joe pasword=x", "a.example user=joe ********"),
        ("a.example x password=y", "a.example ********"),
        ("password=x a.example", "password=********"),
        ("pasword=x", "********"),
        ("a.example user=jo'e x", "a.example ********"),
        ("", ""),
    ],
)
def test_password_of_a_host_is_masked_however_the_line_is_broken(line: str, shown: str) -> None:
    assert mask_host(line) == shown


@given(secret=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=4), noise=PIECES)
@settings(max_examples=300, deadline=None)
def test_no_sentence_about_a_host_holds_the_password(secret: str, noise: str) -> None:
    secret = f"Qq{secret}Zz"
    for line in (f"a.example user=x password={secret}", f"a.example user=x password=a {secret} {noise}"):
        assert "Qq" not in mask_host(line)
        assert "Qq" not in refusal(kinds.HOSTS, line.replace("\n", " "))


def test_secret_is_masked_whole_and_not_in_a_repr() -> None:
    assert kinds.SECRET.mask is not None
    assert (kinds.SECRET.mask("geheim"), kinds.SECRET.mask("")) == ("********", "")
    assert "geheim" not in repr(Host("a.example", user="joe", password="geheim"))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:tea@192.0.2.1:6379/0", "redis://:********@192.0.2.1:6379/0"),
        ("redis://joe:tea:for@two@redis.example/0", "redis://joe:********@redis.example/0"),
        ("redis://192.0.2.1:6379/0", "redis://192.0.2.1:6379/0"),
    ],
)
def test_the_password_of_the_shared_state_is_masked_whole(url: str, shown: str) -> None:
    assert kinds.SHARED_STATE.mask is not None
    assert kinds.SHARED_STATE.mask(kinds.SHARED_STATE.parse(url)) == shown
