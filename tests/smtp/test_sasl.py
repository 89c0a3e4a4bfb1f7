"""Logins, from both sides."""

import hashlib
import hmac
from base64 import b64decode, b64encode
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtpd_classic.smtp.sasl import (
    BadChallenge,
    Challenge,
    Client,
    Credentials,
    Failure,
    LoginMechanism,
    PlainMechanism,
    ScramSha256,
    Step,
    Success,
    login,
    plain,
    scram_sha_256,
    xoauth2,
)
from smtpd_classic.smtp.scram import saslprep


class Keys(NamedTuple):
    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes


def keys(password: str, salt: bytes = b"salt", iterations: int = 4096) -> Keys:
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    return Keys(salt, iterations, stored, hmac.digest(salted, b"Server Key", "sha256"))


PENCIL = keys("pencil", b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="))
SERVER_NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
# RFC 7677 3
EXCHANGE = [
    b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
    b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
]


def find(name: str) -> Keys | None:
    return PENCIL if name == "user" else None


def server() -> ScramSha256:
    return ScramSha256(find, nonce=SERVER_NONCE)


def test_scram_server_as_in_rfc_7677() -> None:
    mechanism = server()
    assert mechanism.step(EXCHANGE[0]) == Challenge(EXCHANGE[1])
    assert mechanism.step(EXCHANGE[2]) == Challenge(EXCHANGE[3])
    assert mechanism.step(b"") == Success("user")


def test_scram_client_as_in_rfc_7677() -> None:
    client = scram_sha_256("user", "pencil", nonce="rOprNGfwEbeRWgbNEkqO")
    assert next(client) == EXCHANGE[0]
    assert client.send(EXCHANGE[1]) == EXCHANGE[2]
    assert client.send(EXCHANGE[3]) == b""
    with pytest.raises(StopIteration):
        client.send(b"")


def converse(client: Client, mechanism: PlainMechanism | LoginMechanism | ScramSha256) -> Step:
    found = mechanism.step(next(client))
    while isinstance(found, Challenge):
        found = mechanism.step(client.send(found.data))
    return found


@pytest.mark.parametrize("name", ["user", "us,er=x", "jürgen", "user@example.org"])
def test_scram_between_our_own_two_sides(name: str) -> None:
    assert converse(
        scram_sha_256(name, "p=,ä"), ScramSha256(lambda login: keys("p=,ä") if login == name else None)
    ) == Success(name)


@pytest.mark.parametrize(("name", "password"), [("user", "wrong"), ("nobody", "pencil")])
def test_scram_fails_with_the_last_message(name: str, password: str) -> None:
    client, mechanism = scram_sha_256(name, password), server()
    question = mechanism.step(next(client))
    assert isinstance(question, Challenge)
    assert mechanism.step(client.send(question.data)) == Failure(name)


def test_an_unknown_login_is_asked_like_a_known_one() -> None:
    first = b"n,,n=nobody,r=abc"
    one, two, other = (ScramSha256(find, secret=secret, nonce="x").step(first) for secret in (b"s", b"s", b"t"))
    assert one == two != other
    assert isinstance(one, Challenge)
    assert one.data.endswith(b",i=4096")


def test_the_client_may_ask_to_be_asked() -> None:
    assert server().step(None) == Challenge(b"")


def test_an_authorization_identity_is_told() -> None:
    client_first = b"n,a=o=2Cther,n=user,r=x"
    mechanism = ScramSha256(find, nonce="y")
    assert isinstance(mechanism.step(client_first), Challenge)
    assert mechanism._authzid == "o,ther"


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\xff",
        b"n",
        b"n,,",
        b"n,,n=user",
        b"p=tls-unique,,n=user,r=x",
        b"x,,n=user,r=x",
        b"n,b=x,n=user,r=x",
        b"n,,m=ext,n=user,r=x",
        b"n,,n=,r=x",
        b"n,,n=user,r=",
        b"n,,n=us=er,r=x",
        b"n,,n=us=3der,r=x",
        b"n,,r=x,n=user",
    ],
)
def test_a_malformed_first_message_fails(message: bytes) -> None:
    found = server().step(message)
    assert isinstance(found, Failure)
    assert found.malformed


R = EXCHANGE[2].split(b",")[1]
P = EXCHANGE[2].split(b",")[2]


@pytest.mark.parametrize(
    ("message", "malformed"),
    [
        (b"", True),
        (b"\xff", True),
        (b"c=biws," + R, True),
        (b"c=biws," + P, True),
        (b"c=b$ws," + R + b"," + P, True),
        (b"c=biws," + R + b",p=!!!", True),
        (b"c=biws," + R + b",p=" + b64encode(b"short"), True),
        (b"c=eSws," + R + b"," + P, False),  # y,, where n,, was said
        (b"c=biws," + R + b"x," + P, False),
        (b"c=biws," + R + b",p=" + b64encode(b"x" * 32), False),
        (b"c=biws," + R + b",x=ext," + P, False),  # the extension is part of what is signed
    ],
)
def test_a_wrong_last_message_fails(message: bytes, malformed: bool) -> None:
    mechanism = ScramSha256(find, nonce=SERVER_NONCE)
    mechanism.step(EXCHANGE[0])
    assert mechanism.step(message) == Failure("user", malformed)


