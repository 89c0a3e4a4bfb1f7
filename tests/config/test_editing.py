"""Editing a file until it is applied: validation, masks, locks, versions, and somebody else at the same time."""

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from smtpd_classic.config import ConfigProblems, load
from smtpd_classic.config.editing import Change, ChangedMeanwhile, Edited, LockHeld, restore, versions
from smtpd_classic.config.lock import _holder, locked
from tests.config.texts import COMMENTED, SOUND

RELAY = SOUND + "\n[remote]\nrelay_auth = yes\nrelay_user = joe\nrelay_password = geheim\nrelay_hosts = a.example\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "smtpd-classic.conf"
    path.write_text(COMMENTED)
    path.chmod(0o640)
    return path


def plain(file: Path, text: str = SOUND) -> Edited:
    file.write_text(text)
    return Edited(file)


def test_values_are_as_written_or_the_default(file: Path) -> None:
    edited = Edited(str(file))
    assert edited.text("listener submission", "port") == "587"
    assert edited.text("basic", "max_hops") == "100"
    assert edited.text("trusted", "hosts") == "10.0.0.0/8\n192.0.2.7\n192.0.2.8\n192.0.2.9"
    assert edited.text("remote", "relay_password") == "geheim # literal; all of it"
    assert edited.is_set("remote", "relay_user")
    assert not edited.is_set("remote", "relay_mail_from")
    assert not edited.is_set("basic", "max_hops")
    assert edited.has("listener smtp")
    assert not edited.has("basic")
    assert edited.text("direct unheard.example", "open") == "no"


def test_titles_are_in_the_order_of_the_file(file: Path) -> None:
    edited = Edited(file)
    assert edited.titles("listener") == ("listener smtp", "listener submission")
    assert edited.titles("direct") == ("direct a.example", "direct b.example")
    assert edited.titles("server") == ("server",)
    assert edited.titles("basic") == ()
    assert edited.titles("nothing") == ()


def test_nothing_is_changed_until_it_is_applied(file: Path) -> None:
    edited = Edited(file)
    edited.set("basic", "max_hops", "50")
    assert edited.changed
    assert file.read_text() == COMMENTED
    edited.reset()
    assert edited.file_text == COMMENTED
    assert edited.apply() is None
    assert versions(file) == ()


def test_what_is_applied_is_in_the_file_and_the_version_before_is_kept(file: Path) -> None:
    edited = Edited(file)
    edited.set("listener submission", "port", "2587")
    edited.set("remote", "relay_mail_from", "sales@example.org")
    edited.unset("remote", "relay_user")
    edited.set("remote", "relay_user", "jane")
    kept = edited.apply()
    text = COMMENTED.replace("port   =   587", "port = 2587").replace("relay_user = joe\n", "relay_user = jane\n")
    text = text.replace(
        "# relay_mail_from = joe@example.org\n",
        "# relay_mail_from = joe@example.org\nrelay_mail_from = sales@example.org\n",
    )
    assert file.read_text() == text
    assert [version.name for version in versions(file)] == [kept]
    assert Path(versions(file)[0].path).read_text() == COMMENTED
    assert not edited.changed


def test_same_value_is_no_change(file: Path) -> None:
    edited = Edited(file)
    for title, name in [("listener submission", "port"), ("trusted", "hosts"), ("remote", "relay_password")]:
        edited.set(title, name, edited.text(title, name))
    edited.unset("basic", "max_hops")
    assert not edited.changed


def test_section_is_added_with_its_first_option(file: Path) -> None:
    edited = Edited(file)
    edited.set("direct C.Example", "hosts", "mail.c.example\n192.0.2.1:2525")
    assert edited.titles("direct")[-1] == "direct c.example"
    assert edited.text("direct c.example", "hosts") == "mail.c.example\n192.0.2.1:2525"
    assert edited.file_text.endswith(
        "# the end\n\n[direct c.example]\nhosts =\n    mail.c.example\n    192.0.2.1:2525\n"
    )


def test_rows_are_added_deleted_moved_and_renamed(file: Path) -> None:
    edited = Edited(file)
    edited.add("listener alone")
    edited.move("listener alone", -1)
    edited.rename("listener smtp", "listener mx")
    edited.delete("listener submission")
    edited.rename("direct a.example", "direct A.Example")
    assert edited.titles("listener") == ("listener mx", "listener alone")
    assert edited.titles("direct")[0] == "direct a.example"


