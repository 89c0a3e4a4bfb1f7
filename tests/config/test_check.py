"""Rules across options: each bad combination is told with its line, and a sound one is not complained about."""

import itertools

import pytest

from smtpd_classic.config import check, open_relay_reasons, parse, restart_reasons
from smtpd_classic.config.open_relay import is_reachable
from smtpd_classic.config.sample import sample
from tests.config.texts import SOUND, sound

PATH = "/etc/smtpd-classic/smtpd-classic.conf"
LOOPBACK = SOUND + "address = 127.0.0.1, ::1\n"


def found_in(text: str) -> list[str]:
    """What the rules find: `severity line: sentence`."""
    return [f"{found.severity} {found.line}: {found.text}" for found in check(parse(text, PATH))]


# What stands from line 7 on, and what is found about it.
FINDINGS = {
    "relay open": ("[basic]\nclose_open_relay = no", "error 8: close_open_relay is off: strangers may send"),
    "relay open on purpose": (
        "[basic]\nclose_open_relay = no\nopen_relay_confirmed = yes",
        "warning 8: close_open_relay is off",
    ),
    "everybody trusted": ("[trusted]\nhosts = 0.0.0.0/0", "error 8: Trusted Hosts hold 0.0.0.0/0"),
    "everybody trusted, IPv6": ("[trusted]\nhosts = ::/0", "error 8: Trusted Hosts hold ::/0"),
    "everybody trusted in two halves": ("[trusted]\nhosts = 0.0.0.0/1, 128.0.0.0/1", "error 8: Trusted Hosts hold"),
    "half trusted in quarters": ("[trusted]\nhosts = 0.0.0.0/2, 64.0.0.0/2", "error 8: Trusted Hosts hold"),
    "all public IPv6 trusted": ("[trusted]\nhosts = 2000::/3", "error 8: Trusted Hosts hold 2000::/3"),
    "half of public IPv6 trusted": ("[trusted]\nhosts = 2000::/4", "error 8: Trusted Hosts hold 2000::/4"),
    "all IPv4 trusted as IPv6": ("[trusted]\nhosts = ::ffff:0:0/96", "error 8: Trusted Hosts hold"),
    "half of IPv4 trusted as IPv6": ("[trusted]\nhosts = ::ffff:128.0.0.0/97", "error 8: Trusted Hosts hold"),
    "large network trusted": (
        "[trusted]\nhosts = 64.0.0.0/7",
        "warning 8: Trusted Hosts hold 64.0.0.0/7, a very large",
    ),
    "large network trusted, IPv6": ("[trusted]\nhosts = fc00::/7", "warning 8: Trusted Hosts hold fc00::/7"),
    "every domain open": (
        "[open-relay]\ndomains = .",
        "error 8: Open Relay Domains hold “.”: strangers may send to every",
    ),
    "every domain open, by a star": ("[open-relay]\ndomains = a.example, *", "error 8: Open Relay Domains hold “*”"),
    "top-level domain open": (
        "[open-relay]\ndomains = .org",
        "error 8: Open Relay Domains hold “.org”: it is a top-level",
    ),
    "top-level domain open, bare": ("[open-relay]\ndomains = org", "error 8: Open Relay Domains hold “org”"),
    "top-level domain open and direct": (
        "[direct .com]\nhosts = a.example\nopen = yes",
        "error 9: [direct .com] is open: it is a top-level domain",
    ),
    "forged clients": (
        "proxy_protocol = 0.0.0.0/0\n[trusted]\nhosts = 192.0.2.1",
        "error 7: listener smtp takes the PROXY protocol from every",
    ),
    "everybody refused": ("[access]\nrefuse = 0.0.0.0/0", "warning 8: 0.0.0.0/0 refuses every client with an IPv4"),
    "everybody refused beside others": (
        "[access]\nrefuse = 192.0.2.1, ::/0",
        "warning 8: ::/0 refuses every client with an IPv6 address.",
    ),
    "everybody refused in two halves": (
        "[access]\nrefuse = 0.0.0.0/1, 128.0.0.0/1",
        "warning 8: 0.0.0.0/1 and the others refuse most clients.",
    ),
    "senders of large providers refused": (
        "[filter]\nrefuse_senders = .com",
        "warning 8: “.com” in refuse_senders refuses much legitimate mail: that of gmail.com and outlook.com",
    ),
    "senders of all domains refused": (
        "[filter]\nrefuse_senders = x@there.example, *@*.c*",
        "warning 8: “*@*.c*” in refuse_senders refuses much legitimate mail",
    ),
    "hosts of large providers refused": (
        "[filter]\nrefuse_hellos = *.*.com",
        "warning 8: “*.*.com” in refuse_hellos refuses much legitimate mail: that of mail-ej1-f41.google.com",
    ),
    "a size without its unit": (
        "[basic]\nmax_message_size = 25",
        "warning 8: max_message_size refuses ordinary mail: 25 octets are less than the 64K",
    ),
    "everybody refused at a port": ("refuse = ::/0", "warning 7: ::/0 refuses every client with an IPv6 address."),
    "relay on port 465 without TLS": (
        "[remote]\nrelay_always = yes\nrelay_hosts = a.example:465",
        "warning 7: the relay is reached on port 465, which needs relay_ssl = yes.",
    ),
    "direct host on port 465 without TLS": (
        "[direct a.example]\nhosts =\n b.example\n c.example:465",
        "warning 8: c.example is reached on port 465, which needs ssl behind it.",
    ),
    "port taken": ("[listener b]\nport = 25", "error 8: port 25 of 0.0.0.0 is taken by listener smtp already."),
    "port taken by the wildcard": (
        "[listener b]\nport = 25\naddress = 192.0.2.1",
        "error 8: port 25 of 192.0.2.1 is taken by listener smtp already.",
    ),
    "implicit TLS without TLS": (
        "tls = implicit\n[basic]\nallow_tls = no",
        "warning 7: listener smtp is not opened: it has implicit TLS, and allow_tls in [basic] is off.",
    ),
    "login required, TLS off": (
        "[listener b]\nport = 587\nauth = required\n[basic]\nallow_tls = no",
        "warning 9: users cannot log in at listener b: allow_tls is off, and allow_auth_without_tls is off.",
    ),
    "login required, listener without TLS": (
        "[listener b]\nport = 587\nauth = required\ntls = none",
        "error 9: users cannot log in at listener b: it has no TLS",
    ),
    "login offered in vain": ("auth = offered\ntls = none", "warning 7: users cannot log in at listener smtp"),
    "passwords in the clear": (
        "auth = offered\n[basic]\nallow_auth_without_tls = yes",
        "warning 9: passwords may cross the network in the clear at listener smtp.",
    ),
    "login required on port 25": ("auth = required", "warning 7: other servers cannot deliver to listener smtp"),
    "no login on port 587": ("[listener b]\nport = 587", "warning 7: users cannot log in at listener b"),
    "STARTTLS on port 465": (
        "[listener b]\nport = 465\nauth = required",
        "warning 7: listener b: clients expect implicit TLS on port 465.",
    ),
    "loopback trusted behind a proxy": (
        "proxy_protocol = 192.0.2.1\n[trusted]\nhosts = 127.0.0.1",
        "warning 9: Trusted Hosts hold a loopback address while a listener is behind a proxy",
    ),
    "no way out": ("[remote]\nlook_up_mx = no", "error 8: mail for other servers has no way out"),
    "a relay that is never used": (
        "[remote]\nrelay_hosts = a.example",
        "warning 8: the relay is configured, but never used",
    ),
    "both relay boxes": (
        "[remote]\nrelay_hosts = a.example\nrelay_always = yes\nrelay_when_delivery_fails = yes",
        "warning 10: relay_when_delivery_fails has no effect",
    ),
    "the relay as second way without a first": (
        "[remote]\nlook_up_mx = no\nrelay_hosts = a.example\nrelay_when_delivery_fails = yes",
        "warning 10: relay_when_delivery_fails sends everything to the relay",
    ),
    "any certificate of a relay without TLS": (
        "[remote]\nrelay_hosts = a.example\nrelay_always = yes\nrelay_accept_any_certificate = yes",
        "warning 10: relay_accept_any_certificate has no effect",
    ),
    "TLS for no relay": ("[remote]\nrelay_ssl = yes", "warning 8: relay_ssl has no effect: relay_hosts is blank."),
    "relay without a host": ("[remote]\nrelay_always = yes", "error 8: relay_always is on, but relay_hosts is blank."),
    "relay as second without a host": (
        "[remote]\nrelay_when_delivery_fails = yes",
        "error 8: relay_when_delivery_fails is on, but relay_hosts is blank.",
    ),
    "relay login without user and password": (
        "[remote]\nrelay_auth = yes",
        (
            "error 8: relay_auth is on, but relay_user and "
            "relay_password (or relay_password_file or relay_token_command) is blank."
        ),
    ),
    "relay login without a password": (
        "[remote]\nrelay_auth = yes\nrelay_user = joe",
        "error 8: relay_auth is on, but relay_password (or relay_password_file or relay_token_command) is blank.",
    ),
    "relay login not used": ("[remote]\nrelay_user = joe", "warning 7: the login for the relay is not used"),
    "relay login to anybody": (
        "[remote]\nrelay_auth = yes\nrelay_user = joe\nrelay_password = x\nrelay_accept_any_certificate = yes",
        "warning 11: the password for the relay can be intercepted",
    ),
    "direct login to anybody": (
        "[direct a.example]\nhosts = b.example user=joe password=x\naccept_any_certificate = yes",
        "warning 9: the password for a.example can be intercepted",
    ),
    "direct login for strangers": (
        "[direct a.example]\nhosts = b.example user=joe password=x\nopen = yes",
        "error 9: [direct a.example] is open to strangers and logs in with a password",
    ),
    "relay is ourselves": (
        "[remote]\nrelay_hosts = 127.0.0.1\nrelay_always = yes",
        "error 8: the relay 127.0.0.1 is this server itself",
    ),
    "relay is ourselves by name": (
        "[remote]\nrelay_hosts = localhost:25\nrelay_always = yes",
        "error 8: the relay localhost is this server",
    ),
    "direct host is ourselves": ("[direct a.example]\nhosts = ::1", "error 8: ::1 is this server itself"),
    "direct host is our address": (
        "[listener b]\nport = 26\naddress = 192.0.2.1\n[direct a.example]\nhosts = 192.0.2.1:26",
        "error 11: 192.0.2.1 is this server itself",
    ),
    "alias that is a domain": (
        "[domain a.example]\naliases = b.example\n[domain b.example]",
        "error 8: b.example is a domain of its own and cannot be an alias of a.example.",
    ),
    "alias that is the primary domain": (
        "[domain a.example]\naliases = example.org",
        "error 8: example.org is a domain of its own",
    ),
    "alias that is its own domain": (
        "[domain a.example]\naliases = a.example",
        "error 8: a.example is a domain of its own",
    ),
    "address that two rules replace, in two spellings": (
        "[replace a@a.x]\naddresses = joe@bücher.example\n[replace b@b.x]\naddresses = Joe@xn--bcher-kva.example",
        "warning 10: Joe@xn--bcher-kva.example is replaced by [replace a@a.x] already",
    ),
    "direct sub-domain that is local in another spelling": (
        "[domain mail.bücher.example]\n[direct .xn--bcher-kva.example]\nhosts = c.example",
        "warning 8: mail for mail.bücher.example stays here",
    ),
    "alias of two domains": (
        "[domain a.example]\naliases = c.example\n[domain b.example]\naliases = c.example",
        "error 10: c.example is an alias of a.example already and cannot be one of b.example too.",
    ),
    "direct domain that is local": (
        "[direct example.org]\nhosts = a.example",
        "error 7: example.org is a local domain",
    ),
    "direct domain that is an alias": (
        "[domain a.example]\naliases = b.example\n[direct b.example]\nhosts = c.example",
        "error 9: b.example is a local domain",
    ),
    "direct sub-domain that is local": (
        "[domain mail.a.example]\n[direct .a.example]\nhosts = c.example",
        "warning 8: mail for mail.a.example stays here",
    ),
    "postmaster elsewhere": (
        "[basic]\npostmaster = joe@a.example",
        "warning 8: the postmaster is an address of another",
    ),
    "catch-all elsewhere": (
        "[domain a.example]\ncatch_all = joe@b.example",
        "warning 8: all mail for unknown users of a.example, spam included, is sent on to joe@b.example.",
    ),
    "replacement by itself": (
        "[replace a@b.example]\naddresses = A@b.example",
        "error 8: a@b.example replaces an address and is itself replaced",
    ),
    "replacement that does nothing": (
        "[replace a@b.example]\naddresses = c@b.example\nremote = no",
        "warning 7: the rule does nothing",
    ),
    "replacement behind another": (
        "[replace a@b.example]\naddresses = c@b.example\n[replace d@b.example]\naddresses = c@b.example",
        "warning 10: c@b.example is replaced by [replace a@b.example] already; the first rule counts.",
    ),
    "few recipients": ("[basic]\nmax_recipients = 99", "warning 8: other servers expect to be allowed 100 recipients"),
    "waits too long": (
        "[basic]\nretry_interval = 5h",
        "error 8: retry_interval (5h) is longer than max_retry_interval (4h).",
    ),
    "life too short": ("[basic]\nqueue_lifetime = 10m", "warning 8: a message is given up before its second attempt"),
    "notice too late": ("[basic]\nqueue_lifetime = 4h", "warning 7: there will be no delay notices"),
    "limit without effect": (
        "[basic]\nmax_outgoing_size = 30M",
        "warning 8: max_outgoing_size has no effect: max_message_size is smaller.",
    ),
    "two spellings of a domain": (
        "[domain bücher.example]\n[domain xn--bcher-kva.example]",
        "warning 8: xn--bcher-kva.example is bücher.example in another spelling, and one of the two is not used",
    ),
    "an alias in another spelling": (
        "[domain a.example]\naliases = xn--bcher-kva.example\n[domain bücher.example]",
        "error 8: xn--bcher-kva.example is a domain of its own and cannot be an alias of a.example.",
    ),
    "an alias of two in two spellings": (
        "[domain a.example]\naliases = bücher.example\n[domain b.example]\naliases = xn--bcher-kva.example",
        "error 10: xn--bcher-kva.example is an alias of a.example already and cannot be one of b.example too.",
    ),
    "direct in another spelling": (
        "[domain bücher.example]\n[direct xn--bcher-kva.example]\nhosts = 192.0.2.1",
        "error 8: xn--bcher-kva.example is a local domain; its mail stays here and is never delivered directly.",
    ),
    "bare host name": ("[basic]\nhelo_name = mail", "warning 8: other servers expect a host name with a domain"),
}


