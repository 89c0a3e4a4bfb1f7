"""Metrics and the check for monitoring: the figures of all processes, and nothing for those who send no HTTP."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from smtpd_classic.runtime import COUNTED
from smtpd_classic.runtime.measures import REASONS
from smtpd_classic.smtp import replies
from spool import Envelope, Recipient, Spool, new_queue_id
from tests.instance import free_port
from tests.load import Load
from tests.server.daemons import USER, Daemon, daemon
from tests.waiting import until


@pytest.fixture(scope="module", params=["workers = 1", "workers = 2"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[Daemon, int]]:
    port = free_port()
    gone = "[milter gone]\naddress = unix:/nowhere\nwhen_down = accept\nfor = both\n"
    with daemon(f"{request.param}\nmetrics = 127.0.0.1:{port}", gone) as found:
        found.start()
        yield found, port


def figures(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return str(answer.read(), "utf-8")


def value(text: str, name: str) -> float:
    match = re.search(rf"(?m)^{re.escape(name)} (\S+)$", text)
    assert match is not None, f"{name} is not in {text}"
    return float(match[1])


def test_the_figures_of_all_processes_are_served(server: tuple[Daemon, int]) -> None:
    found, port = server
    load = Load(found.port, USER, 4)
    load.start()
    until(lambda: len(load.acknowledged) > 20, 30)
    load.stop()
    with found.dial() as dialog:
        dialog.reply()
        assert dialog.ask("HELO x").startswith("250")
        assert dialog.ask("MAIL FROM:<a@b.example>").startswith("250")
        assert dialog.ask("RCPT TO:<stranger@test.example>").startswith("550 5.1.1")
    sent = len(load.acknowledged)
    text = until(lambda: value(figures(port), "smtpd_rejected_total") >= 1 and figures(port), 20)
    assert text
    assert value(text, "smtpd_received_total") >= sent
    assert value(text, "smtpd_delivery_seconds_count") >= sent
    assert value(text, 'smtpd_delivery_seconds_bucket{le="+Inf"}') >= sent
    assert value(text, 'smtpd_refusals_total{status="5.1.1"}') == 1
    assert value(text, "smtpd_syncs_total") >= sent
    assert value(text, "smtpd_sync_seconds_total") > 0
    assert value(text, "smtpd_up") == 1
    assert value(text, 'smtpd_milter_messages_total{milter="gone",result="down"}') >= sent
    assert value(text, 'smtpd_milter_messages_total{milter="gone",result="refused"}') == 0
    assert all(value(text, f"smtpd_{name}_total") >= 0 for name in COUNTED)
    assert value(text, 'smtpd_queue_messages{state="held"}') == 0


def test_a_reload_keeps_the_port(server: tuple[Daemon, int]) -> None:
    found, port = server
    for _ in range(3):
        found.reload()
        assert value(figures(port), "smtpd_up") == 1


def test_noise_gets_nothing_and_harms_nothing(server: tuple[Daemon, int]) -> None:
    _, port = server
    for noise in (b"", b"EHLO x\r\n", b"\x00" * 5000, b"GET " + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n"):
        # It closes the connection when a line is too long, whether all has been read or not.
        with socket.create_connection(("127.0.0.1", port), 10) as client, contextlib.suppress(OSError):
            client.sendall(noise)
            client.shutdown(socket.SHUT_WR)
            client.recv(1000)
    assert value(figures(port), "smtpd_up") == 1
    assert "Traceback" not in server[0].said() + server[0].log()


@pytest.mark.peers
def test_promtool_finds_nothing_wrong(server: tuple[Daemon, int]) -> None:
    promtool = shutil.which("promtool")
    assert promtool, "promtool is missing; tests/install-tools installs it (package prometheus)"
    done = subprocess.run([promtool, "check", "metrics"], input=figures(server[1]), capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_each_refusal_of_ours_has_its_reason() -> None:
    """By the enhanced status codes in the replies of the server; those of milters and other hosts are “other”."""
    text = Path(replies.__file__).with_name("replies.py").read_text(encoding="utf-8")
    codes = set(re.findall(r'Reply\(\s*[45]\d\d,\s*"([45]\.\d+\.\d+)"', text))
    assert len(codes) > 30
    assert codes - set(REASONS) == set()


def test_the_check_for_monitoring_has_one_line_and_three_levels() -> None:
    with daemon("workers = 1") as found:
        down = found.command("status", "--check")
        assert (down.returncode, down.stdout.splitlines()[0].split(":")[0]) == (2, "CRITICAL")
        found.start()
        good = found.command("status", "--check")
        assert (good.returncode, good.stdout) == (0, "OK: 0 messages queued | queue=0 oldest=0s\n")
        empty = found.command("status", "--check", "--warn-age", "0")
        assert (empty.returncode, empty.stdout) == (good.returncode, good.stdout)
        spool = Spool(str(found.folder / "spool"))
        with spool.draft(new_queue_id(1_700_000_000.0)) as draft:
            draft.write(b"Subject: old\n\n")
            draft.commit(Envelope("a@b.example", (Recipient("c@d.example"),)), 1_700_000_000.0)
        found.give()
        old = found.command("status", "--check", "--critical-age", "30000h")
        assert (old.returncode, old.stdout.partition(":")[0]) == (1, "WARNING")
        older = found.command("status", "--check", "--critical-age", "2d")
        assert (older.returncode, len(older.stdout.splitlines())) == (2, 1)
        found.file.write_text("[nonsense]\n")
        broken = found.command("status", "--check")
        assert (broken.returncode, len(broken.stdout.splitlines())) == (2, 1)
        found.signal(signal.SIGTERM)
        assert found.wait() == os.EX_OK


def test_metrics_that_cannot_listen_do_not_stop_the_mail() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with daemon(f"workers = 1\nmetrics = 127.0.0.1:{port}") as found:
            found.start()
            with found.dial() as dialog:
                assert dialog.reply().startswith("220")
            assert f"no metrics at 127.0.0.1:{port}" in found.log()


def test_the_dashboard_asks_only_for_figures_that_there_are(server: tuple[Daemon, int]) -> None:
    dashboard = Path(__file__).parent.parent.parent / "conf/examples/grafana-dashboard.json"
    asked = set(re.findall(r"smtpd_\w+", dashboard.read_text()))
    families = {each.name for each in text_string_to_metric_families(figures(server[1]))}
    known = {name + end for name in families for end in ("", "_total", "_bucket")}
    assert asked
    assert asked <= known