REFUSALS = [
    (lambda edited: edited.set("basic", "max_hop", "5"), "“max_hop” is no option of [basic]. Did you mean “max_hops”?"),
    (lambda edited: edited.text("basics", "max_hops"), "[basics] is no section. Did you mean [basic]?"),
    (lambda edited: edited.is_set("basic", "nothing"), "“nothing” is no option of [basic]"),
    (lambda edited: edited.unset("listener", "port"), "[listener] needs a name behind it"),
    (lambda edited: edited.add(""), "[] is no section"),
    (lambda edited: edited.add("basic office"), "[basic] takes no name behind it."),
    (lambda edited: edited.add("listener a:b"), "“a:b” is not a name"),
    (lambda edited: edited.add("domain Example.Net"), "[domain Example.Net] is there already."),
    (lambda edited: edited.delete("basic"), "the file has no section [basic]."),
    (lambda edited: edited.move("remote", 1), "[remote] is the only one of its kind"),
    (lambda edited: edited.move("listener x", 1), "the file has no section [listener x]."),
    (lambda edited: edited.rename("listener smtp", "domain a.example"), "only the name of a row can change."),
    (lambda edited: edited.rename("remote", "basic"), "only the name of a row can change."),
    (lambda edited: edited.rename("remote", "remote"), "only the name of a row can change."),
    (lambda edited: edited.rename("direct a.example", "direct b.example"), "[direct b.example] is there already."),
    (lambda edited: edited.set("basic", "max_hops", "5\n6"), "max_hops takes one value on one line."),
    (lambda edited: edited.set("remote", "relay_user", "a\rb"), "relay_user cannot hold control characters."),
    (lambda edited: edited.set("remote", "relay_user", "\ud800"), "relay_user cannot hold control characters."),
    (lambda edited: edited.set("remote", "relay_password", " x"), "relay_password cannot begin or end with a blank."),
    (lambda edited: edited.set("trusted", "hosts", "10.\n# 11.\n12."), "hosts cannot be written like that"),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "sentence"), REFUSALS, ids=[sentence for _, sentence in REFUSALS])
def test_impossible_edit_is_refused_with_a_sentence_and_changes_nothing(
    file: Path, edit: object, sentence: str
) -> None:
    edited = Edited(file)
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the sentence is compared below
        edit(edited)  # type: ignore[operator]
    assert sentence in str(refused.value)
    assert not edited.changed


def test_option_cannot_be_smuggled_in_through_a_value(file: Path) -> None:
    edited = plain(file)
    with pytest.raises(ValueError, match="would look like a comment or a section"):
        edited.set("trusted", "hosts", "10.0.0.1\n[basic]\nclose_open_relay = no")
    assert not edited.changed
    edited.set("trusted", "hosts", "10.0.0.1\nclose_open_relay = no")
    assert not edited.is_set("basic", "close_open_relay")
    assert any(problem.is_error for problem in edited.problems())


def test_value_may_begin_with_a_comment_sign(file: Path) -> None:
    edited = plain(file)
    edited.set("remote", "relay_user", "#1; joe")
    assert edited.text("remote", "relay_user") == "#1; joe"


def test_wrong_text_is_told_and_never_written(file: Path) -> None:
    edited = plain(file)
    edited.set("basic", "max_hops", "many")
    edited.set("basic", "max_rset", "")
    assert [problem.line for problem in edited.problems()] == [8, 9]
    with pytest.raises(ConfigProblems) as found:
        edited.apply()
    assert len(found.value.problems) == 2
    assert file.read_text() == SOUND
    assert edited.restart_reasons() == ()


def test_open_relay_is_never_written_unless_confirmed(file: Path) -> None:
    edited = plain(file)
    edited.set("basic", "close_open_relay", "no")
    with pytest.raises(ConfigProblems):
        edited.apply()
    edited.set("basic", "open_relay_confirmed", "yes")
    assert [problem.severity for problem in edited.problems()] == ["warning"]
    assert edited.apply()
    assert not load(file).basic.close_open_relay


def test_password_is_not_written_into_a_file_that_everybody_may_read(file: Path) -> None:
    edited = plain(file)
    file.chmod(0o644)
    edited.reset()
    edited.set("direct a.example", "hosts", "b.example user=joe password=geheim")
    with pytest.raises(ConfigProblems, match="every user may read it"):
        edited.apply()
    assert file.read_text() == SOUND


def test_broken_file_cannot_be_edited(file: Path) -> None:
    with pytest.raises(ConfigProblems) as found:
        plain(file, SOUND + "junk\n")
    assert [str(problem).partition(": ")[0] for problem in found.value.problems] == [f"{file}:6"]
    with pytest.raises(ConfigProblems):
        Edited(file.with_name("none"))


def test_file_with_a_wrong_value_can_be_mended(file: Path) -> None:
    edited = plain(file, SOUND + "[basic]\nmax_hops = many\nmax_hop = 5\n[nothing]\nx = 1\n")
    edited.set("basic", "max_hops", "50")
    assert len(edited.problems()) == 2
    assert edited.text("basic", "max_hops") == "50"
    assert edited.titles("nothing") == ("nothing",)
    assert not edited.has("trusted")


