"""Mail of a stranger in our own name: only a look-up that could have confirmed it leaves the question open."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from smtpd_classic.dns import DnsFailure, FixedResolver
from smtpd_classic.message.headers import HeaderBlock
from smtpd_classic.policy import Client, ClientContext, Transaction
from smtpd_classic.policy.content import Disposition
from smtpd_classic.policy.mail_authentication import MailAuthentication
from tests.mailauth.messages import BODY, signed
from tests.reception.world import world

SILENCE = DnsFailure("silence")
OURS = [b"v=spf1 -all"]
AUTHOR = b"From: boss@example.org\n"
SIGNATURE = signed().partition(b"From: Ann")[0]  # of example.org, with the selector sel
OF_ANOTHER = SIGNATURE.replace(b"d=example.org", b"d=broken.example")


def junk(folder: Path, sender: str, header: bytes, txt: Mapping[str, Sequence[bytes] | Exception]) -> str:
    """Return the reason for which the message goes to the junk folder, blank for none."""
    resolver = FixedResolver(txt=txt)
    here = world(folder, resolver=resolver)
    rules = here.policy().rules
    peer = ClientContext(Client("203.0.113.5", 4711, "mx.example", here.listener("smtp")), rules)
    check = MailAuthentication(Transaction(peer, rules, sender))
    block = HeaderBlock(header)
    check.header(block)
    check.body(BODY)
    disposition = Disposition(block, 100, lambda: iter([BODY]))
    check.end(disposition)
    return disposition.junk


@pytest.mark.parametrize(
    ("sender", "header", "txt"),
    [
        ("x@broken.example", AUTHOR, {"broken.example": SILENCE}),
        ("x@sound.example", OF_ANOTHER + AUTHOR, {"sel._domainkey.broken.example": SILENCE}),
        ("x@notexample.org", AUTHOR, {"notexample.org": SILENCE}),
    ],
)
def test_a_failed_look_up_of_another_domain_is_no_excuse(
    tmp_path: Path, sender: str, header: bytes, txt: dict[str, Sequence[bytes] | Exception]
) -> None:
    assert junk(tmp_path, sender, header, {"example.org": OURS} | txt) == "own domain without a login"


@pytest.mark.parametrize(
    ("sender", "txt"),
    [
        ("boss@example.org", {"example.org": SILENCE}),
        ("boss@sub.example.org", {"sub.example.org": SILENCE}),
        ("x@sound.example", {"_dmarc.example.org": SILENCE}),
    ],
)
def test_while_our_own_records_cannot_be_looked_up_nothing_is_junk(
    tmp_path: Path, sender: str, txt: dict[str, Sequence[bytes] | Exception]
) -> None:
    assert junk(tmp_path, sender, AUTHOR, {"example.org": OURS} | txt) == ""
