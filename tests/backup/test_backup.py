"""A backup of a server at work is restored elsewhere: everything that was acknowledged before, and no secret shown."""

import gzip
import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from smtpd_classic.backup.draft import new_draft
from spool import Spool
from tests.instance import free_port
from tests.load import Load
from tests.server.daemons import USER, Daemon, daemon
from tests.server.test_daemon import tokens
from tests.waiting import until

AWAY = "[trusted]\nhosts = 127.0.0.1\n[remote]\nlook_up_mx = no\nrelay_always = yes\nrelay_hosts = 127.0.0.1\n"


@pytest.fixture
def server() -> Iterator[Daemon]:
    """A server that delivers to its mailboxes, and defers all other mail."""
    rest = f"{AWAY}relay_port = {free_port()}\n[basic]\nmin_free_space = 1M\n"
    with daemon("workers = 2", rest, tls=True) as found:
        made = found.command("dkim", "add", "test.example")
        assert made.returncode == 0, made.stderr
        found.give()
        yield found


def contents(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {each.name: archive.extractfile(each).read() for each in archive}  # type: ignore[union-attr]


def restored(server: Daemon, path: Path) -> tuple[Path, subprocess.CompletedProcess[str]]:
    into = server.folder / "elsewhere"
    return into, server.command("restore", str(path), "--into", str(into))


def queued(folder: Path) -> dict[str, bool]:
    """Return the token in each queued message, and whether it is held."""
    spool = Spool(str(folder))
    found = {}
    for each in spool.list():
        with spool.open_content(each.queue_id) as content:
            found[content.read().decode().partition("Subject: ")[2].partition("\n")[0]] = each.held
    return found


def row_of_the_doctor(server: Daemon, subject: str) -> str:
    """Return the state in a row of the doctor."""
    rows = json.loads(server.command("doctor", "--json", "--no-lists").stdout)
    return next(str(each["state"]) for each in rows if each["subject"] == subject)


def test_a_backup_under_load_holds_everything_acknowledged_before_it_began(server: Daemon) -> None:
    server.start()
    loads = [Load(server.port, USER, 4), Load(server.port, "eve@away.example", 4)]
    for load in loads:
        load.start()
    until(lambda: all(len(load.acknowledged) > 60 for load in loads), 60)
    here, away = (set(load.acknowledged) for load in loads)
    file = server.folder / "saved.tar.gz"
    done = server.command("backup", "--mail", str(file))
    for load in loads:
        load.stop()
    assert done.returncode == 0, done.stderr
    assert "Saved: " in done.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "good" in row_of_the_doctor(server, "last backup")
    into, done = restored(server, file)
    assert done.returncode == 0, done.stderr
    assert "queue release --restored" in done.stderr
    mail = sorted((into / "mail/test.example/joe/new").glob("*"))
    assert here <= tokens(mail)
    held = queued(into / "spool")
    assert away <= held.keys()
    assert all(held.values())


def test_a_restored_server_serves_and_its_queue_waits_for_the_administrator(server: Daemon) -> None:
    (key,) = json.loads(server.command("dkim", "list", "--json").stdout)
    assert server.command("dkim", "use", key["selector"], "--force").returncode == 0
    server.start()
    load = Load(server.port, "eve@away.example", 1)
    load.start()
    until(lambda: len(load.acknowledged) > 2, 60)
    load.stop()
    file = server.folder / "saved.tar.gz"
    assert server.command("backup", str(file)).returncode == 0
    server.signal(signal.SIGTERM)
    server.wait()
    into, done = restored(server, file)
    assert done.returncode == 0, done.stderr
    for name in ("users", "aliases"):
        assert (into / name).read_bytes() == (server.folder / name).read_bytes()
    old_keys, new_keys = (
        [each.read_bytes() for each in folder.glob("dkim/**/*.pem")] for folder in (server.folder, into)
    )
    assert old_keys == new_keys
    server.file = into / "smtpd-classic.conf"
    server.runtime = type(server.runtime)(str(into / "run"))
    states = [each["state"] for each in json.loads(server.command("dkim", "list", "--json").stdout)]
    assert states == ["new"]  # its record may have been removed from DNS since
    listed = server.command("queue", "list", "--json", "--state", "held")
    assert len(listed.stdout.splitlines()) == len(load.acknowledged)
    server.start()
    with server.dial() as dialog:
        assert dialog.reply() == "220 test.example ESMTP"
    released = server.command("queue", "release", "--restored")
    assert f"Released: {len(load.acknowledged)}." in released.stderr
    assert server.command("queue", "list", "--json", "--state", "held").stdout == ""


def test_secrets_of_several_servers_and_files_with_passwords_come_along(server: Daemon) -> None:
    """Without them the check refuses the restored configuration, or the server takes no mail to an SRS address."""
    text = server.file.read_text().replace(
        "[server]", f"[server]\nshared_state = redis://127.0.0.1:{free_port()}/0\nshared_state_password_file = shared"
    )
    password = server.folder / "relay"
    text = text.replace(
        "[remote]", f"[remote]\nrelay_auth = yes\nrelay_user = us\nrelay_password_file = {password}\nrelay_ssl = yes"
    )
    server.file.write_text(text)
    files = {"srs-secret": "a" * 64, "approval-secret": "b" * 64, "shared": "one", "relay": "two"}
    for name, content in files.items():
        (server.folder / name).write_text(f"{content}\n")
        (server.folder / name).chmod(0o600)
    server.give()
    file = server.folder / "saved.tar.gz"
    assert server.command("backup", str(file)).returncode == 0
    for name in files:
        (server.folder / name).unlink()
    into, done = restored(server, file)
    assert done.returncode == 0, done.stderr
    names = {"srs-secret", "approval-secret", "shared-state-password", "relay-password"}
    assert {(into / name).read_text().strip() for name in names} == set(files.values())
    assert all(stat.S_IMODE((into / name).stat().st_mode) == 0o600 for name in names)
    assert server.command("--config", str(into / "smtpd-classic.conf"), "check").returncode == 0


def test_nothing_is_restored_over_a_server(server: Daemon) -> None:
    file = server.folder / "saved.tar.gz"
    assert server.command("backup", str(file)).returncode == 0
    before = server.file.read_bytes()
    again = server.command("restore", str(file))
    assert again.returncode == os.EX_DATAERR
    assert "exists" in again.stderr
    assert server.file.read_bytes() == before
    server.start()
    server.file.rename(server.folder / "other.conf")
    running = server.command("restore", str(file))
    assert (running.returncode, "uses" in running.stderr) == (os.EX_DATAERR, True)


def test_a_backup_is_not_written_over_a_file(server: Daemon) -> None:
    file = server.folder / "saved.tar.gz"
    file.write_text("precious")
    done = server.command("backup", str(file))
    assert (done.returncode, file.read_text()) == (os.EX_CANTCREAT, "precious")
    assert sorted(each.name for each in server.folder.glob("*.part")) == []


def test_a_backup_to_standard_output_is_the_same(server: Daemon) -> None:
    line = [sys.executable, "-m", "smtpd_classic", "--config", str(server.file), "backup", "-"]
    done = subprocess.run(line, capture_output=True, timeout=60, check=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        names = archive.getnames()
    assert names[0] == "backup.json"
    assert {"etc/smtpd-classic.conf", "etc/users", "etc/aliases", "etc/certificate.pem", "etc/key.pem"} <= set(names)


def test_sieve_scripts_of_the_homes_are_saved_with_the_mailboxes(server: Daemon) -> None:
    """Dovecot keeps them beside the mailboxes: the scripts, and a link to the active one. Links out are left out."""
    home = Path("mail/test.example/.home/joe")
    (server.folder / home / "sieve").mkdir(parents=True)
    (server.folder / home / "sieve/away.sieve").write_text("keep;")
    (server.folder / home / ".dovecot.sieve").symlink_to("sieve/away.sieve")
    (server.folder / home / ".dovecot.svbin").write_text("compiled")
    (server.folder / home / "out").symlink_to("/etc/passwd")
    (server.folder / home / "up").symlink_to("../../../../users")
    server.give()
    file, plain = server.folder / "saved.tar.gz", server.folder / "plain.tar.gz"
    assert server.command("backup", str(plain)).returncode == 0
    assert server.command("backup", "--mail", str(file)).returncode == 0
    assert not any(".home" in name for name in names_in(plain))
    into, done = restored(server, file)
    assert done.returncode == 0, done.stderr
    assert sorted(each.name for each in (into / home).rglob("*")) == [".dovecot.sieve", "away.sieve", "sieve"]
    assert os.readlink(into / home / ".dovecot.sieve") == "sieve/away.sieve"
    assert (into / home / ".dovecot.sieve").read_text() == "keep;"
    owners = {os.lstat(each).st_uid for each in (into / home).rglob("*")}
    assert owners == {(into / "mail").stat().st_uid}


def names_in(path: Path) -> list[str]:
    with tarfile.open(path) as archive:
        return archive.getnames()


def test_what_a_killed_backup_leaves_is_removed_by_the_next_one(server: Daemon) -> None:
    """Under the same name and under another; files of others that are named so stay."""
    folder = server.folder / "mail/test.example/joe/new"
    for name in ("new", "cur", "tmp"):
        folder.with_name(name).mkdir(parents=True, exist_ok=True)
    (folder / "large").write_bytes(os.urandom(1 << 26))
    server.give()
    drafts = [server.folder / f"{name}.part" for name in ("monday", "tuesday")]
    for draft in drafts:
        line = [sys.executable, "-m", "smtpd_classic", "--config", str(server.file)]
        with subprocess.Popen([*line, "backup", "--mail", str(draft.with_suffix(""))]) as killed:
            until(lambda draft=draft: draft.exists() and draft.stat().st_size > 100_000, 60)  # type: ignore[misc]
            other = server.command("backup", str(draft.with_suffix("")))
            assert (other.returncode, "another backup" in other.stderr) == (os.EX_CANTCREAT, True)
            killed.kill()
        assert draft.exists()
    precious = server.folder / "film.part"
    precious.write_text("precious")
    done = server.command("backup", str(server.folder / "tuesday"))
    assert done.returncode == 0, done.stderr
    assert [each.name for each in server.folder.glob("*.part")] == ["film.part"]
    assert precious.read_text() == "precious"
    assert names_in(server.folder / "tuesday")[0] == "backup.json"


def test_a_backup_removes_no_draft_of_one_that_runs(server: Daemon) -> None:
    draft, descriptor = new_draft(str(server.folder / "other"))
    with open(descriptor, "wb") as file, gzip.open(file, "wb") as packed:
        packed.write(b"backup.json" + bytes(600))
        packed.flush()
        assert server.command("backup", str(server.folder / "saved")).returncode == 0
        assert os.path.exists(draft)


@pytest.mark.parametrize("target", ["/etc/passwd", "../../users", "."])
def test_a_link_that_leads_out_is_refused(server: Daemon, target: str) -> None:
    files = {"backup.json": MANIFEST, "etc/smtpd-classic.conf": server.file.read_bytes()}
    file = made(server.folder / "link.tar.gz", files, link="mail/test.example/.home/joe/x", target=target)
    into, done = restored(server, file)
    assert done.returncode == os.EX_DATAERR
    assert not (into / "mail").exists()


def made(path: Path, files: dict[str, bytes], *, link: str = "", target: str = "/etc") -> Path:
    """Write an archive with these files."""
    with gzip.open(path, "wb") as packed, tarfile.open(fileobj=packed, mode="w|") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        if link:
            member = tarfile.TarInfo(link)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return path


MANIFEST = json.dumps({"form": 1}).encode()


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"backup.json": b"no JSON"},
        {"backup.json": json.dumps({"form": 2}).encode()},
        {"backup.json": MANIFEST},
        {"backup.json": MANIFEST, "etc/smtpd-classic.conf": b"[server]\nprimary_domain = \xff\n"},
        {"backup.json": MANIFEST, "etc/smtpd-classic.conf": b"[nonsense]\n"},
        {"backup.json": MANIFEST, "../evil": b"x"},
        {"backup.json": MANIFEST, "/tmp/evil": b"x"},
        {"backup.json": MANIFEST, "spool/../../evil": b"x"},
    ],
)
def test_a_file_that_is_no_backup_is_refused_in_one_sentence(server: Daemon, files: dict[str, bytes]) -> None:
    into, done = restored(server, made(server.folder / "bad.tar.gz", files))
    assert (done.returncode, done.stdout) == (os.EX_DATAERR, "")
    assert "Traceback" not in done.stderr
    assert not into.exists() or not any(into.iterdir())
    assert not (server.folder / "evil").exists()


def test_links_and_cut_files_are_refused(server: Daemon) -> None:
    config = server.file.read_bytes()
    files = {"backup.json": MANIFEST, "etc/smtpd-classic.conf": config}
    into, done = restored(server, made(server.folder / "link.tar.gz", files, link="spool/new"))
    assert done.returncode == os.EX_DATAERR
    assert not (into / "smtpd-classic.conf").exists()
    whole = made(server.folder / "whole.tar.gz", files | {"spool/x": os.urandom(200_000)}).read_bytes()
    cut = server.folder / "cut.tar.gz"
    cut.write_bytes(whole[:150_000])
    shutil.rmtree(into, ignore_errors=True)
    into, done = restored(server, cut)
    assert done.returncode == os.EX_DATAERR, done.stderr
    assert not (into / "smtpd-classic.conf").exists()