def test_changes_are_listed_with_masks(file: Path) -> None:
    edited = plain(file, RELAY + "[direct a.example]\nhosts = b.example\n[direct b.example]\nhosts = c.example\n")
    assert edited.changes() == ()
    edited.set("remote", "relay_password", "neu")
    edited.set("remote", "relay_port", "587")
    edited.unset("remote", "relay_auth")
    edited.set("basic", "max_hops", "50")
    edited.set("basic", "max_rset", "20")
    edited.move("direct b.example", -1)
    edited.set("direct d.example", "hosts", "e.example user=joe password=geheim")
    edited.delete("listener smtp")
    assert edited.changes() == (
        Change("remote", "relay_password", "********", "******** (new)"),
        Change("remote", "relay_port", "25", "587"),
        Change("remote", "relay_auth", "yes", "no"),
        Change("direct d.example", "", "", "[direct d.example]"),
        Change("direct d.example", "hosts", "", "e.example user=joe password=********"),
        Change("basic", "max_hops", "100", "50"),
        Change("listener smtp", "", "[listener smtp]", ""),
        Change("direct", "", "a.example, b.example", "b.example, a.example"),
    )


def test_section_that_goes_takes_its_options_back_to_their_defaults(file: Path) -> None:
    edited = plain(file, SOUND + "[basic]\nmax_hops = 50\n[nothing]\nx = y\n")
    edited.delete("basic")
    assert edited.changes() == (Change("basic", "max_hops", "50", "100"),)


def test_diff_shows_what_changes_and_no_secret(file: Path) -> None:
    edited = plain(
        file, RELAY + "# relay_password = geheim\n[direct a.example]\nhosts =\n\tb.example user=u password=geheim\n"
    )
    assert edited.diff() == ""
    edited.set("remote", "relay_password", "secret")
    edited.set("remote", "relay_port", "587")
    edited.set("direct a.example", "hosts", "b.example user=u password=geheim\nc.example user=u password=secret")
    diff = edited.diff()
    assert diff.startswith(f"--- {file}\n+++ {file} (edited)\n")
    assert "-relay_password = ********\n+relay_password = ******** (new)\n" in diff
    assert "+relay_port = 587" in diff
    assert "+    c.example user=u password=******** (new)" in diff
    assert "geheim" not in diff
    assert "secret" not in diff


def test_mistyped_password_option_is_masked_too(file: Path) -> None:
    comments = "# rely_pass=geheim\n# hosts = b.example user=joe password=geheim\n"
    mistyped = "[remote]\nrelay_user = u\n relay_password = geheim\nrelay_pasword = geheim\n"
    edited = plain(file, SOUND + mistyped + comments)
    edited.set("remote", "relay_password", "a")
    edited.set("remote", "relay_port", "26")
    assert "geheim" not in edited.diff()
    assert "relay_pasword = ********" in edited.diff()
    assert "# rely_pass=********" in edited.diff()
    assert "# hosts = b.example user=joe password=********" in edited.diff()


def test_what_waits_for_a_restart_is_told(file: Path) -> None:
    edited = plain(file)
    edited.set("server", "workers", "2")
    assert edited.restart_reasons() == ("workers in [server] takes effect after a restart.",)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
def test_line_ends_and_byte_order_mark_stay(file: Path, mark: bytes) -> None:
    file.write_bytes(mark + SOUND.replace("\n", "\r\n").encode())
    edited = Edited(file)
    edited.set("basic", "max_hops", "50")
    edited.apply()
    assert file.read_bytes() == mark + (SOUND + "\n[basic]\nmax_hops = 50\n").replace("\n", "\r\n").encode()


def test_owner_and_mode_stay(file: Path) -> None:
    if os.getuid() == 0:
        os.chown(file, 65534, 65534)
    file.chmod(0o640)
    before = file.stat()
    edited = Edited(file)
    edited.set("basic", "max_hops", "50")
    edited.apply()
    after = file.stat()
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
    kept = os.stat(versions(file)[0].path)
    assert (kept.st_uid, kept.st_gid, stat.S_IMODE(kept.st_mode)) == (before.st_uid, before.st_gid, 0o640)


def test_version_is_never_more_open_than_the_file(file: Path) -> None:
    edited = plain(file)
    file.chmod(0o604)
    edited.set("basic", "max_hops", "50")
    edited.apply()
    assert stat.S_IMODE(os.stat(versions(file)[0].path).st_mode) == 0o600


def test_file_changed_meanwhile_is_left_alone(file: Path) -> None:
    edited = Edited(file)
    edited.set("basic", "max_hops", "50")
    file.write_text(COMMENTED + "\n")
    with pytest.raises(ChangedMeanwhile, match="was changed by another program meanwhile"):
        edited.apply()
    assert file.read_text() == COMMENTED + "\n"
    assert versions(file) == ()
    edited.reset()
    edited.set("basic", "max_hops", "50")
    assert edited.apply()


