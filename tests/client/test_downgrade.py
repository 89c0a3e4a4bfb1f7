"""8-bit mail in 7 bits: the same for whoever reads it, and nothing else changed."""

import email
import email.policy
from contextlib import suppress
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd_classic.client.downgrade import CannotDowngrade, seven_bit

TEXT = "Grüße aus Köln — 100 %, =3D bleibt.\n\nEnde. \n"
MULTIPART = (
    'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="b;1"\nContent-Transfer-Encoding: 8bit\n\n'
    "Vorwort für niemanden\n"
    f"--b;1\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n{TEXT}"
    "--b;1\nContent-Type: text/plain\n\nplain ASCII stays  \n"
    f"--b;1\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: 8bit\n\n{TEXT}"
    "--b;1\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\n"
    f"Subject: inner\nContent-Type: text/html; charset=utf-8\n\n<p>{TEXT}</p>\n"
    "--b;1--\nNachwort für niemanden\n"
)


def leaves(content: bytes) -> list[tuple[str, bytes]]:
    found = []
    for part in email.message_from_bytes(content).walk():
        payload = part.get_payload(decode=True)
        if isinstance(payload, bytes):
            found.append((part.get_content_type(), payload))
    return found


def test_every_leaf_reads_as_before() -> None:
    content = MULTIPART.encode()
    converted = seven_bit(content)
    assert converted.isascii()
    before, after = leaves(content), leaves(converted)
    assert [kind for kind, _ in after] == [kind for kind, _ in before]
    for (kind, was), (_, now) in zip(before, after, strict=True):
        # What is no text comes out with the line ends of its canonical form.
        assert now == (was.replace(b"\n", b"\r\n") if kind == "application/octet-stream" else was)
    assert b"plain ASCII stays  \n--b;1\n" in converted


def test_labels_say_what_is_true() -> None:
    found = email.message_from_bytes(seven_bit(MULTIPART.encode()))
    labels = [str(part["Content-Transfer-Encoding"]) for part in found.walk()]
    assert labels == ["7bit", "quoted-printable", "None", "base64", "7bit", "quoted-printable"]


def test_text_of_which_nobody_said_what_it_is() -> None:
    converted = seven_bit("Subject: x\n\nGrüße\n".encode())
    assert converted == (
        b"Subject: x\nMIME-Version: 1.0\nContent-Type: text/plain; charset=unknown-8bit\n"
        b"Content-Transfer-Encoding: quoted-printable\n\nGr=C3=BC=C3=9Fe\n"
    )


def test_broken_labels() -> None:
    quoted = "MIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\n\na=20b ü\n".encode()
    assert seven_bit(quoted).endswith(b"\n\na=20b =C3=BC\n")
    encoded = "MIME-Version: 1.0\nContent-Transfer-Encoding: base64\n\nYWJj\nü\n".encode()
    assert leaves(seven_bit(encoded))[0][1] == b"abc"


@pytest.mark.parametrize(
    "content",
    [
        "Subject: Grüße\n\nx\n",
        "Content-Type: multipart/signed; boundary=b\n\n--b\n\nü\n--b\n\nsignature\n--b--\n",
        "Content-Type: multipart/mixed\n\n--b\n\nü\n--b--\n",
        "Content-Type: message/delivery-status\n\nDiagnostic-Code: smtp; ü\n",
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nSubject: ü\n\nx\n--b--\n",
        "".join(f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(50)) + "\nü\n",
        "Content-Type: multipart/mixed; boundary=b\n\n" + "--b\n\nü\n" * 2000,
    ],
    ids=["header", "signed", "no boundary", "report", "part header", "deep", "many"],
)
def test_what_cannot_be_converted_says_why(content: str) -> None:
    with pytest.raises(CannotDowngrade, match=r"\w+ \w+"):
        seven_bit(content.encode())


def test_ascii_stays_whatever_it_is() -> None:
    content = b"Content-Type: multipart/signed; boundary=b\n\n--b\n\nx\n--b\n\ny\n--b--\n"
    assert seven_bit(content) is content


@given(st.text(st.sampled_from("aZ .=\t\nüß€-"), max_size=400))
def test_any_text_reads_as_before(text: str) -> None:
    content = ("MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n" + text).encode()
    converted = seven_bit(content)
    assert converted.isascii()
    assert leaves(converted)[0][1].decode() == text
    assert max(map(len, converted.split(b"\n"))) <= 998 or not any(ord(char) > 127 for char in text)


@given(st.binary(max_size=500))
def test_junk_raises_nothing_else(junk: bytes) -> None:
    with suppress(CannotDowngrade):
        assert seven_bit(junk).isascii()


def test_a_long_message_is_still_readable_by_the_library() -> None:
    found = email.message_from_bytes(seven_bit(MULTIPART.encode()), policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    assert not [defect for part in found.walk() for defect in part.defects]
