"""Real processes: start, reload, stop, and what is left when one of them is killed."""

import os
import re
import shutil
import signal
import socket
import subprocess
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from smtpd_classic.config.editing import Edited
from smtpd_classic.runtime.status import birth_of
from spool import Spool
from tests.forking import ForkedProgram
from tests.instance import free_port
from tests.load import Load
from tests.server.certificates import make_pair
from tests.server.daemons import USER, Daemon, daemon
from tests.waiting import until

ONE, TWO = "workers = 1", "workers = 2"
both = pytest.mark.parametrize("workers", [ONE, TWO], ids=["in one process", "in several"])


def refuses(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def gone(pid: int) -> bool:
    return birth_of(pid) == 0


@both
def test_it_starts_and_serves(workers: str) -> None:
    with daemon(workers) as found:
        found.start()
        with found.dial() as dialog:
            assert dialog.reply() == "220 test.example ESMTP"
        assert f"smtp on 127.0.0.1:{found.port}" in found.said()
        pid_file = found.folder / "run/smtpd-classic.pid"
        assert found.process is not None
        assert pid_file.read_text() == f"{found.process.pid}\n"


@both
def test_signals_that_mean_nothing_do_nothing(workers: str) -> None:
    with daemon(workers) as found:
        found.start()
        children = found.children()
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            found.signal(number)
            for pid in children.values():
                os.kill(pid, number)
        with found.dial() as dialog:
            assert dialog.reply() == "220 test.example ESMTP"
        assert found.children() == children
        found.signal(signal.SIGTERM)
        assert found.wait() == 0


def test_who_comes_to_a_receiver_that_is_ahead_is_served_all_the_same() -> None:
    with daemon("workers = 2", "[access]\nmax_connections_per_address = 100") as found:
        found.start()
        receivers = [pid for role, pid in found.children().items() if role.startswith("receiver")]
        with ExitStack() as open_connections:
            for _ in range(60):
                dialog = open_connections.enter_context(found.dial())
                assert dialog.reply().startswith("220 ")
            assert sum(sockets(pid) for pid in receivers) > 60


def sockets(pid: int) -> int:
    return sum(os.readlink(each).startswith("socket:") for each in Path(f"/proc/{pid}/fd").iterdir())


@both
def test_sigterm_ends_silent_sessions_with_421_and_frees_the_port(workers: str) -> None:
    with daemon(workers) as found:
        found.start()
        with found.dial() as dialog:
            dialog.reply()
            found.signal(signal.SIGTERM)
            assert dialog.reply().startswith("421 4.3.2")
            assert dialog.ended()
        assert found.wait() == 0
        assert refuses(found.port)
        assert all(gone(pid) for pid in found.children().values())
        status = found.status()
        assert status is not None
        assert status.state == "stopped"


@both
def test_sigterm_lets_a_message_come_to_its_end(workers: str) -> None:
    with daemon(workers) as found:
        found.start()
        with found.dial() as dialog:
            dialog.reply()
            for command in ("EHLO c.example", "MAIL FROM:<a@c.example>", f"RCPT TO:<{USER}>", "DATA"):
                assert dialog.ask(command)[0] in "23"
            found.signal(signal.SIGTERM)
            until(lambda: refuses(found.port))
            dialog.send(b"From: a@c.example\r\nSubject: last\r\n\r\nHello.\r\n.\r\n")
            assert dialog.reply().startswith("250 2.0.0")
            assert dialog.reply().startswith("421 4.3.2")
        assert found.wait() == 0
        assert len(found.mail()) == 1


def test_a_second_sigterm_changes_nothing() -> None:
    with daemon(TWO) as found:
        found.start()
        with found.dial() as dialog:
            dialog.reply()
            found.signal(signal.SIGTERM)
            found.signal(signal.SIGTERM)
            assert dialog.reply().startswith("421 4.3.2")
        assert found.wait() == 0


@both
def test_nothing_acknowledged_is_lost_by_sigterm_under_load(workers: str) -> None:
    with daemon(workers, "[basic]\nmin_free_space = 1M") as found:
        found.start()
        load = Load(found.port, USER, connections=10)
        load.start()
        until(lambda: len(load.acknowledged) > 50, 30)
        found.signal(signal.SIGTERM)
        status = found.wait()
        load.stop()
        assert status == 0
        assert load.acknowledged <= tokens(found.mail())


def tokens(mail: list[Path]) -> set[str]:
    """The local parts of the Message-IDs."""
    return {match[1] for path in mail if (match := re.search(r"(?mi)^Message-ID: <([^@>]+)@", path.read_text()))}


@both
def test_a_reload_serves_new_clients_anew_and_old_ones_as_before(workers: str) -> None:
    with daemon(workers) as found:
        found.start()
        with found.dial() as old:
            assert old.reply() == "220 test.example ESMTP"
            assert old.ask("EHLO c.example").startswith("250-test.example")
            old.ask("MAIL FROM:<a@c.example>")
            found.write(workers, "[basic]\nhelo_name = new.example\n")
            status = found.reload()
            assert (status.error, status.generation) == ("", 1)
            with found.dial() as new:
                assert new.reply() == "220 new.example ESMTP"
            assert old.ask(f"RCPT TO:<{USER}>").startswith("250")
            assert old.ask("DATA").startswith("354")
            old.send(b"From: a@c.example\r\nSubject: x\r\n\r\nHello.\r\n.\r\n")
            assert old.reply().startswith("250")
            assert old.ask("EHLO c.example").startswith("250-test.example")
            # It is silent now, and its process has nothing else to do.
            assert old.reply().startswith("421 4.3.2")
        until(lambda: found.runtime.counters.open_connections() == 0)


@both
def test_a_bad_file_changes_nothing_and_is_told(workers: str) -> None:
    with daemon(workers) as found:
        found.start()
        before, children = found.status(), found.children()
        assert before is not None
        with found.dial() as dialog:
            dialog.reply()
            found.file.write_text(found.file.read_text() + "colour = blue\n")
            status = found.reload()
            assert re.search(r"smtpd-classic\.conf:\d+: .*colour", status.error)
            assert (status.digest, status.generation) == (before.digest, 1)
            assert found.children() == children
            assert "reload refused, nothing has changed" in found.log()
            assert dialog.ask("NOOP").startswith("250")
        found.write(workers)
        assert found.reload().error == ""


def test_a_reload_with_a_key_that_does_not_fit_changes_nothing() -> None:
    with daemon(TWO, listener="tls = starttls", tls=True) as found:
        found.start()
        make_pair(found.folder / "other", number=1)
        shutil.copy(found.folder / "other/key.pem", found.folder / "tls/key.pem")
        found.give()
        assert "is not the key of the certificate" in found.reload().error
        with found.dial() as dialog:
            dialog.reply()
            assert "STARTTLS" in dialog.ask("EHLO c.example")


@both
def test_a_reload_opens_and_closes_ports(workers: str) -> None:
    with daemon(workers) as found:
        found.start()
        second = free_port()
        found.write(workers, f"[listener second]\naddress = 127.0.0.1\nport = {second}\ntls = none\n")
        found.reload()
        with found.dial(second) as dialog:
            assert dialog.reply().startswith("220")
        found.write(workers)
        status = found.reload()
        assert [place.port for place in status.listening] == [found.port]
        until(lambda: refuses(second))
        with found.dial() as dialog:
            assert dialog.reply().startswith("220")


def test_a_reload_that_wants_a_port_that_is_in_use_changes_nothing() -> None:
    with daemon(TWO) as found, socket.create_server(("127.0.0.1", 0)) as other:
        found.start()
        port = other.getsockname()[1]
        found.write(TWO, f"[listener second]\naddress = 127.0.0.1\nport = {port}\ntls = none\n")
        assert "another program listens there already" in found.reload().error
        with found.dial() as dialog:
            assert dialog.reply().startswith("220")


def test_all_addresses_instead_of_one_wait_for_a_restart_and_service_goes_on() -> None:
    with daemon(TWO) as found:
        found.start()
        text = found.file.read_text()
        found.file.write_text(text.replace("address = 127.0.0.1", "address = 0.0.0.0"))
        status = found.reload()
        assert status.error == ""
        assert any("0.0.0.0" in said and "restart" in said for said in status.not_listening)
        with found.dial() as dialog:
            assert dialog.reply().startswith("220")


def test_options_that_wait_for_a_restart_stay_as_they_are_and_are_named() -> None:
    with daemon(TWO) as found:
        found.start()
        found.write("workers = 3\n", "[basic]\nhelo_name = new.example\n")
        status = found.reload()
        assert any("workers" in sentence for sentence in status.waiting_for_restart)
        assert len([role for role in status.children if role.startswith("receiver")]) == 2
        with found.dial() as dialog:
            assert dialog.reply() == "220 new.example ESMTP"


def test_reloads_on_top_of_each_other_leave_no_process_behind() -> None:
    """Each leaves old processes with a client that holds them; there is room for some, and then the oldest go."""
    with daemon(TWO) as found:
        found.start()
        held = []
        for _ in range(6):
            dialog = found.dial()
            dialog.reply()
            dialog.ask("EHLO c.example")
            dialog.ask("MAIL FROM:<a@c.example>")
            held.append(dialog)
            found.reload()
        with found.dial() as dialog:
            assert dialog.reply().startswith("220")
        for dialog in held:
            dialog.close()
        until(lambda: len(_children_of(found.process)) == 3, 30)
        found.signal(signal.SIGTERM)
        assert found.wait() == 0


def _children_of(process: subprocess.Popen[str] | ForkedProgram | None) -> list[str]:
    assert process is not None
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()


def test_a_child_that_is_killed_is_replaced_and_its_connections_are_forgotten() -> None:
    with daemon(TWO) as found:
        found.start()
        held = [found.dial() for _ in range(10)]
        for dialog in held:
            dialog.reply()
        before = found.children()
        until(lambda: found.runtime.counters.open_connections() == 10)
        for role, pid in before.items():
            if role.startswith("receiver"):
                os.kill(pid, signal.SIGKILL)
        until(lambda: set(found.children().values()).isdisjoint(_receivers(before)) and len(found.children()) == 3)
        until(lambda: found.runtime.counters.open_connections() == 0)
        assert "was killed by signal 9; another takes its place" in found.log()
        with found.dial() as dialog:
            assert dialog.reply().startswith("220")
        for dialog in held:
            dialog.close()


def _receivers(children: dict[str, int]) -> set[int]:
    return {pid for role, pid in children.items() if role.startswith("receiver")}


def _acknowledged(load: Load, number: int) -> bool:
    return len(load.acknowledged) > number


def _replaced(found: Daemon, pid: int) -> bool:
    receivers = _receivers(found.children())
    return pid not in receivers and len(receivers) == 2


def test_nothing_acknowledged_is_lost_when_children_are_killed_under_load() -> None:
    with daemon(TWO, "[basic]\nmin_free_space = 1M") as found:
        found.start()
        load = Load(found.port, USER, connections=8)
        load.start()
        for wanted in (40, 80, 120):
            until(partial(_acknowledged, load, wanted), 30)
            before = _receivers(found.children())
            os.kill(min(before), signal.SIGKILL)
            until(partial(_replaced, found, min(before)))
        until(lambda: len(load.acknowledged) > 200, 30)
        load.stop()
        found.signal(signal.SIGTERM)
        assert found.wait() == 0
        assert load.acknowledged <= tokens(found.mail())


def test_children_end_with_a_supervisor_that_is_killed() -> None:
    with daemon(TWO) as found:
        found.start()
        children = found.children()
        assert len(children) == 3
        with found.dial() as dialog:
            dialog.reply()
            found.signal(signal.SIGKILL)
            assert dialog.reply().startswith("421 4.3.2")
        assert found.wait() == -signal.SIGKILL
        until(lambda: all(gone(pid) for pid in children.values()), 20)
        assert refuses(found.port)
        assert found.runtime.status.running() is None
        found.start()  # nothing that it left is in the way
        with found.dial() as dialog:
            assert dialog.reply().startswith("220")


def test_a_second_server_on_the_same_folder_is_refused() -> None:
    with daemon(TWO) as found:
        found.start()
        assert found.process is not None
        second = found.command("serve")
        assert (second.returncode, second.stderr) == (
            69,
            f"smtpd-classic runs already, as process {found.process.pid}.\n",
        )
        found.port = free_port()
        found.write(TWO)
        third = found.command("serve")
        assert (third.returncode, third.stderr) == (
            69,
            f"smtpd-classic runs already, as process {found.process.pid}.\n",
        )


@both
def test_a_server_and_the_adoption_of_its_queue_exclude_each_other(workers: str) -> None:
    with daemon(workers) as found:
        spool = Spool(str(found.folder / "spool"))
        found.start()
        found.reload()
        assert spool.lock(exclusive=True) is None
        found.signal(signal.SIGTERM)
        found.wait()
        lock = spool.lock(exclusive=True)
        assert lock is not None
        try:
            refused = found.command("serve")
        finally:
            os.close(lock)
        assert (refused.returncode, "“queue adopt” is moving" in refused.stderr) == (os.EX_TEMPFAIL, True)


def test_a_port_that_another_program_has() -> None:
    with daemon(TWO) as found, socket.create_server(("127.0.0.1", found.port)):
        done = found.command("serve")
        assert done.returncode == 69
        assert (
            done.stderr
            == f"Listener smtp cannot listen on 127.0.0.1:{found.port}: another program listens there already.\n"
        )


def test_a_bad_configuration_is_refused_with_its_line() -> None:
    with daemon("colour = blue") as found:
        done = found.command("serve")
        assert done.returncode == 78
        assert re.search(r"smtpd-classic\.conf:\d+: ", done.stderr)
        assert "Traceback" not in done.stderr


def test_a_certificate_that_cannot_be_used_is_refused_at_the_start() -> None:
    with daemon(listener="tls = starttls", tls=True) as found:
        (found.folder / "tls/key.pem").write_text("no key")
        done = found.command("serve")
        assert (done.returncode, done.stderr) == (78, f"{found.folder}/tls/key.pem holds no private key in PEM form.\n")


def test_a_self_signed_pair_is_made_when_there_is_none() -> None:
    with daemon(listener="tls = starttls") as found:
        found.start()
        with found.dial() as dialog:
            dialog.reply()
            assert "STARTTLS" in dialog.ask("EHLO c.example")
        key = (found.folder / "tls/key.pem").stat()
        assert key.st_mode & 0o777 == 0o600
        assert key.st_uid == found.folder.stat().st_uid


def test_a_reload_that_switches_tls_on_makes_the_pair_too() -> None:
    with daemon(TWO) as found:
        found.start()
        found.write(TWO, listener="tls = starttls")
        assert found.reload().error == ""
        with found.dial() as dialog:
            dialog.reply()
            assert "STARTTLS" in dialog.ask("EHLO c.example")


def test_an_address_that_this_machine_lacks_is_done_without() -> None:
    with daemon(listener="tls = none") as found:
        text = found.file.read_text().replace("address = 127.0.0.1", "address = 127.0.0.1, 2001:db8::1")
        found.file.write_text(text)
        found.start()
        with found.dial() as dialog:
            assert dialog.reply().startswith("220")
        sentence = (
            f"Listener smtp cannot listen on [2001:db8::1]:{found.port}: this machine does not have that address."
        )
        assert sentence in found.said()
        status = found.status()
        assert status is not None
        assert status.not_listening == (sentence,)


def test_a_listener_without_any_address_is_refused() -> None:
    with daemon() as found:
        found.file.write_text(found.file.read_text().replace("address = 127.0.0.1", "address = 2001:db8::1"))
        done = found.command("serve")
        assert done.returncode == 69
        assert "this machine does not have that address" in done.stderr


def test_a_log_that_cannot_be_written_is_refused_at_the_start() -> None:
    with daemon() as found:
        shutil.rmtree(found.folder / "log")
        done = found.command("serve")
        assert done.returncode == 73
        assert done.stderr.startswith(f"The log {found.folder}/log/smtpd-classic.log cannot be written")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("option", ["log", "spool_folder", "mail_folder"])
def test_a_file_of_root_is_not_taken_for_a_log_or_a_folder(option: str) -> None:
    with daemon() as found:
        precious = found.folder / "precious"
        precious.write_text("root:x:0:0:root:/root:/bin/bash\n")
        edited = Edited(found.file)
        edited.set("server", option, str(precious))
        edited.apply()
        done = found.command("serve")
        assert done.returncode in {73, 77}
        assert str(precious) in done.stderr
        assert (precious.stat().st_uid, precious.read_text()) == (0, "root:x:0:0:root:/root:/bin/bash\n")


def test_systemd_is_told(tmp_path: Path) -> None:
    with daemon(TWO) as found, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        path = found.folder / "notify"
        listening.bind(str(path))
        path.chmod(0o777)
        listening.settimeout(20)
        found.environment["NOTIFY_SOCKET"] = str(path)
        found.start()
        assert listening.recv(4096).startswith(b"READY=1\nSTATUS=Listening: smtp on 127.0.0.1:")
        found.reload()
        assert re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=\d+\nSTATUS=Reloading\n", listening.recv(4096))
        assert listening.recv(4096).startswith(b"READY=1\n")
        found.signal(signal.SIGTERM)
        assert listening.recv(4096).startswith(b"STOPPING=1\n")
        assert found.wait() == 0
