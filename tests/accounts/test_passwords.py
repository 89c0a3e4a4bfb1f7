import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtpd_classic.accounts.passwords import (
    DUMMY_HASH,
    generate_password,
    hash_password,
    scheme_problem,
    scram_hash,
    scram_keys,
    verify,
)
from tests.accounts.place import HASH, PASSWORD
from tests.tools import need

# As “openssl passwd” makes them, Openwall's test vector for bcrypt, and the exchange of RFC 7677.
RFC_7677 = (
    "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,"
    "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
)
KNOWN = [
    (
        "{SHA512-CRYPT}$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
        "Hello world!",
    ),
    ("$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "Hello world!"),
    ("{SHA256-CRYPT}$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "Hello world!"),
    ("{BLF-CRYPT}$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"),
    ("{CRYPT}$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"),
    (RFC_7677, "pencil"),
]


@pytest.mark.parametrize(("stored", "password"), KNOWN, ids=[stored[:18] for stored, _ in KNOWN])
def test_a_known_hash_fits_its_password_and_no_other(stored: str, password: str) -> None:
    assert verify(stored, password)
    assert not verify(stored, password + "x")
    assert not verify(stored, password[:-1])
    assert not verify(stored, password.swapcase())
    assert not verify("!" + stored, password), "a locked hash fits nothing"
    assert scheme_problem(stored) is None
    assert scheme_problem("!" + stored) is None


@pytest.mark.parametrize(
    "scheme", ["ARGON2ID", "ARGON2I", "SHA512-CRYPT", "SHA256-CRYPT", "BLF-CRYPT", "SCRAM-SHA-256"]
)
def test_hashes_of_doveadm_verify_here(scheme: str) -> None:
    made = subprocess.run(
        [need("doveadm"), "-O", "pw", "-s", scheme, "-p", PASSWORD], capture_output=True, text=True, check=True
    )
    stored = made.stdout.strip()
    assert verify(stored, PASSWORD)
    assert not verify(stored, "wrong")
    assert scheme_problem(stored) is None


@pytest.mark.parametrize("stored", [HASH, scram_hash(PASSWORD)], ids=["Argon2id", "SCRAM"])
def test_our_hashes_verify_in_doveadm(stored: str) -> None:
    command = [need("doveadm"), "-O", "pw", "-t", stored, "-p"]
    assert subprocess.run([*command, PASSWORD], capture_output=True).returncode == 0
    assert subprocess.run([*command, "wrong"], capture_output=True).returncode != 0


def test_new_hashes_are_argon2id_as_recommended() -> None:
    assert HASH.startswith("{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$")
    assert hash_password(PASSWORD) != HASH, "each has a salt of its own"


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "!",
        "*",
        "x",
        "{PLAIN}secret",
        "secret",
        "{CLEARTEXT}secret",
        "{UNKNOWN}secret",
        "{ARGON2ID}",
        "{ARGON2ID}secret",
        "{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$bad",
        "{SHA512-CRYPT}$6$",
        "{SHA512-CRYPT}$6$salt$",
        "{CRYPT}*0",
        "{SCRAM-SHA-256}",
        "{SCRAM-SHA-256}0,YQ==,YQ==,YQ==",
        "{SCRAM-SHA-256}x,y,z,w",
        "{",
        "{}",
        DUMMY_HASH,
    ],
)
@pytest.mark.parametrize("password", ["secret", "*0", "", "!", "*"])
def test_nothing_fits_what_is_no_hash(stored: str, password: str) -> None:
    assert not verify(stored, password)


@pytest.mark.parametrize("password", ["", "a\0b", "x" * 1025, "\udc80"], ids=["empty", "NUL", "too long", "no text"])
def test_some_passwords_cannot_be_set_and_never_fit(password: str) -> None:
    with pytest.raises(ValueError, match=r"password|surrogates"):
        hash_password(password)
    assert not verify(HASH, password)


def test_a_password_is_not_cut_off_at_a_nul() -> None:
    stored = KNOWN[0][0]
    assert not verify(stored, "Hello world!\0")


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ("{PLAIN}secret", "stored readable"),
        ("{cleartext}secret", "stored readable"),
        ("{MD5}abc", "is not known"),
        ("$argon2id$v=19$m=19456,t=2,p=1$a$b", "needs {ARGON2ID}"),
        ("{ARGON2ID}$argon2i$v=19", "not one of {ARGON2ID}"),
        ("{SHA512-CRYPT}$5$a", "not one of"),
        ("{BLF-CRYPT}$6$a", "not one of"),
        ("{SCRAM-SHA-256}1,2,3", "not one of"),
    ],
)
def test_a_hash_that_never_fits_is_explained(stored: str, said: str) -> None:
    problem = scheme_problem(stored)
    assert problem
    assert said in problem
    assert "secret" not in problem


def test_scram_keys_are_those_of_the_rfc() -> None:
    keys = scram_keys(KNOWN[-1][0])
    assert keys is not None
    assert keys.iterations == 4096
    assert scram_keys(HASH) is None
    assert scram_keys("{SCRAM-SHA-256}99999999999,YQ==,YQ==,YQ==") is None


@pytest.mark.parametrize(("typed", "same"), [("I\u00adX", "IX"), ("\u2168", "IX"), ("a\u0308", "\u00e4")])
def test_scram_passwords_are_prepared_as_clients_do(typed: str, same: str) -> None:
    """RFC 4013 3: what looks the same is the same."""
    assert verify(scram_hash(typed), same)
    assert verify(scram_hash(same), typed)


def test_made_up_passwords_differ_and_are_long() -> None:
    made = {generate_password() for _ in range(100)}
    assert len(made) == 100
    assert all(len(password) == 20 for password in made)


@settings(max_examples=15, deadline=None)
@given(st.text(min_size=1, max_size=40).filter(str.isprintable))
def test_every_password_that_can_be_set_fits(password: str) -> None:
    assert verify(hash_password(password), password)
    assert verify(scram_hash(password), password)
    assert not verify(hash_password(password), password + "\u00e9")
