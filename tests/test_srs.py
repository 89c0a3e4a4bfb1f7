import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from smtpd_classic.smtp.address import is_address
from smtpd_classic.srs import VALID_DAYS, Srs, srs_for, srs_secret
from smtpd_classic.srs_senders import SenderStore

TODAY = date(2026, 3, 14)
FOLDER = Path(mkdtemp(prefix="srs-"))
US, THEM, OTHERS = (
    Srs(name.encode() * 16, f"{name}.example", SenderStore(str(FOLDER / name))) for name in ("us", "them", "others")
)

LOCAL = st.one_of(
    st.from_regex(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}(\.[A-Za-z0-9=+-]{1,9})?", fullmatch=True),
    st.sampled_from(['"john doe"', '"a@b"', '"a\\"b"', '"back\\\\slash"', "srs0", "SRS0=", "srs1-", "x=y=z", "müller"]),
)
SENDER = st.builds("{}@{}".format, LOCAL, st.sampled_from(["example.org", "a.example", "bücher.example"]))
DAY = st.dates(date(2020, 1, 1), date(2100, 1, 1))


@given(SENDER, DAY, st.integers(0, VALID_DAYS))
def test_a_bounce_comes_back_to_the_sender(sender: str, day: date, later: int) -> None:
    ours = US.forward(sender, day)
    assume(ours != sender)
    assert ours.endswith("@us.example")
    assert is_address(ours)
    assert US.reverse(ours, day + timedelta(later)) == sender


@given(SENDER, DAY, st.integers(0, VALID_DAYS))
def test_a_server_that_changes_case_changes_nothing(sender: str, day: date, later: int) -> None:
    ours = US.forward(sender, day)
    assume(ours != sender and ours.isascii())
    for changed in (ours.lower(), ours.upper()):
        assert (US.reverse(changed, day + timedelta(later)) or "").lower() == sender.lower()


@given(SENDER, DAY)
def test_three_forwarders_in_a_row_lead_back_one_by_one(sender: str, day: date) -> None:
    first = US.forward(sender, day)
    assume(first != sender)
    second = THEM.forward(first, day)
    assume(second != first)
    third = OTHERS.forward(second, day)
    assume(second.startswith("SRS1=") and third.startswith("SRS1="))
    assert second.endswith("@them.example")
    assert third.endswith("@others.example")
    assert len(third) <= len(second) + 3, "a fourth hop would be no longer"
    assert OTHERS.reverse(third, day) == first, "the bounce takes the short way, to the first forwarder"
    assert THEM.reverse(second, day) == first
    assert US.reverse(first, day) == sender


@pytest.mark.parametrize("days", [-2, VALID_DAYS + 1, 100, 500, 1000])
def test_an_address_expires(days: int) -> None:
    ours = US.forward("joe@example.org", TODAY)
    assert US.reverse(ours, TODAY + timedelta(days)) is None


@pytest.mark.parametrize("days", [-1, 0, 1, VALID_DAYS])
def test_an_address_is_good_for_three_weeks(days: int) -> None:
    ours = US.forward("joe@example.org", TODAY)
    assert US.reverse(ours, TODAY + timedelta(days)) == "joe@example.org"


@pytest.mark.parametrize("sender", ["", "joe@us.example", "joe@US.example", "postmaster"])
def test_nothing_to_rewrite(sender: str) -> None:
    assert US.forward(sender, TODAY) == sender


def test_a_sender_that_is_too_long_for_the_classic_form_gets_a_short_one() -> None:
    longest = "x" * (64 - len("SRS0=HHHHHH=TT=example.org=")) + "@example.org"
    assert US.forward(longest, TODAY).endswith(f"=example.org={'x' * 37}@us.example")
    assert len(US.forward(longest, TODAY).partition("@")[0]) == 64
    for sender in (
        "x" + longest,
        "bounce+" + "v" * 200 + "@lists.example.org",
        f"SRS1=abcdef=a.example=={'y' * 60}@b.example",
    ):
        ours = US.forward(sender, TODAY)
        assert len(ours) == len("SRS0=HHHHHH=TT=KKKKKKKKKKKKKKKK@us.example")
        assert US.forward(sender, TODAY) == ours
        for written in (ours, ours.upper(), ours.lower()):
            assert US.reverse(written, TODAY + timedelta(VALID_DAYS)) == sender
        assert US.reverse(ours, TODAY + timedelta(VALID_DAYS + 1)) is None
        assert US.reverse(ours.replace(ours[5], "a" if ours[5] != "A" else "b", 1), TODAY) is None
        assert THEM.reverse(THEM.forward(ours, TODAY), TODAY) == ours


LONG = "bounce+" + "v" * 80 + "@lists.example.org"
KEEP = "import sys; from datetime import date; from smtpd_classic.srs import srs_for\n"
KEEP += "srs = srs_for(sys.argv[1], 'us.example')\n"
KEEP += "for n in range(30): print(srs.forward(f'{sys.argv[2]}-{n}-{\"v\" * 80}@lists.example.org', date(2026, 3, 14)))"


def test_stored_senders_survive_a_restart_and_serve_several_processes(tmp_path: Path) -> None:
    children = [
        subprocess.Popen([sys.executable, "-c", KEEP, str(tmp_path), name], stdout=subprocess.PIPE, text=True)
        for name in ("a", "b", "c")
    ]
    said = [child.communicate(timeout=60)[0].split() for child in children]
    for name, addresses in zip("abc", said, strict=True):
        for number, address in enumerate(addresses):
            expected = f"{name}-{number}-{'v' * 80}@lists.example.org"
            assert srs_for(str(tmp_path), "us.example").reverse(address, TODAY) == expected
        assert len(addresses) == 30
    assert stat.S_IMODE((tmp_path / "srs-senders").stat().st_mode) == 0o600