@pytest.mark.parametrize("name", FINDINGS)
def test_bad_combination_is_told_with_its_line(name: str) -> None:
    more, said = FINDINGS[name]
    found = found_in(sound(more) if more.startswith("[") else f"{SOUND}\n{more}")
    assert len(found) == 1, found
    assert found[0].startswith(said)


SOUND_COMBINATIONS = [
    "",
    "[trusted]\nhosts = 127.0.0.1, ::1, 192.168., 10., 172.16.0.0/12, 2001:db8::/32",
    "[trusted]\nhosts = 127.0.0.1, ::ffff:10.0.0.0/104",
    "[open-relay]\ndomains = a.example, .a.example",
    "[direct a.example]\nhosts = b.example\nopen = yes",
    "proxy_protocol = 192.0.2.1\n[trusted]\nhosts = 192.0.2.0/24",
    "address = 192.0.2.1\n[listener b]\nport = 25\naddress = 192.0.2.2, ::1",
    "address = ::\n[listener b]\nport = 25\naddress = 0.0.0.0",
    "tls = none\n[listener b]\nport = 587\nauth = required",
    "[listener b]\nport = 587\ntls = none\nauth = required\naddress = 127.0.0.2\n[basic]\nallow_auth_without_tls = yes",
    "[remote]\nlook_up_mx = no\nrelay_always = yes\nrelay_hosts = a.example",
    "[remote]\nrelay_auth = yes\nrelay_user = joe\nrelay_token_command = /bin/token",
    "[remote]\nrelay_when_delivery_fails = yes\nrelay_hosts = 127.0.0.1:2525, localhost:26, 192.0.2.1:25",
    "[remote]\nrelay_hosts = a.example, b.example:26\nrelay_port = 465\nrelay_ssl = yes\nrelay_always = yes",
    "[remote]\nlook_up_mx = no\n[direct a.example]\nhosts = b.example",
    "[direct a.example]\nhosts = 127.0.0.1:2525 user=joe password=x",
    "[domain a.example]\naliases = b.example\ncatch_all = joe@b.example\n[direct .b.example]\nhosts = c.example",
    "[basic]\npostmaster = joe@a.example\n[domain a.example]",
    "[basic]\npostmaster = joe@xn--4ca.test\n[domain ä.test]\naliases = xn--4ca.test\ncatch_all = joe@xn--4ca.test",
    "[replace a@b.example]\naddresses = c@b.example\n[replace d@b.example]\naddresses = a@b.example",
    "[replace a@b.example]\naddresses=c@b.example\nlocal=yes\nremote=no\n[replace d@b.example]\naddresses=c@b.example",
    "[basic]\nmax_message_size = 0\nmax_incoming_size = 1T",
    "[basic]\nqueue_lifetime = 4h\ndelay_notice = 0",
    "[basic]\nretry_interval = 4h",
]


