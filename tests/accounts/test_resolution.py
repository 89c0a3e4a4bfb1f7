from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd_classic.accounts import Account, AccountsUnreadable, ResolvedAddress
from smtpd_classic.accounts.address import DomainTable
from smtpd_classic.accounts.resolution import MAX_TARGETS, AddressBook
from smtpd_classic.config.kinds import OPTIONAL_MAILBOX_PLACE
from tests.accounts.place import INI, Place

USERS = """joe@example.org
ann@example.org
joe@other.org
müller@bücher.example
a.b@example.org
info@example.org
"""
ALIASES = """
sales: joe
team: joe, ann, joe
everybody: team, sales, Boss@Remote.Example
away: boss@remote.example
info: ann
sales@other.org: ann@example.org
here@other.org: joe
joe+lists: ann
round: about
about: round, ann
lonely: lonely
dead: nobody@example.org
half: nobody@example.org, ann
tagged: joe+shop
tagged2: tagged, ann+x@example.net
"quoted.name": joe
domain@example.net: ann
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("place"), USERS, ALIASES)


def test_a_section_may_have_another_spelling_than_the_primary_domain() -> None:
    place = OPTIONAL_MAILBOX_PLACE.parse("lmtp:unix:/run/lmtp")
    assert place is not None
    places = {"xn--bcher-kva.example": place}
    table = DomainTable("bücher.example", {"xn--bcher-kva.example": ("b.example",)}, places)
    assert table.canonical("Joe@b.example") == table.canonical("joe@xn--bcher-kva.example") == "joe@bücher.example"
    assert table.names == ("bücher.example",)
    assert table.place("b.example") == place


@pytest.mark.parametrize(
    ("address", "how", "targets"),
    [
        ("joe@example.org", "account", ["joe@example.org"]),
        ("JOE@Example.ORG", "account", ["joe@example.org"]),
        ("joe@example.org.", "account", ["joe@example.org"]),
        ("joe@example.net", "account", ["joe@example.org"]),
        ("joe@example.biz", "account", ["joe@example.org"]),
        ('"joe"@example.org', "account", ["joe@example.org"]),
        ('"a.b"@example.org', "account", ["a.b@example.org"]),
        ("müller@bücher.example", "account", ["müller@bücher.example"]),
        ("MÜLLER@BÜCHER.example", "account", ["müller@bücher.example"]),
        ("mu\u0308ller@xn--bcher-kva.example", "account", ["müller@bücher.example"]),
        ("joe+tag@example.org", "plus address", ["joe+tag@example.org"]),
        ("Joe+Tag@example.net", "plus address", ["joe+tag@example.org"]),
        ("joe+a+b@example.org", "plus address", ["joe+a+b@example.org"]),
        ("joe+@example.org", "plus address", ["joe+@example.org"]),
        ("joe+lists@example.org", "alias", ["ann@example.org"]),
        ("sales@example.org", "alias", ["joe@example.org"]),
        ("sales+tag@example.org", "plus address", ["joe@example.org"]),
        ("sales@example.net", "alias", ["joe@example.org"]),
        ("sales@other.org", "alias", ["ann@example.org"]),
        ("sales@bücher.example", "alias", ["joe@example.org"]),
        ("here@other.org", "alias", ["joe@other.org"]),
        ("team@example.org", "alias", ["joe@example.org", "ann@example.org"]),
        ("everybody@example.org", "alias", ["joe@example.org", "ann@example.org", "Boss@remote.example"]),
        ("away@example.org", "alias", ["boss@remote.example"]),
        ("info@example.org", "account", ["info@example.org"]),
        ("info@bücher.example", "alias", ["ann@example.org"]),
        ("about@example.org", "alias", ["ann@example.org"]),
        ("half@example.org", "alias", ["ann@example.org"]),
        ("tagged@example.org", "alias", ["joe+shop@example.org"]),
        ("tagged2@example.org", "alias", ["joe+shop@example.org", "ann+x@example.org"]),
        ("quoted.name@example.org", "alias", ["joe@example.org"]),
        ("domain@example.org", "alias", ["ann@example.org"]),
        ("anybody@other.org", "catch-all", ["joe@example.org"]),
        ("anybody+tag@other.org", "catch-all", ["joe@example.org"]),
        ("joe+tag@other.org", "plus address", ["joe+tag@other.org"]),
    ],
)
def test_an_address_stands_for(place: Place, address: str, how: str, targets: list[str]) -> None:
    assert place.accounts().find(address) == ResolvedAddress(how, tuple(targets))


@pytest.mark.parametrize(
    "address",
    [
        "nobody@example.org",
        "+tag@example.org",
        "lonely@example.org",
        "dead@example.org",
        "joe@example.com",
        "joe@sub.example.org",
        "joe@evilexample.org",
        "joe",
        "",
        "@",
        "@example.org",
        "joe@",
        '"a@b"@example.org',
        "joe%example.org@remote.example",
        "joe@example.org@remote.example",
        '"joe+ tag"@example.org',
        " joe@example.org",
        "joe\0@example.org",
        "../joe@example.org",
    ],
)
def test_nobody_is_behind(place: Place, address: str) -> None:
    assert place.accounts().find(address) is None


@pytest.mark.parametrize(
    ("aliases", "ini", "address", "expected"),
    [
        ("postmaster: ann", "", "postmaster", ResolvedAddress("alias", ("ann@example.org",))),
        ("postmaster: ann", "", "POSTMASTER@example.net", ResolvedAddress("alias", ("ann@example.org",))),
        ("", "postmaster = joe@example.org", "postmaster", ResolvedAddress("postmaster", ("joe@example.org",))),
        (
            "postmaster: ann",
            "postmaster = joe@example.org",
            "postmaster",
            ResolvedAddress("postmaster", ("joe@example.org",)),
        ),
        (
            "postmaster@example.org: ann",
            "postmaster = postmaster@example.org",
            "postmaster",
            ResolvedAddress("alias", ("ann@example.org",)),
        ),
        (
            "",
            "postmaster = joe@example.org",
            "Postmaster@other.org",
            ResolvedAddress("postmaster", ("joe@example.org",)),
        ),
        (
            "",
            "postmaster = boss@remote.example",
            "postmaster@example.net",
            ResolvedAddress("postmaster", ("boss@remote.example",)),
        ),
        (
            "boss: joe",
            "postmaster = boss@example.org",
            "postmaster",
            ResolvedAddress("postmaster", ("joe@example.org",)),
        ),
        (
            "postmaster: nobody@example.org",
            "postmaster = joe@example.org",
            "postmaster",
            ResolvedAddress("postmaster", ("joe@example.org",)),
        ),
        ("", "", "postmaster", None),
        ("postmaster: postmaster", "", "postmaster", None),
    ],
)
def test_the_postmaster_is_always_reached(
    tmp_path: Path, aliases: str, ini: str, address: str, expected: ResolvedAddress | None
) -> None:
    place = Place(tmp_path, USERS, aliases, INI + "[basic]\n" + ini)
    assert place.accounts().find(address) == expected


def test_an_account_named_postmaster_comes_first(tmp_path: Path) -> None:
    place = Place(tmp_path, "postmaster@example.org", "postmaster: nobody", INI)
    assert place.accounts().find("postmaster") == ResolvedAddress("account", ("postmaster@example.org",))


def test_the_primary_domain_needs_no_section(tmp_path: Path) -> None:
    place = Place(tmp_path, "joe@example.org", "", "[server]\nprimary_domain = Example.ORG\n")
    assert place.accounts().find("joe@example.org")
    assert place.accounts().is_local_domain("EXAMPLE.org.")
    assert not place.accounts().is_local_domain("org")
    assert not place.accounts().is_local_domain("")


@pytest.mark.parametrize(
    ("address", "canonical"),
    [
        ("Joe@EXAMPLE.net", "joe@example.org"),
        ("joe", "joe@example.org"),
        ("Joe@Remote.Example", "Joe@remote.example"),
        ('"joe"@xn--bcher-kva.example', "joe@bücher.example"),
        ('"A b"@example.net', '"a b"@example.org'),
    ],
)
def test_there_is_one_spelling_of_an_address(place: Place, address: str, canonical: str) -> None:
    assert place.accounts().canonical(address) == canonical
    assert place.accounts().canonical(canonical) == canonical


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("joe@example.org", "joe@example.org"),
        ("joe", "joe@example.org"),
        ("Joe+tag@example.net", "joe@example.org"),
        ("joe@other.org", "joe@other.org"),
        ("sales@example.org", None),
        ("nobody", None),
        ("joe@remote.example", None),
    ],
)
def test_an_account_is_found_by_address_and_login(place: Place, name: str, address: str | None) -> None:
    account = place.accounts().account(name)
    assert (account and account.address) == address


@pytest.mark.parametrize(
    ("alias", "members"),
    [
        ("team", ("joe@example.org", "ann@example.org")),
        ("team@example.net", ("joe@example.org", "ann@example.org")),
        ("joe", None),
        ("joe+x", None),
        ("nobody", None),
        ("anybody@other.org", None),
    ],
)
def test_members_are_those_of_an_alias_only(place: Place, alias: str, members: tuple[str, ...] | None) -> None:
    assert place.accounts().members(alias) == members


def test_the_maildir_is_where_dovecot_looks_for_it(place: Place) -> None:
    account = place.accounts().account("JOE@example.net")
    assert account is not None
    assert account.folder == str(place.folder / "mail" / "example.org" / "joe")


def book(aliases: dict[str, tuple[str, ...]]) -> AddressBook:
    table = DomainTable("x.org", {"x.org": ()})
    return AddressBook(table, {}, aliases, {}, "postmaster@x.org")


def test_addresses_that_a_stranger_makes_up_take_no_memory() -> None:
    table = DomainTable("x.org", {"x.org": ()})
    joe = Account("joe@x.org")
    made = AddressBook(table, {"joe@x.org": joe}, {"info": ("joe@x.org",)}, {"x.org": "joe@x.org"}, "joe@x.org")
    for number in range(100):
        assert made.find(f"joe+{number}@x.org")
        assert made.find(f"info+{number}@x.org")
        assert made.find(f"any{number}@x.org")
    assert made.find("info@x.org")
    assert made.known.keys() == {"joe@x.org", "info@x.org"}


def test_doubling_aliases_do_not_explode() -> None:
    """Forty levels, each naming the next twice under two names: 2^40 paths, 80 addresses."""
    aliases: dict[str, tuple[str, ...]] = {}
    for level in range(40):
        following = (f"a{level + 1}@x.org", f"b{level + 1}@x.org")
        aliases |= {f"a{level}@x.org": following, f"b{level}@x.org": following}
    aliases |= {"a40@x.org": ("end@remote.example",), "b40@x.org": ("end@remote.example",)}
    assert book(aliases).find("a0@x.org") == ResolvedAddress("alias", ("end@remote.example",))


def test_a_chain_of_aliases_may_be_long() -> None:
    aliases: dict[str, tuple[str, ...]] = {f"a{number}@x.org": (f"a{number + 1}@x.org",) for number in range(20_000)}
    aliases["a20000@x.org"] = ("end@remote.example",)
    assert book(aliases).find("a0@x.org") == ResolvedAddress("alias", ("end@remote.example",))


def test_too_many_targets_defer_instead_of_being_cut_off() -> None:
    targets = tuple(f"u{number}@remote.example" for number in range(MAX_TARGETS + 1))
    assert book({"all@x.org": targets[:-1]}).find("all@x.org") == ResolvedAddress("alias", targets[:-1])
    with pytest.raises(AccountsUnreadable):
        book({"all@x.org": targets}).find("all@x.org")


NAMES = st.sampled_from(["a", "b", "c", "d", "e"])
TARGETS = st.lists(
    st.one_of(NAMES.map(lambda name: f"{name}@x.org"), st.just("z@remote.example")), min_size=1, max_size=4
)


@given(st.dictionaries(NAMES.map(lambda name: f"{name}@x.org"), TARGETS.map(tuple)))
def test_whatever_the_aliases_say_resolution_ends_with_ends(aliases: dict[str, tuple[str, ...]]) -> None:
    for name in aliases:
        found = book(aliases).find(name)
        reached, waiting = set(), [name]
        while waiting:
            address = waiting.pop()
            if address not in reached:
                reached.add(address)
                waiting += aliases.get(address, ())
        assert (found.targets if found else ()) == (("z@remote.example",) if "z@remote.example" in reached else ())