def test_expired_senders_are_dropped_and_those_in_use_stay(tmp_path: Path) -> None:
    srs = srs_for(str(tmp_path), "us.example")
    once, often = srs.forward("once" + LONG, TODAY), ""
    for days in range(0, 100, 10):
        often = srs.forward("often" + LONG, TODAY + timedelta(days))
    assert srs.reverse(often, TODAY + timedelta(100)) == "often" + LONG
    store = SenderStore(str(tmp_path / "srs-senders"))
    keys = [address.partition("@")[0][-16:].lower() for address in (once, often)]
    assert [store.sender(key) for key in keys] == [None, "often" + LONG]


def test_a_store_that_cannot_be_read_decides_nothing(tmp_path: Path) -> None:
    srs = srs_for(str(tmp_path), "us.example")
    ours = srs.forward(LONG, TODAY)
    (tmp_path / "srs-senders").write_bytes(b"this is no database" * 100)
    with pytest.raises(OSError, match="srs-senders"):
        srs.reverse(ours, TODAY)
    with pytest.raises(OSError, match="srs-senders"):
        srs.forward(LONG, TODAY)


def test_the_form_is_the_one_that_others_know() -> None:
    first = US.forward("joe@example.org", TODAY)
    assert first.startswith("SRS0=")
    assert first.endswith("=example.org=joe@us.example")
    second = THEM.forward(first, TODAY)
    assert second.startswith("SRS1=")
    assert second.endswith(f"=us.example=={first[5:].partition('@')[0]}@them.example")


@pytest.mark.parametrize("separator", ["=", "+", "-"])
def test_addresses_of_other_implementations_are_forwarded(separator: str) -> None:
    theirs = f"SRS0{separator}abcd=XY=example.org=joe@old.example"
    ours = US.forward(theirs, TODAY)
    assert US.reverse(ours, TODAY) == theirs


@pytest.mark.parametrize(
    "address",
    [
        "joe@us.example",
        "SRS0@us.example",
        "SRS0=@us.example",
        "SRS0=AAAAAA=AA=example.org=joe@us.example",
        "SRS0=AAAAAA=00=example.org=joe@us.example",
        "SRS1=AAAAAA=example.org==AAAAAA=AA=a.example=joe@us.example",
        "SRS0=======@us.example",
        "SRS0=AAA\u212aAA=AA=example.org=joe@us.example",
        "SRS0=AAAAAA=\u017fA=example.org=joe@us.example",
        "",
        "@us.example",
    ],
)
def test_what_is_not_ours_leads_nowhere(address: str) -> None:
    assert US.reverse(address, TODAY) is None


def test_another_servers_address_leads_nowhere() -> None:
    assert US.reverse(THEM.forward("joe@example.org", TODAY), TODAY) is None
    assert (
        Srs(b"x" * 32, "us.example", SenderStore(str(FOLDER / "us"))).reverse(
            US.forward("joe@example.org", TODAY), TODAY
        )
        is None
    )


@given(st.integers(0, 200), st.characters(codec="ascii"))
def test_a_changed_address_leads_nowhere_else(place: int, char: str) -> None:
    ours = US.forward("joe.doe@example.org", TODAY)
    place %= ours.index("@")
    changed = ours[:place] + char + ours[place + 1 :]
    found = US.reverse(changed, TODAY)
    assert found is None or found.lower() == "joe.doe@example.org"


def test_the_hash_of_one_form_does_not_fit_the_other() -> None:
    ours = US.forward("=joe@evil.example", TODAY)
    assert ours.startswith("SRS0=")
    assert US.reverse("SRS1" + ours[4:], TODAY) is None
    theirs = US.forward("SRS0-evil.example=victim@ab", TODAY)
    assert theirs.startswith("SRS1=")
    day = date.fromordinal(TODAY.toordinal() // 1024 * 1024 + 1)  # whose stamp is “ab”
    assert US.forward("joe@example.org", day)[12:14] == "ab"
    assert US.reverse("SRS0" + theirs[4:], day) is None


@given(st.text(max_size=60))
def test_any_text_is_looked_at_without_a_crash(text: str) -> None:
    US.reverse(f"SRS0={text}@us.example", TODAY)
    US.reverse(text, TODAY)
    US.forward(text, TODAY)


def test_the_secret_is_made_once_and_is_nobody_elses(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        secrets = set(pool.map(srs_secret, [str(tmp_path)] * 32))
    assert len(secrets) == 1
    assert len(secrets.pop()) == 64
    assert [path.name for path in tmp_path.iterdir()] == ["srs-secret"]
    assert stat.S_IMODE((tmp_path / "srs-secret").stat().st_mode) == 0o600


def test_two_servers_have_different_secrets(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert srs_secret(str(tmp_path / "a")) != srs_secret(str(tmp_path / "b"))


def test_a_file_that_is_no_secret_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "srs-secret").write_bytes(b"short\n")
    with pytest.raises(OSError, match="too short"):
        srs_secret(str(tmp_path))


def test_no_folder_no_secret(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=os.strerror(2)):
        srs_secret(str(tmp_path / "missing"))