@pytest.mark.parametrize("more", SOUND_COMBINATIONS)
def test_sound_combination_is_not_complained_about(more: str) -> None:
    assert found_in(f"{SOUND}{more}") == []


def test_sample_is_not_complained_about() -> None:
    assert found_in(sample()) == []


def test_server_without_a_listener_is_told_which_sections_to_add() -> None:
    found = found_in("[server]\nprimary_domain = example.org\n")
    assert len(found) == 1
    assert found[0].startswith("error 1: there is no listener; add [listener smtp] with port = 25")


def test_bare_primary_domain_is_told() -> None:
    assert found_in(SOUND.replace("example.org", "localhost"))[0].startswith("warning 2: other servers expect")


def test_files_are_not_used_for_two_purposes() -> None:
    text = SOUND.replace("[listener", "users_file = aliases\nrun_folder = /x\nmail_folder = /x/\n[listener")
    found = found_in(text)
    assert [each.partition(":")[0] for each in found] == ["error 4", "error 5"]
    assert "aliases_file and users_file are the same: /etc/smtpd-classic/aliases." in found[0]
    clash = found_in(SOUND.replace("[listener", f"aliases_file = {PATH}\n[listener"))
    assert clash == [f"error 4: aliases_file and the configuration file are the same: {PATH}."]


