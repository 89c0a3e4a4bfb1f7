"""The example of a Dovecot with its accounts in an LDAP directory: OpenLDAP, which is killed and comes back."""

import smtplib
import time
from collections.abc import Iterator

import pytest

from tests.conf.example_dovecot import ACCOUNTS, PASSWORD, VERSIONS, Pair, example_of, pair_with
from tests.instance import Instance
from tests.slapd import Directory, slapd
from tests.waiting import until

pytestmark = pytest.mark.peers
JOE, ANN = "joe@example.org", "ann@example.org"
BACK_S = 5.0
ENTRIES = (
    "dn: dc=example,dc=org\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n\n"
    + "".join(
        f"dn: uid={name},dc=example,dc=org\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\n"
        f"mail: {name}@example.org\nuserPassword: {PASSWORD}\n\n"
        for name in ("joe", "ann", "fresh1", "fresh2")
    )
)


@pytest.fixture(scope="module")
def directory() -> Iterator[Directory]:
    with slapd(ENTRIES) as made:
        yield made


def files_of(version: str) -> dict[str, str]:
    """The files that the first lines of the example name."""
    accounts, ldap = (
        example_of(version, ".conf"),
        example_of(version, f"-ldap.conf{'.ext' if version == '2.3' else ''}"),
    )
    if version == "2.3":
        accounts = accounts.replace("driver = sql", "driver = ldap").replace("-sql.conf.ext", "-ldap.conf.ext")
        return {ACCOUNTS: accounts, "dovecot-ldap.conf.ext": ldap}
    before, _, tables = accounts.partition("sql_driver")
    after = "# One system user" + tables.partition("# One system user")[2]
    return {ACCOUNTS: f"{before}{ldap}\n{after}"}


@pytest.fixture(scope="module", params=VERSIONS)
def pair(request: pytest.FixtureRequest, directory: Directory) -> Iterator[Pair]:
    places = {"ldap://10.0.0.40": f"ldap://127.0.0.1:{directory.port}", "CHANGE-ME": "secret"}
    with pair_with(request.param, files_of(request.param), places) as made:
        yield made


def rcpt(instance: Instance, address: str) -> int:
    with smtplib.SMTP("127.0.0.1", instance.ports["smtp"], timeout=30) as client:
        client.ehlo()
        client.mail("eve@away.example")
        return client.rcpt(address)[0]


def login(instance: Instance, user: str, password: str = PASSWORD) -> int:
    with smtplib.SMTP("127.0.0.1", instance.ports["submission"], timeout=60) as client:
        client.starttls(context=instance.tls())
        try:
            return client.login(user, password)[0]
        except smtplib.SMTPAuthenticationError as refused:
            return refused.smtp_code


def test_a_user_of_the_directory_logs_in_and_gets_mail(pair: Pair) -> None:
    dovecot, instance = pair
    assert (login(instance, JOE), login(instance, JOE, "wrong")) == (235, 535)
    assert (rcpt(instance, ANN), rcpt(instance, "unknown@example.org")) == (250, 550)
    with smtplib.SMTP("127.0.0.1", instance.ports["smtp"]) as client:
        client.sendmail("eve@away.example", [ANN], "Subject: hello\r\n\r\ntext\r\n")
    new = dovecot.base / "mail" / "example.org" / "ann" / "mail" / "new"
    until(lambda: new.is_dir() and list(new.iterdir()), 30, lambda: dovecot.log() + instance.log())
    assert dovecot.doveadm("user", "*").stdout.split()[:2] == [JOE, ANN]


def test_while_the_directory_is_dead_clients_come_back(pair: Pair, directory: Directory) -> None:
    """451 and 454, never “unknown” or “wrong”; when it is back, so are its users, within seconds."""
    _, instance = pair
    directory.kill()
    try:
        assert rcpt(instance, "fresh1@example.org") == 451
        assert rcpt(instance, "nobody@example.org") == 451
        assert login(instance, ANN) == 454
    finally:
        directory.start()
    began = time.monotonic()
    until(lambda: rcpt(instance, "fresh2@example.org") == 250, 30, instance.log)
    until(lambda: login(instance, ANN) == 235, 30, instance.log)
    took_s = time.monotonic() - began
    print(f"back after {took_s:.1f} s")
    assert took_s < BACK_S + 2.0  # a busy machine
    assert rcpt(instance, "nobody@example.org") == 550
    assert "status=bounced" not in instance.log()
