"""The time and the number of the questions of one message: a sender's slow name servers hide no policy of others."""

from collections.abc import Sequence

import pytest

from smtpd_classic.dns import DnsFailure, FixedResolver, NoSuchDomain
from smtpd_classic.mailauth.lookup import Lookups
from smtpd_classic.mailauth.message_check import MessageCheck, MessageResults
from smtpd_classic.mailauth.spf import SpfQuery, check_spf
from smtpd_classic.mailauth.words import ResultWord
from smtpd_classic.message.headers import HeaderBlock

IP = "192.0.2.1"
SIGNATURE = (
    "DKIM-Signature: v=1; a=rsa-sha256; d={}; s=s{}; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AA=="
)


class SlowDns(FixedResolver):
    """DNS in which each question about slow.example lasts until the time that is given for it."""

    def __init__(self, txt: dict[str, Sequence[bytes]]) -> None:
        super().__init__(txt=txt)
        self.now = 0.0
        self.asked: list[str] = []

    def txt(self, name: str, *, timeout_s: float = 10.0) -> tuple[bytes, ...]:
        self.asked.append(name)
        if name.endswith("slow.example"):
            self.now += timeout_s
            raise DnsFailure(f"{name}: no answer")
        self.now += 0.1
        return super().txt(name)


def results(dns: SlowDns, author: str, sender: str, signers: Sequence[str] = ()) -> MessageResults:
    lookups = Lookups(dns, clock=lambda: dns.now)
    spf = check_spf(SpfQuery(IP, sender, "client.example"), lookups)
    fields = [f"From: {author}", *(SIGNATURE.format(domain, at) for at, domain in enumerate(signers))]
    check = MessageCheck(HeaderBlock("".join(f"{field}\n" for field in fields).encode()), spf, lookups, 0)
    return check.finish()


REJECT = {"_dmarc.bank.example": (b"v=DMARC1; p=reject",), "bank.example": (b"v=spf1 -all",)}


@pytest.mark.parametrize(
    ("author", "sender", "signers"),
    [
        ("boss@bank.example", "x@slow.example", ()),
        ("boss@bank.example", "", ("a.slow.example", "b.slow.example", "c.slow.example", "bank.example")),
        ("boss@bank.example", "x@slow.example", ("a.slow.example", "news.bank.example")),
        ("boss@mail.bank.example", "x@slow.example", ("a.slow.example", "news.bank.example")),
        # The record of the sender names the policy, so that the answer to it is known to fail.
        ("boss@bank.example", "x@trap.example", ()),
    ],
)
def test_slow_name_servers_of_a_sender_hide_no_policy(author: str, sender: str, signers: Sequence[str]) -> None:
    trap = {"trap.example": (b"v=spf1 include:slow.example include:_dmarc.bank.example -all",)}
    found = results(SlowDns({**REJECT, **trap}), author, sender, signers)
    assert found.spf.word in {ResultWord.TEMPERROR, ResultWord.NONE}
    assert (found.dmarc.word, found.dmarc.asked) == (ResultWord.FAIL, "reject")
    assert not found.unknown


def test_a_slow_author_domain_is_not_known() -> None:
    found = results(SlowDns(dict(REJECT)), "ann@slow.example", "x@bank.example")
    assert found.dmarc.word is ResultWord.TEMPERROR
    assert found.unknown


def test_the_time_is_that_of_the_look_ups_and_not_of_the_client() -> None:
    dns = SlowDns(dict(REJECT))
    lookups = Lookups(dns, deadline_s=1.0, clock=lambda: dns.now)
    lookups.txt("bank.example")
    dns.now += 3600  # a client that sends slowly
    assert lookups.txt("_dmarc.bank.example")
    with pytest.raises(DnsFailure, match="no answer"):
        lookups.txt("slow.example")
    with pytest.raises(DnsFailure, match="too long"):
        lookups.txt("other.example")


def test_a_part_of_the_questions_is_kept_for_the_author_domain() -> None:
    lookups = Lookups(SlowDns(dict(REJECT)), deadline_s=100.0)
    for number in range(60):
        with pytest.raises((NoSuchDomain, DnsFailure)):
            lookups.txt(f"n{number}.example")
    assert lookups.questions == 45
    lookups.keep_for("bank.example")
    assert lookups.txt("_dmarc.bank.example")
