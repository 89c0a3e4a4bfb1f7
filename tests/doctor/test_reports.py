"""Reports that have arrived: added up by source, shown by the command, and weighed by the doctor."""

import gzip
import json
import smtplib
import time

from smtpd_classic.config import load
from smtpd_classic.doctor.reports import received_reports
from tests.instance import Instance, running
from tests.mailauth.test_aggregate_report import document, message

NOW = int(time.time())
DAY = 86_400


def about(instance: Instance, text: str) -> bytes:
    return gzip.compress(text.replace("Example.org", instance.domain).encode())


def send(instance: Instance, to: str, payload: bytes) -> None:
    with smtplib.SMTP("127.0.0.1", instance.ports["smtp"], timeout=20) as client:
        client.sendmail("reports@big.example", [to], message(payload))


def test_reports_that_arrive_are_added_up() -> None:
    with running() as instance:
        first = document(("192.0.2.1", 90, "pass", "pass"), ("198.51.100.2", 8, "fail", "fail"), begin=NOW - 20 * DAY)
        second = document(("192.0.2.1", 2, "fail", "pass"), begin=NOW - 2 * DAY, name="Small")
        foreign = document(("192.0.2.1", 2000, "pass", "pass")).replace("Example.org", "other.example")
        send(instance, "dmarc-reports@example.test", about(instance, first))
        send(instance, "postmaster@example.test", about(instance, first))  # the same once more
        send(instance, "postmaster@example.test", about(instance, second))
        send(instance, "postmaster@example.test", gzip.compress(foreign.encode()))
        instance.wait_for_mail(3)
        found = json.loads(instance.run("dmarc", "example.test", "--json").stdout)
        assert (found["reports"], found["messages"], found["passed"]) == (2, 100, 92)
        assert found["organizations"] == ["Big", "Small"]
        assert found["sources"]["192.0.2.1"] == {"messages": 92, "passed": 92, "dkim": 90, "spf": 92}
        said = instance.run("dmarc", "example.test").stdout
        assert "92 of 100 messages passed DMARC." in said
        assert instance.run("dmarc", "example.test", "--days", "0").returncode != 0
        assert instance.run("dmarc", "other.example").returncode != 0
        config = load(str(instance.file))
        assert received_reports(config, "example.test", NOW + 40 * DAY).reports == 0
        assert instance.run("user", "add", "dmarc", "--password-stdin", input="secret word").returncode == 0
        instance.set("signing", "dmarc_reports_to", "dmarc@example.test")
        assert "No reports" in instance.run("dmarc", "example.test").stdout
