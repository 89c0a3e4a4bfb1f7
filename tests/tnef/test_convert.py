"""winmail.dat: the samples of tnefparse against a second decoder, hostile files, and mail that must stay as it came."""

import base64
import email
import struct
import subprocess
import time
from email.message import Message
from pathlib import Path

import pytest

from smtpd_classic.tnef import convert, suspect
from smtpd_classic.tnef.decode import decode
from smtpd_classic.tnef.rtf import read_rtf
from tests.tools import TOOLS, need

SAMPLES = TOOLS / "tnefparse" / "tests" / "examples"
# What has neither a body nor attachments; what asks for something must not be promised.
EMPTY = {"garbage-at-end", "multi-name-property"}


def samples() -> list[str]:
    return sorted(path.stem for path in SAMPLES.glob("*.tnef")) or ["missing: run “make tools”"]


def message(tnef: bytes, *, text: str = "", encoding: str = "base64") -> bytes:
    """A message as Outlook sends it, LF line ends: alone, or with a text beside the file."""
    encoded = base64.encodebytes(tnef)
    head = (
        b'Content-Type: application/ms-tnef; name="winmail.dat"\nContent-Transfer-Encoding: %s\n\n' % encoding.encode()
    )
    trace = b"Received: from a by b; Thu, 1 Jan 2026 00:00:00 +0000\nFrom:  Joe <joe@example.org>\nSubject: =?x?=\n"
    if not text:
        return trace + b"MIME-Version: 1.0\n" + head + encoded
    mixed = b'MIME-Version: 1.0\nContent-Type: multipart/mixed;\n\tboundary="b 1"\n\npreamble\n--b 1\n'
    first = b"Content-Type: text/plain\n\n" + text.encode() + b"\n--b 1\n"
    return trace + mixed + first + head + encoded + b"--b 1--\nepilogue\n"


def leaves(content: bytes) -> list[Message]:
    return [part for part in email.message_from_bytes(content).walk() if not part.is_multipart()]


def attachments(content: bytes) -> dict[str, bytes]:
    found = {}
    for part in leaves(content):
        name = part.get_filename()
        if name and name not in {"message.rtf", "winmail.dat"}:
            payload = part.get_payload(decode=True)
            assert isinstance(payload, bytes)
            found[name] = payload
    return found


def second_opinion(path: Path, folder: Path) -> dict[str, bytes] | None:
    """What Debian's tnef finds, or None when it gives the file up."""
    ran = subprocess.run([need("tnef"), "-C", folder, "--number-backups", path], capture_output=True, check=False)
    if ran.returncode != 0:
        return None
    return {
        file.name.encode("latin-1", "surrogateescape").decode("cp1252"): file.read_bytes() for file in folder.iterdir()
    }


@pytest.mark.parametrize("name", samples())
def test_sample_keeps_every_name_and_byte_that_a_second_decoder_finds(name: str, tmp_path: Path) -> None:
    path = SAMPLES / f"{name}.tnef"
    said: list[str] = []
    made = convert(message(path.read_bytes()), said.append)
    if name in EMPTY:
        assert made is None
        assert said
        return
    assert made is not None, said
    found = attachments(made)
    for other, data in (second_opinion(path, tmp_path) or {}).items():
        mine = found[other]
        assert mine == data or mine == data[16:], other  # it leaves an object's interface identifier in front
    assert b"From:  Joe <joe@example.org>\nSubject: =?x?=\nMIME-Version: 1.0\n" in made


def test_html_inside_rtf_is_recovered_with_its_umlauts() -> None:
    made = convert(message((SAMPLES / "umlaut.tnef").read_bytes()), pytest.fail)
    assert made is not None
    texts = {part.get_content_type(): part.get_payload(decode=True) for part in leaves(made) if not part.get_filename()}
    html, plain = texts["text/html"], texts["text/plain"]
    assert isinstance(html, bytes)
    assert isinstance(plain, bytes)
    assert "äöü" in plain.decode()
    assert html.decode().lstrip().startswith("<html")
    assert "\\par" not in html.decode()
    assert "UmlautAnhang-äüö.txt" in attachments(made)


