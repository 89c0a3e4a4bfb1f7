"""Millions of broken commands, contents, replies and logins; a thousand or so when nobody waits for the long form.

No exception, no hang, no unbounded memory, and the same in every cut. The seed is in the name of a failing case.
"""

import random
from collections.abc import Callable

import pytest

from smtpd_classic.smtp.address import BadAddress, parse_path, split_address
from smtpd_classic.smtp.client import BadReply, ReplyParser, parse_ehlo
from smtpd_classic.smtp.content import ContentDecoder, stuff
from smtpd_classic.smtp.sasl import Challenge, LoginMechanism, PlainMechanism, ScramSha256
from tests.smtp.test_content import split
from tests.smtp.test_session import COMMANDS, UNLIMITED, client

PIECES = [
    *COMMANDS,
    b"\r",
    b"\n",
    b"\0",
    b".",
    b"<",
    b">",
    b'"',
    b"\\",
    b"@",
    b":",
    b"+",
    b"=",
    b" ",
    b"\t",
    b"\xff",
    "ü".encode(),
    b"\xe2\x80\xae",
    b"SIZE=1",
    b"ORCPT=rfc822;",
    b"BDAT 99999999999999999999 LAST\r\n",
    b"EHLO [IPv6:",
    b"STARTTLS\r\n",
]


def octets(chance: random.Random) -> bytes:
    """Mostly what a client would send, with a few octets changed, lost, doubled or swapped."""
    data = bytearray(b"".join(chance.choices(PIECES, k=chance.randrange(1, 14))))
    for _ in range(chance.randrange(6)):
        if data:
            place = chance.randrange(len(data))
            change = chance.randrange(4)
            if change == 0:
                data[place] = chance.randrange(256)
            elif change == 1:
                del data[place : place + chance.randrange(1, 9)]
            elif change == 2:
                data[place:place] = data[place : place + chance.randrange(1, 9)]
            else:
                data.insert(place, chance.choice(b'\r\n\0."<>@ '))
    return bytes(data)


def sessions(chance: random.Random) -> None:
    data = octets(chance)
    whole = client([data], UNLIMITED)
    cut = client(split(data, [chance.randrange(len(data) + 1) for _ in range(chance.randrange(12))]), UNLIMITED)
    if b"STARTTLS" not in data.upper():  # what is behind it is thrown away only if it has come by then
        assert (cut.asked, cut.said, cut.closed) == (whole.asked, whole.said, whole.closed), data
    assert len(whole.session._buffer) <= max(len(data), 13_000)


def contents(chance: random.Random) -> None:
    data = octets(chance) + b"\r\n.\r\n"
    decoder = ContentDecoder()
    text, _ = decoder.decode(data)
    assert decoder.finished
    assert b"\r" not in text, data
    wire = b"".join(stuff(split(text, [chance.randrange(len(text) + 1) for _ in range(3)])))
    again = ContentDecoder()
    assert again.decode(wire) == (text, b""), data
    assert not again.bare


def paths(chance: random.Random) -> None:
    text = octets(chance).decode("utf-8", "surrogateescape")
    try:
        address = parse_path(text, utf8=chance.random() < 0.5)
    except BadAddress:
        return
    if "@" not in address:  # a local part alone, which a domain may complete
        address += "@example.org"
    assert "@".join(split_address(address)) == address
    assert address.isprintable()


def replies(chance: random.Random) -> None:
    parser = ReplyParser()
    data = octets(chance)
    parser.receive_data(data if chance.random() < 0.5 else b"250-" + data.replace(b"\n", b"\n250-") + b"\r\n250 x\r\n")
    try:
        while (reply := parser.next_reply()) is not None:
            parse_ehlo(reply)
    except BadReply:
        return


def logins(chance: random.Random) -> None:
    for mechanism in (PlainMechanism(), LoginMechanism(), ScramSha256(lambda _: None, nonce="x")):
        response = chance.choice([octets(chance)[:200], b"n,,n=user,r=" + octets(chance)[:40], b"\0a\0b"])
        while isinstance(mechanism.step(response), Challenge) and chance.random() < 0.8:
            response = chance.choice([octets(chance)[:200], b"c=biws,r=x,p=" + octets(chance)[:40], b""])


CASES: list[Callable[[random.Random], None]] = [sessions, contents, paths, replies, logins]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize("seed", range(2))
def test_broken_input(case: Callable[[random.Random], None], seed: int) -> None:
    run(case, seed, 300)


@pytest.mark.torture
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize("seed", range(100, 120))
def test_broken_input_at_length(case: Callable[[random.Random], None], seed: int) -> None:
    run(case, seed, 60_000)


def run(case: Callable[[random.Random], None], seed: int, count: int) -> None:
    chance = random.Random(seed)
    for _ in range(count):
        case(chance)