def test_two_editors_cannot_overwrite_each_other(file: Path) -> None:
    first, second = Edited(file), Edited(file)
    first.set("basic", "max_hops", "50")
    second.set("basic", "max_rset", "50")
    first.apply()
    with pytest.raises(ChangedMeanwhile):
        second.apply()


HOLD = """
import sys
import tempfile
from smtpd_classic.config.lock import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_holder_of_the_lock_is_named(file: Path) -> None:
    environment = {**os.environ, "SUDO_USER": "jane"}
    command = [sys.executable, "-c", HOLD, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        edited = Edited(file)
        edited.set("basic", "max_hops", "50")
        with pytest.raises(LockHeld) as held:
            edited.apply(timeout_s=0.1)
        assert "(jane), pid " in held.value.holder
        assert f"pid {holder.pid}" in held.value.holder
        assert f"{file} is being changed by {held.value.holder}; try again in a moment." == str(held.value)
        assert file.read_text() == COMMENTED
        holder.kill()
    assert edited.apply()  # the lock died with its holder


def test_lock_file_that_says_nothing_names_nobody(tmp_path: Path) -> None:
    assert _holder(str(tmp_path / "none.lock")) == ""
    assert str(LockHeld("x.conf", "")) == "x.conf is being changed by another program; try again in a moment."


def test_user_without_a_name_is_told_by_number(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)
    monkeypatch.delenv("SUDO_USER", raising=False)
    with locked(str(file)), pytest.raises(LockHeld, match=r"by uid 4000000000, pid \d+"), locked(str(file), 0.01):
        pass


def test_link_to_the_file_stays_a_link(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "link.conf"
    link.parent.mkdir()
    link.symlink_to(file)
    edited = Edited(link)
    edited.set("basic", "max_hops", "50")
    edited.apply()
    assert link.is_symlink()
    assert "max_hops = 50" in file.read_text()
    assert versions(link) == versions(file)
    assert len(versions(file)) == 1


def test_twenty_versions_are_kept_the_latest_first(file: Path) -> None:
    (file.parent / "versions").mkdir()
    (file.parent / "versions" / f"{file.name}.old").write_text("not ours")
    (file.parent / "versions" / "other.20261122T090703.123456Z").write_text("not ours")
    edited = plain(file)
    names = []
    for hops in range(1, 24):
        edited.set("basic", "max_hops", str(hops))
        names.append(edited.apply())
    found = versions(file)
    assert [version.name for version in found] == names[:-21:-1]
    assert "max_hops = 22" in Path(found[0].path).read_text()
    assert found[0].at > found[-1].at
    assert found[0].size == len(SOUND) + len("\n[basic]\nmax_hops = 22\n")
    assert len(list((file.parent / "versions").iterdir())) == 22


def test_version_is_put_back(file: Path) -> None:
    edited = plain(file)
    edited.set("basic", "max_hops", "50")
    version = edited.apply()
    assert version is not None
    kept = restore(file, version)
    assert file.read_text() == SOUND
    assert "max_hops = 50" in Path(versions(file)[0].path).read_text()
    assert versions(file)[0].name == kept
    with pytest.raises(ValueError, match="there is no version x"):
        restore(file, "x")


def test_version_that_the_daemon_would_refuse_is_put_back_only_if_asked_to(file: Path) -> None:
    for text in (SOUND + "[basic]\nclose_open_relay = no\n", SOUND + "[basic]\nmax_hops = many\n"):
        file.write_text(text)
        edited = Edited(file)
        edited.delete("basic")
        version = edited.apply()
        assert version is not None
        with pytest.raises(ConfigProblems):
            restore(file, version)
        assert file.read_text() == SOUND
        restore(file, version, even_if_refused=True)
        assert file.read_text() == text


EDIT_AS_NOBODY = """
import os, sys
if os.getuid() == 0:  # root may write everywhere
    os.setgid(65534)
    os.setuid(65534)
from smtpd_classic.config.editing import Edited
edited = Edited(sys.argv[1])
edited.set("basic", "max_hops", "50")
try:
    edited.apply()
except PermissionError:
    print("refused")
"""


def test_folder_without_the_right_to_write_changes_nothing() -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to other users
        file = Path(folder) / "smtpd-classic.conf"
        file.write_text(SOUND)
        Path(folder).chmod(0o555)
        command = [sys.executable, "-c", EDIT_AS_NOBODY, str(file)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        Path(folder).chmod(0o755)
        assert (result.stdout, result.stderr) == ("refused\n", "")
        assert file.read_text() == SOUND
        assert os.listdir(folder) == [file.name]