def test_only_the_part_is_replaced_and_its_text_is_not_doubled() -> None:
    before = message((SAMPLES / "two-files.tnef").read_bytes(), text="Hello.")
    made = convert(before, pytest.fail)
    assert made is not None
    start = before.index(b"Content-Type: application/ms-tnef")
    end = before.index(b"\n--b 1--")
    assert made.startswith(before[:start])
    assert made.endswith(before[end:])
    assert [part.get_content_type() for part in leaves(made)].count("text/plain") == 1
    assert set(attachments(made)) == {"AUTHORS", "README"}


@pytest.mark.parametrize(
    "top",
    [
        b'multipart/signed; micalg=sha-256; protocol="application/pkcs7-signature"; boundary=s',
        b"multipart/encrypted; boundary=s",
        b"application/pkcs7-mime; smime-type=signed-data",
    ],
)
def test_signed_and_encrypted_mail_stays_as_it_came(top: bytes) -> None:
    inner = message((SAMPLES / "one-file.tnef").read_bytes())
    whole = (
        b"From: a@example.org\nContent-Type: "
        + top
        + b"\n\n--s\n"
        + inner.split(b"MIME-Version: 1.0\n")[1]
        + b"\n--s--\n"
    )
    assert convert(whole, pytest.fail) is None


@pytest.mark.parametrize("field", [b"DKIM-Signature: v=1;\n d=example.org\n", b"dkim-signature : v=1\n"])
def test_mail_with_a_dkim_signature_stays_as_it_came(field: bytes) -> None:
    assert convert(field + message((SAMPLES / "one-file.tnef").read_bytes()), pytest.fail) is None


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (b"Content-Transfer-Encoding: base64\n\neJ8+I\n", "base64 is broken"),
        (b"Content-Transfer-Encoding: base64\n\nQUJDREVGR0g=\n", "does not begin as TNEF does"),
        (b"Content-Transfer-Encoding: 8bit\n\nx\x9f>\x22\n", "transfer encoding is 8bit"),
        (b"\nx\n", "transfer encoding is 7bit"),
    ],
)
def test_tnef_that_cannot_be_read_out_of_its_part_is_told(part: bytes, words: str) -> None:
    said: list[str] = []
    assert convert(b'Content-Type: application/ms-tnef; name="winmail.dat"\n' + part, said.append) is None
    assert len(said) == 1
    assert words in said[0]


def rtf_attached(text: str) -> bool:
    made = convert(message((SAMPLES / "rtf.tnef").read_bytes(), text=text), pytest.fail)
    assert made is not None
    return any(part.get_filename() == "message.rtf" for part in leaves(made))


def test_an_rtf_body_is_kept_when_it_says_something_else_than_the_text() -> None:
    decoded = decode((SAMPLES / "rtf.tnef").read_bytes())
    assert decoded.rtf_text.strip()
    assert not rtf_attached(decoded.rtf_text)
    assert not rtf_attached("  ".join(decoded.rtf_text.upper().split()))
    assert rtf_attached("An older text, from another mail.")


@pytest.mark.parametrize(
    "silent",
    [
        rb"{\fonttbl{\f0\fswiss{\*\panose 020b}Arial;}{\f1 {\b Deep} Times;}}",
        rb"{\*\unknown {\b {Deep} er} still}",
        rb"{\info {\author {\b Deep}}{\title {{Deep}}}}",
        rb"{\pict {\b {\i Deep}} 0102}",
    ],
)
def test_nested_groups_of_a_silent_destination_stay_silent(silent: bytes) -> None:
    found = read_rtf(rb"{\rtf1\ansi " + silent + rb"{\b loud {\i and} clear}}")
    assert found.text.strip() == "loud and clear"


def test_mail_without_tnef_starts_no_decoder() -> None:
    assert convert(b"From: a@example.org\n\nwinmail.dat is what Outlook sends\n", pytest.fail) is None
    assert not suspect(b"Subject: hello\n\nworld\n")
    assert suspect(b'name="WinMail.DAT"')


