"""Lists of addresses, as people and programs write them."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd_classic.submission.addresses import BadAddresses, addresses, find_addresses

READ = {
    "one": ("joe@example.org", ["joe@example.org"]),
    "without a domain": ("joe", ["joe"]),
    "several": ("joe, ann@example.org,bob", ["joe", "ann@example.org", "bob"]),
    "nothing": ("", []),
    "only signs": (" , ,;", []),
    "with names": ('Joe Doe <joe>, "Lee, Ann" <ann@example.org>', ["joe", "ann@example.org"]),
    "a name behind": ("root (Cron Daemon)", ["root"]),
    "nested comments": (r"(a (b \) c)) joe (d)", ["joe"]),
    "folded": ("joe,\n ann", ["joe", "ann"]),
    "a group": ("friends: joe, ann@example.org;, bob", ["joe", "ann@example.org", "bob"]),
    "an empty group": ("undisclosed-recipients:;", []),
    "a source route": ("<@a.example,@b.example:joe@c.example>", None),
    "a source route of one host": ("<@a.example:joe@c.example>", ["joe@c.example"]),
    "a quoted local part": ('"joe doe"@example.org', ['"joe doe"@example.org']),
    "a comma in quotes": ('"a,b"@example.org, joe', ['"a,b"@example.org', "joe"]),
    "an address literal": ("joe@[192.0.2.1]", ["joe@[192.0.2.1]"]),
    "dots with blanks": ("joe . doe @ example . org", ["joe.doe@example.org"]),
    "an empty address in brackets": ("<>", []),
    "not ASCII": ("jörg@exämple.org", ["jörg@exämple.org"]),
    "two words": ("joe ann", None),
    "two addresses": ("<joe> <ann>", None),
    "no end of a quotation": ('"joe', None),
    "no end of a comment": ("joe (a", None),
    "no end of a bracket": ("Joe <joe", None),
    "a comma within a bracket": ("<joe, ann>", None),
    "no beginning of a bracket": ("joe>", None),
    "no beginning of a comment": ("joe)", None),
    "control characters": ("joe\x00doe", None),
    "a line end in quotes": ('"joe\ndoe"@example.org', None),
    "half a surrogate": ("joe\udcff", None),
    "endless": ("x" * 400, None),
}


@pytest.mark.parametrize(("text", "found"), READ.values(), ids=READ)
def test_a_list_is_read_or_refused(text: str, found: list[str] | None) -> None:
    if found is not None:
        assert addresses(text) == found
        return
    with pytest.raises(BadAddresses) as told:
        addresses(text)
    assert str(told.value).isprintable()


@given(st.text('ab@.<>,;:()[]"\\ \t\n\x00é', max_size=40) | st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = find_addresses(text)
    except BadAddresses:
        return
    for each in found:
        assert each.text
        assert each.text.isprintable()
        assert text[each.end - 1] == each.text[-1]


ATOMS = st.text("abcXYZ019!#$%&'*+-/=?^_`{|}~é", min_size=1, max_size=10)
ADDRESSES = st.one_of(
    ATOMS, st.tuples(ATOMS, ATOMS).map("@".join), st.tuples(ATOMS, ATOMS, ATOMS).map("{0[0]}.{0[1]}@{0[2]}".format)
)


@given(st.lists(ADDRESSES), st.sampled_from(["{}", "<{}>", "Some Body <{}>", '"x, y" <{}> (z)', "{} (a)"]))
def test_what_is_written_is_read(written: list[str], form: str) -> None:
    assert addresses(", ".join(form.format(each) for each in written)) == written


@pytest.mark.parametrize(
    "text", ["(" * 200_000, '"' + "\\" * 200_000, "a." * 100_000, "a<" * 100_000, "a:" * 100_000, "[" * 200_000]
)
def test_hostile_lists_take_no_time(text: str) -> None:
    began = time.thread_time()
    with pytest.raises(BadAddresses):
        addresses(text + "(")
    assert time.thread_time() - began < 5