def test_replacements_in_a_circle_are_told_each() -> None:
    names = ["a", "b", "c"]
    pairs = itertools.pairwise([*names, "a"])
    rows = [f"[replace {one.upper()} <{one}@x.example>]\naddresses = {two}@x.example" for one, two in pairs]
    found = found_in(sound("\n".join(rows)))
    assert [each.partition(":")[0] for each in found] == ["error 8", "error 10", "error 12"]
    assert found_in(sound("\n".join(rows[:2]))) == []


OPENED = ["[basic]\nclose_open_relay = no", "[trusted]\nhosts = ::/0", "[open-relay]\ndomains = *"]


@pytest.mark.parametrize("more", OPENED)
def test_open_relay_for_this_machine_alone_is_a_warning(more: str) -> None:
    config = parse(LOOPBACK + more, PATH)
    assert [problem.severity for problem in check(config)] == ["warning"]
    assert len(open_relay_reasons(config)) == 1
    assert not is_reachable(config)
    assert "open_relay_confirmed" not in check(config)[0].text


@pytest.mark.parametrize("more", OPENED)
def test_proxy_on_this_machine_lets_everybody_in(more: str) -> None:
    config = parse(LOOPBACK + "proxy_protocol = 127.0.0.1\n" + more, PATH)
    assert is_reachable(config)
    assert any(problem.is_error and "open_relay_confirmed = yes" in problem.text for problem in check(config))