def memory_bomb() -> bytes:
    """48 bytes that ask for 2^32 values of two bytes."""
    properties = struct.pack("<IHHI", 1, 0x1002, 0x0001, 0xFFFFFFFF)
    attribute = struct.pack("<BII", 1, 0x00069003, len(properties) + 12) + properties + bytes(12) + b"\0\0"
    return struct.pack("<IH", 0x223E9F78, 1) + attribute


def endless_properties() -> bytes:
    """2^32 properties of which none is there; the loop goes round for each."""
    attribute = struct.pack("<BIII", 1, 0x00069003, 4, 0xFFFFFFFF) + b"\0\0"
    return struct.pack("<IH", 0x223E9F78, 1) + attribute + bytes(12)


def nested(depth: int) -> bytes:
    inner = struct.pack("<IH", 0x223E9F78, 1)
    signature = bytes.fromhex("0703020000000000c000000000000046")
    for _ in range(depth):
        value = signature + inner
        value += b"\0" * (-len(value) % 4)
        block = struct.pack("<IHHII", 1, 0x000D, 0x3701, 1, len(value)) + value
        rend = struct.pack("<BII", 2, 0x00069002, 14) + bytes(14) + b"\0\0"
        attach = struct.pack("<BII", 2, 0x00069005, len(block)) + block + b"\0\0"
        inner = struct.pack("<IH", 0x223E9F78, 1) + rend + attach
    return inner


HOSTILE = {
    "a memory bomb of a few bytes": memory_bomb(),
    "four thousand million properties": endless_properties(),
    "only the signature": struct.pack("<IH", 0x223E9F78, 1),
    "attachment data before any attachment": struct.pack("<IH", 0x223E9F78, 1)
    + struct.pack("<BII", 2, 0x0006800F, 4)
    + b"data\0\0" * 3,
    "text without a code page": struct.pack("<IH", 0x223E9F78, 1)
    + struct.pack("<BII", 1, 0x00078004, 4)
    + b"abc\0\0\0" * 3,
    "an unknown code page": struct.pack("<IH", 0x223E9F78, 1)
    + struct.pack("<BIII", 1, 0x00069007, 4, 99999)
    + b"\0\0"
    + struct.pack("<BII", 1, 0x00078004, 4)
    + b"abc\0\0\0" * 3,
    "nested six hundred deep": nested(600),
    "a megabyte of noise": struct.pack("<IH", 0x223E9F78, 1) + bytes(range(256)) * 4096,
}
ENDLESS = memory_bomb(), endless_properties()  # these take all the time that they are given


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_file_is_delivered_untouched_within_its_bounds(data: bytes) -> None:
    said: list[str] = []
    started = time.monotonic()
    made = convert(message(data), said.append, timeout_s=1 if data in ENDLESS else 5)
    assert made is None or b"From:  Joe" in made
    assert made is not None or said
    assert time.monotonic() - started < (6 if data in ENDLESS else 10)
    assert all("Traceback" not in each for each in said)


def test_decoder_that_takes_too_long_is_ended() -> None:
    said: list[str] = []
    assert convert(message(endless_properties()), said.append, timeout_s=0.3) is None
    assert "longer than 0.3 seconds" in said[0]


def test_truncated_samples_never_lose_the_mail() -> None:
    whole = (SAMPLES / "umlaut.tnef").read_bytes()
    for cut in (7, 40, 1000, len(whole) // 2, len(whole) - 3):
        before = message(whole[:cut])
        made = convert(before, lambda _said: None)
        assert made is None or made.startswith(before[: before.index(b"Content-Type")])


def test_file_name_cannot_leave_its_folder_or_forge_a_header() -> None:
    data = (SAMPLES / "one-file.tnef").read_bytes().replace(b"AUTHORS\0", b"../a\r\nX\0"[:8])
    made = convert(message(data), lambda _said: None)
    assert made is not None
    names = [part.get_filename() for part in leaves(made) if part.get_filename()]
    assert all("/" not in str(name) and "\n" not in str(name) for name in names)
    assert b"\nX" not in made.split(b"\n\n")[0]
