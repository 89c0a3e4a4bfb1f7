"""8-bit mail in 7 bits: the same for whoever reads it, and nothing else changed."""

import email
import email.policy
from contextlib import suppress
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtpd_classic.client.ascii_header import ascii_header
from smtpd_classic.client.downgrade import CannotDowngrade, ContentLimits, converted


def seven_bit(content: bytes) -> bytes:
    return converted(content, ContentLimits(seven_bit=True))


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
    made = seven_bit(content)
    assert made.isascii()
    before, after = leaves(content), leaves(made)
    assert [kind for kind, _ in after] == [kind for kind, _ in before]
    for (kind, was), (_, now) in zip(before, after, strict=True):
        # What is no text comes out with the line ends of its canonical form.
        assert now == (was.replace(b"\n", b"\r\n") if kind == "application/octet-stream" else was)
    assert b"plain ASCII stays  \n--b;1\n" in made


def test_labels_say_what_is_true() -> None:
    found = email.message_from_bytes(seven_bit(MULTIPART.encode()))
    labels = [str(part["Content-Transfer-Encoding"]) for part in found.walk()]
    assert labels == ["7bit", "quoted-printable", "None", "base64", "7bit", "quoted-printable"]


def test_text_of_which_nobody_said_what_it_is() -> None:
    made = seven_bit("Subject: x\n\nGrüße\n".encode())
    assert made == (
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


LONG = b"x" * 900 + b" " + b"y" * 1500 + b" =\n"
LONG_PARTS = (
    b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n"
    b"--b\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n" + "ü".encode() + LONG + b"\n"
    b"--b\nContent-Type: text/plain; charset=utf-8\n\nshort \xfc\n"
    b"--b\nContent-Type: application/json\n\n"
    + LONG
    + b"\n--b\nContent-Transfer-Encoding: quoted-printable\n\n"
    + b"=41" * 600
    + b"\n--b\nContent-Transfer-Encoding: base64\n\n"
    + b"QUJD" * 600
    + b"\n--b--\n"
)


def test_long_lines_are_encoded_and_short_parts_stay() -> None:
    made = converted(LONG_PARTS, ContentLimits(short_lines=True))
    assert max(map(len, made.split(b"\n"))) <= 998
    before, after = leaves(LONG_PARTS), leaves(made)
    assert after[0] == before[0]
    assert after[1] == before[1]
    assert after[2][1] == before[2][1].replace(b"\n", b"\r\n")
    assert after[3:] == before[3:]
    assert b"\nshort \xfc\n" in made


@settings(deadline=None)
@given(st.text("aZ .=\t\nü", max_size=60), st.integers(900, 1100))
def test_a_long_text_reads_as_before(text: str, length: int) -> None:
    content = b"MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n" + (text + "=" * length + text).encode()
    made = converted(content, ContentLimits(short_lines=True))
    assert max(map(len, made.split(b"\n"))) <= 998
    assert leaves(made)[0][1] == leaves(content)[0][1]


HEADER = (
    "From: Jörg Müller <joerg@us.test>\n"
    'To: "Grün, Gerd" <gerd@grün.example>, team: Ann (Ännchen) <ann@x.test>, b@x.test;\n'
    "Subject: Grüße aus Köln, 100 % plain words and\n noch mehr Grüße\n"
    "Received: from a by b with UTF8SMTP id 1\n\tfor <jörg@us.test>; Mon, 1 Jan 2024 00:00:00 +0000\n"
    'Content-Type: text/plain; charset=utf-8; name="Grüße.txt"\n'
    "X-Plain: yes\n"
)


def test_a_utf8_header_reads_as_before() -> None:
    made = ascii_header(HEADER.encode())
    assert made.isascii()
    found = email.message_from_bytes(made + b"\nx\n", policy=email.policy.default)
    assert str(found["Subject"]) == "Grüße aus Köln, 100 % plain words and noch mehr Grüße"
    people = found["To"].addresses
    assert [(each.display_name, each.addr_spec) for each in (*found["From"].addresses, *people)] == [
        ("Jörg Müller", "joerg@us.test"),
        ("Grün, Gerd", "gerd@xn--grn-ioa.example"),
        ("Ann", "ann@x.test"),
        ("", "b@x.test"),
    ]
    assert found.get_filename() == "Grüße.txt"
    assert found["Received"] == "from a by b with UTF8SMTP id 1; Mon, 1 Jan 2024 00:00:00 +0000"
    assert b"X-Plain: yes\n" in made


def test_an_address_right_behind_the_colon_is_converted() -> None:
    assert ascii_header("From:gerd@grün.example\n".encode()) == b"From:gerd@xn--grn-ioa.example\n"


@pytest.mark.parametrize(
    "header",
    [
        "From: jörg@us.test\n".encode(),
        b"Subject: Gr\xfc\xdfe\n",
        "From: Jörg <joerg@us.test> <x>\n".encode(),
        "no field, but ü\n".encode(),
    ],
)
def test_a_header_without_a_form_in_ascii_says_why(header: bytes) -> None:
    with pytest.raises(CannotDowngrade, match=r"\w+ \w+"):
        ascii_header(header)


@given(st.binary(max_size=300))
def test_any_header_is_ascii_or_cannot_be(header: bytes) -> None:
    with suppress(CannotDowngrade):
        assert ascii_header(b"Subject: " + header.replace(b"\n\n", b"\n ")).isascii()


def test_ascii_stays_whatever_it_is() -> None:
    content = b"Content-Type: multipart/signed; boundary=b\n\n--b\n\nx\n--b\n\ny\n--b--\n"
    assert seven_bit(content) is content


@given(st.text("aZ .=\t\nüß€-", max_size=400))
def test_any_text_reads_as_before(text: str) -> None:
    content = ("MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n" + text).encode()
    made = seven_bit(content)
    assert made.isascii()
    assert leaves(made)[0][1].decode() == text
    assert max(map(len, made.split(b"\n"))) <= 998 or not any(ord(char) > 127 for char in text)


@given(st.binary(max_size=500))
def test_junk_raises_nothing_else(junk: bytes) -> None:
    with suppress(CannotDowngrade):
        assert seven_bit(junk).isascii()


def test_a_long_message_is_still_readable_by_the_library() -> None:
    found = email.message_from_bytes(seven_bit(MULTIPART.encode()), policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    assert not [defect for part in found.walk() for defect in part.defects]