def test_each_reason_for_an_open_relay_is_a_sentence() -> None:
    reasons = open_relay_reasons(parse(sound("\n".join(OPENED)), PATH))
    assert len(reasons) == 3
    assert all(reason.endswith(".") for reason in reasons)
    assert open_relay_reasons(parse(SOUND, PATH)) == ()


RESTARTS = [
    (SOUND, SOUND, []),
    (
        SOUND,
        SOUND.replace("[listener", "workers = 2\n[listener"),
        ["workers in [server] takes effect after a restart."],
    ),
    (SOUND, sound("[basic]\nmax_hops = 5"), []),
    (SOUND, sound("[listener b]\nport = 2525"), []),
    (SOUND, SOUND.replace("25", "26"), ["port 26 of listener smtp is opened after a restart: it is under 1024."]),
    (SOUND, sound("[listener b]\nport = 465"), ["port 465 of listener b is opened after a restart: it is under 1024."]),
    (
        SOUND + "address = 127.0.0.1",
        SOUND,
        ["port 25 of listener smtp is opened after a restart: it is under 1024."],
    ),
    (SOUND, SOUND.replace("[listener smtp]", "[listener mx]"), []),
]


@pytest.mark.parametrize(("before", "after", "said"), RESTARTS)
def test_what_waits_for_a_restart_is_told(before: str, after: str, said: list[str]) -> None:
    assert list(restart_reasons(parse(before, PATH), parse(after, PATH))) == said