@pytest.mark.parametrize(
    ("signed", "accepted"), [(b"c=biws," + R, True), (b"c=eSws," + R, False), (b"c=biws," + R + b"x", False)]
)
def test_what_was_said_must_be_repeated_even_by_who_knows_the_password(signed: bytes, accepted: bool) -> None:
    """A proof over what was said last, though it is not what was said first."""
    mechanism = server()
    mechanism.step(EXCHANGE[0])
    message = b",".join([EXCHANGE[0][3:], EXCHANGE[1], signed])
    salted = hashlib.pbkdf2_hmac("sha256", b"pencil", PENCIL.salt, PENCIL.iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    signature = hmac.digest(PENCIL.stored_key, message, "sha256")
    proof = b64encode(bytes(a ^ b for a, b in zip(client_key, signature, strict=True)))
    assert isinstance(mechanism.step(signed + b",p=" + proof), Challenge) == accepted


def test_nothing_may_follow_the_servers_proof() -> None:
    mechanism = server()
    mechanism.step(EXCHANGE[0])
    mechanism.step(EXCHANGE[2])
    assert mechanism.step(b"x") == Failure("user", malformed=True)


@pytest.mark.parametrize(
    "question",
    [
        b"",
        b"\xff",
        b"e=other-error",
        b"r=abcd,s=c2FsdA==",
        b"r=abcd,s=c2FsdA==,i=x",
        b"r=abcd,s=!,i=4096",
        b"r=xbcd,s=c2FsdA==,i=4096",
        b"r=abcd,s=c2FsdA==,i=1",
        b"r=abcd,s=c2FsdA==,i=99999999",
        b"m=x,r=abcd,s=c2FsdA==,i=4096",
    ],
)
def test_the_client_gives_up_on_a_strange_question(question: bytes) -> None:
    client = scram_sha_256("user", "pencil", nonce="abc")
    next(client)
    with pytest.raises(BadChallenge):
        client.send(question)


@pytest.mark.parametrize("verdict", [b"", b"v=", b"e=invalid-proof", b"v=AAAA", EXCHANGE[3] + b"x"])
def test_the_client_gives_up_on_a_server_that_does_not_know_the_password(verdict: bytes) -> None:
    client = scram_sha_256("user", "pencil", nonce="rOprNGfwEbeRWgbNEkqO")
    next(client)
    client.send(EXCHANGE[1])
    with pytest.raises(BadChallenge):
        client.send(verdict)


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("user", "user"),
        ("\u00ad", ""),
        ("I\u00adX", "IX"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("p\u00e4ss", "p\u00e4ss"),
        ("\u00e4\x07", "\u00e4\x07"),  # prohibited: as it is
        ("\u0627\ue000", "\u0627\ue000"),
    ],
)
def test_saslprep(text: str, prepared: str) -> None:
    assert saslprep(text) == prepared


@pytest.mark.parametrize(
    ("response", "found"),
    [
        (None, Challenge(b"")),
        (b"\0joe\0secret", Credentials("joe", "secret")),
        (b"boss\0joe\0secret", Credentials("joe", "secret", "boss")),
        ("\0jürgen\0geheim ß".encode(), Credentials("jürgen", "geheim ß")),
        (b"", Failure(malformed=True)),
        (b"joe\0secret", Failure(malformed=True)),
        (b"\0joe\0sec\0ret", Failure(malformed=True)),
        (b"\0\0secret", Failure(malformed=True)),
        (b"\0joe\0", Failure("joe", malformed=True)),
        (b"\0joe\0\xff", Failure(malformed=True)),
    ],
)
def test_plain(response: bytes | None, found: Step) -> None:
    assert PlainMechanism().step(response) == found


@pytest.mark.parametrize(
    ("responses", "found"),
    [
        ([None], Challenge(b"Username:")),
        ([b"joe"], Challenge(b"Password:")),
        ([None, b"joe", b"secret"], Credentials("joe", "secret")),
        ([b"joe", b"secret"], Credentials("joe", "secret")),
        ([None, b""], Failure(malformed=True)),
        ([None, b"\xff"], Failure(malformed=True)),
        ([b"joe", b""], Failure("joe", malformed=True)),
        ([b"joe", b"\xff"], Failure("joe", malformed=True)),
    ],
)
def test_login(responses: list[bytes | None], found: Step) -> None:
    mechanism = LoginMechanism()
    *before, last = responses
    for response in before:
        assert isinstance(mechanism.step(response), Challenge)
    assert mechanism.step(last) == found


def test_both_sides_understand_each_other() -> None:
    assert converse(plain("jürgen", "geheim"), PlainMechanism()) == Credentials("jürgen", "geheim")
    assert converse(login("jürgen", "geheim"), LoginMechanism()) == Credentials("jürgen", "geheim")


def test_xoauth2() -> None:
    client = xoauth2("joe@example.org", "ya29.token")
    assert next(client) == b"user=joe@example.org\x01auth=Bearer ya29.token\x01\x01"
    assert client.send(b'{"status":"400"}') == b""
    with pytest.raises(StopIteration):
        client.send(b"")


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(Credentials("joe", "secret"))


@settings(deadline=None, max_examples=300)
@given(st.lists(st.one_of(st.none(), st.binary(max_size=60)), min_size=1, max_size=4))
def test_no_response_breaks_a_mechanism(responses: list[bytes | None]) -> None:
    for mechanism in (PlainMechanism(), LoginMechanism(), server()):
        for response in responses:
            if not isinstance(mechanism.step(response), Challenge):
                break
