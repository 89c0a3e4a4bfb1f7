"""The domain of a sender: an address in hand is enough, even if the name server denies all else."""

from pathlib import Path

import pytest

from smtpd_classic.dns import DnsFailure, FixedResolver, MxRecord, NoSuchDomain
from smtpd_classic.policy import Client, ClientContext, Transaction
from smtpd_classic.smtp.events import RcptTo
from tests.reception.world import CONFIG, world

HOSTS = {"four.example": ["192.0.2.1"], "six.example": ["2001:db8::1"]}


class OneKindAlone(FixedResolver):
    """A name server that knows the addresses of one version, and answers to all other questions with `other`."""

    def __init__(self, other: Exception) -> None:
        super().__init__(addresses=HOSTS)
        self._other = other

    def address_records(self, host: str, version: int, *, timeout_s: float = 10.0) -> tuple[str, ...]:
        found = super().address_records(host, version, timeout_s=timeout_s)
        if not found:
            raise self._other
        return found

    def mx_records(self, domain: str, *, timeout_s: float = 10.0) -> tuple[MxRecord, ...]:
        raise self._other


@pytest.mark.parametrize("other", [NoSuchDomain("denied"), DnsFailure("SERVFAIL")])
@pytest.mark.parametrize("host", HOSTS)
def test_a_domain_with_an_address_in_hand_can_get_mail(tmp_path: Path, host: str, other: Exception) -> None:
    assert _reply(tmp_path, host, OneKindAlone(other)) == "None"


def test_a_domain_without_any_record_cannot_get_mail(tmp_path: Path) -> None:
    assert _reply(tmp_path, "none.example", OneKindAlone(NoSuchDomain("denied"))).startswith("450 4.1.8")


def _reply(folder: Path, domain: str, resolver: FixedResolver) -> str:
    here = world(folder, config=CONFIG.replace("sender_domain = no", "sender_domain = defer"), resolver=resolver)
    rules = here.policy().rules
    peer = ClientContext(Client("203.0.113.5", 4711, "mx.example", here.listener("smtp")), rules)
    return str(here.policy().first_objection(Transaction(peer, rules, f"x@{domain}"), RcptTo("joe@example.org")))
