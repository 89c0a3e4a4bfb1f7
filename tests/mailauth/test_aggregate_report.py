"""Aggregate reports of other servers: every way to pack them, and documents made to cost memory."""

import gzip
import io
import time
import zipfile
from collections.abc import Callable
from email.message import EmailMessage

import pytest

from smtpd_classic.mailauth.aggregate_report import BadReport, ReportRow, parse_report, reports_in

ROW = (
    "<record><row><source_ip>{source}</source_ip><count>{count}</count><policy_evaluated>"
    "<disposition>none</disposition><dkim>{dkim}</dkim><spf>{spf}</spf></policy_evaluated></row>"
    "<identifiers><header_from>example.org</header_from></identifiers>"
    "<auth_results><spf><domain>x.example</domain><result>pass</result></spf></auth_results></record>"
)


def document(*rows: tuple[str, int, str, str], begin: int = 1_700_000_000, days: int = 1, name: str = "Big") -> str:
    """A report about example.org; each row is a source, a number, and the results of DKIM and SPF."""
    filled = "".join(ROW.format(source=source, count=count, dkim=dkim, spf=spf) for source, count, dkim, spf in rows)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<feedback><report_metadata><org_name>{name}</org_name>'
        f"<date_range><begin>{begin}</begin><end>{begin + days * 86_400}</end></date_range></report_metadata>"
        f"<policy_published><domain>Example.org</domain><p>none</p></policy_published>{filled}</feedback>"
    )


def zipped(text: str | bytes, level: int = 6, before: tuple[str, ...] = ()) -> bytes:
    octets = io.BytesIO()
    with zipfile.ZipFile(octets, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in before:
            archive.writestr(name, "")
        archive.writestr("report.xml", text, compresslevel=level)
    return octets.getvalue()


def message(payload: bytes, kind: str = "gzip") -> bytes:
    """A message as reporters send it."""
    made = EmailMessage()
    made["From"], made["Subject"] = "reports@big.example", "Report Domain: example.org Submitter: big.example"
    made.set_content("This is a report.\n")
    made.add_attachment(payload, maintype="application", subtype=kind, filename="report.xml.gz")
    return made.as_bytes()


ONE = document(("192.0.2.1", 7, "pass", "fail"), ("198.51.100.2", 1, "fail", "fail"))


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (gzip.compress(ONE.encode()), "gzip"),
        (zipped(ONE), "zip"),
        (ONE.encode(), "xml"),
        (zipped(ONE), "octet-stream"),
        (zipped(ONE, before=("reports/", "readme.txt")), "zip"),
    ],
    ids=["gzip", "zip", "xml", "zip without its type", "zip with other entries"],
)
def test_a_report_is_read_however_it_is_packed(payload: bytes, kind: str) -> None:
    (found,) = reports_in(message(payload, kind))
    assert (found.organization, found.domain, found.end - found.begin) == ("Big", "example.org", 86_400)
    assert found.rows == (ReportRow("192.0.2.1", 7, True, False), ReportRow("198.51.100.2", 1, False, False))


def test_a_report_with_a_namespace_is_read() -> None:
    text = ONE.replace("<feedback>", '<ns:feedback xmlns:ns="urn:ietf:params:xml:ns:dmarc-2.0">')
    assert parse_report(text.replace("</feedback>", "</ns:feedback>").encode()).domain == "example.org"


BOMB = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><feedback>&b;</feedback>'


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        '<!DOCTYPE feedback SYSTEM "file:///etc/passwd"><feedback/>',
        "<feedback>",
        "<feedback/>",
        "<a>" * 100,
        ONE.replace(">7<", ">-7<"),
        ONE.replace(">7<", ">7777777777777777<"),
        "",
    ],
)
def test_a_document_that_is_no_report_says_so(text: str) -> None:
    with pytest.raises(BadReport):
        parse_report(text.encode())


@pytest.mark.parametrize("pack", [gzip.compress, zipped], ids=["gzip", "zip"])
def test_a_packed_bomb_costs_little(pack: Callable[[bytes, int], bytes]) -> None:
    before, record, after = ONE.encode().partition(b"<record>")
    packed = pack(b"".join((before, b"<!--", b" " * 300_000_000, b"-->", record, after)), 1)
    started = time.process_time()
    assert list(reports_in(message(packed))) == []
    assert time.process_time() - started < 1.0


def test_many_packed_bombs_cost_no_more_than_one() -> None:
    bomb = gzip.compress(b"<?xml version='1.0'?><a>" + b" " * 20_000_000, 9)
    made = EmailMessage()
    made.set_content("This is a report.\n")
    for _ in range(20):
        made.add_attachment(bomb, maintype="application", subtype="gzip", filename="report.xml.gz")
    started = time.process_time()
    assert list(reports_in(made.as_bytes())) == []
    assert time.process_time() - started < 1.0


@pytest.mark.parametrize(
    "other",
    [
        b'<?xml version="1.0"?><!DOCTYPE html PUBLIC "a" "b"><html/>',
        b'<?xml version="1.0"?><other/>',
        gzip.compress(b"notes"),
    ],
    ids=["HTML", "XML", "gzip"],
)
def test_a_part_that_is_no_report_hides_no_report_behind_it(other: bytes) -> None:
    made = EmailMessage()
    made.set_content("This is a report.\n")
    for payload in (other, gzip.compress(ONE.encode())):
        made.add_attachment(payload, maintype="application", subtype="gzip", filename="report.xml.gz")
    assert [each.domain for each in reports_in(made.as_bytes())] == ["example.org"]


@pytest.mark.parametrize("payload", [b"", b"\x1f\x8bnonsense", b"PK\x03\x04nonsense", b"%PDF-1.4", b"<?xml"])
def test_other_attachments_are_left_out(payload: bytes) -> None:
    assert list(reports_in(message(payload))) == []
