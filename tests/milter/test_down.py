"""A filter that is down: the states that the processes share, the notice to the postmaster, the test of a filter."""

import os
import socket
from pathlib import Path

import pytest

from smtpd_classic.config import parse
from smtpd_classic.config.check import check
from smtpd_classic.config.schema import Milter
from smtpd_classic.milter.connection import MilterFailure
from smtpd_classic.milter.probe import try_filter
from smtpd_classic.pool import Neighbour, NeighbourBusy, NeighbourFailure, address_of
from smtpd_classic.runtime import NeighbourStates
from tests.milter.fake import CLOSE, FakeFilter
from tests.retry.world import running
from tests.waiting import until

MILTER = "[milter rspamd]\naddress = unix:/run/none\n"


def test_the_postmaster_is_told_once_after_five_minutes(tmp_path: Path) -> None:
    with running(tmp_path, text=MILTER) as world:
        states = NeighbourStates(world.services.runtime.milters._folder, world.clock)
        states.report("rspamd", "unix:/run/none: No such file or directory", 0.01)
        world.later(200)
        assert world.mailbox("root@us.test") == []
        world.later(101)
        [notice] = world.arrived("root@us.test")
        assert b"Subject: The milter rspamd is down" in notice
        assert b"unix:/run/none: No such file or directory" in notice.replace(b"\n", b" ")
        world.later(4000)
        assert len(world.mailbox("root@us.test")) == 1
        states.report("rspamd", "", 0.01)
        states.report("rspamd", "down again", 0.01)
        world.later(301)
        until(lambda: len(world.mailbox("root@us.test")) == 2, 10, world.log)


def test_states_are_shared_and_written_when_they_change(tmp_path: Path) -> None:
    now = [1000.0]
    first, second = (NeighbourStates(str(tmp_path / "milters"), lambda: now[0]) for _ in range(2))
    assert first.read("a") is None
    assert not first.report("a", "", 0.002)
    assert not second.report("a", "", 0.5)
    now[0] += 5
    assert second.report("a", "late", 30)
    assert not first.report("a", "later", 30)
    state = first.read("a")
    assert state is not None
    assert (state.since, state.reason, state.is_down) == (1005.0, "late", True)
    now[0] += 20
    assert first.report("a", "", 0.003)
    state = second.read("a")
    assert state is not None
    assert (state.since, state.took_ms, state.is_down) == (1025.0, 3.0, False)
    first.forget()
    assert second.read("a") is None


def test_without_the_run_folder_there_is_no_state(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    states = NeighbourStates(str(tmp_path / "file" / "milters"))
    states.report("a", "down", 1)
    assert states.read("a") is None


def test_a_filter_is_tried(tmp_path: Path) -> None:
    made = FakeFilter().listen(tmp_path)
    assert 0 < try_filter(Milter(name="x", address=made.address)) < 5
    made.answers["O"] = CLOSE
    with pytest.raises(MilterFailure, match="closed the connection"):
        try_filter(Milter(name="x", address=made.address))
    made.close()


@pytest.mark.source
def test_a_socket_that_may_not_be_opened_names_the_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        path.chmod(0o660)
        os.chown(path, 0, 4)

        def refused(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("smtpd_classic.pool._connected", refused)
        monkeypatch.setattr(os, "access", lambda place, mode: str(place) != str(path))
        with pytest.raises(NeighbourFailure, match=r"may not be opened: add the service user to the group “adm”"):
            neighbour(f"unix:{path}").connect(10**9)


def neighbour(address: str, now: list[float] | None = None, most: int = 50) -> Neighbour:
    clock = now or [0.0]
    return Neighbour(address_of(address), connect_timeout_s=5, max_connections=most, monotonic=lambda: clock[0])


def test_a_neighbour_that_lets_us_wait_rests_longer_each_time() -> None:
    now = [100.0]
    found = neighbour("127.0.0.1:9", now)
    for rest in (1, 2, 4, 8, 16, 30, 30):
        found.failed("late", 5.0)
        now[0] += rest - 0.1
        with pytest.raises(NeighbourFailure, match=r"late .not tried again yet"):
            found.connect(now[0] + 5)
        now[0] += 0.2
    with pytest.raises(NeighbourFailure, match="Connection refused"):
        found.connect(now[0] + 5)
    with pytest.raises(NeighbourFailure, match="Connection refused"):
        found.connect(now[0] + 5)


def test_connections_are_counted_until_they_are_closed(tmp_path: Path) -> None:
    made = FakeFilter().listen(tmp_path)
    found = neighbour(made.address, most=1)
    first = found.connect(10)
    with pytest.raises(NeighbourBusy, match=r"max_connections .1. are open"):
        found.connect(10)
    first.close()
    first.close()
    found.connect(10).close()
    assert found.health.open_connections == 0
    made.close()


BASE = "[server]\nprimary_domain = example.org\n[listener smtp]\nport = 25\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[milter a]\naddress = unix:/a\nfor = outgoing\n[basic]\nconvert_tnef = yes\n", "convert_tnef may change"),
        (
            "[milter a]\naddress = unix:/a\nfor = both\n[replace x@a.example]\naddresses = y@b.example\n",
            "[replace] may",
        ),
        ("[milter a]\naddress = unix:/a\n[milter b]\naddress = unix:/a\n", "the milters a and b have the same address"),
        ("[milter a]\naddress = unix:/a\ncontent_timeout = 10m\n", "filter_deadline (5m) is shorter"),
    ],
)
def test_settings_that_contradict_are_named(text: str, said: str) -> None:
    found = [each.text for each in check(parse(BASE + text, "/etc/x.conf"))]
    assert any(said in each for each in found), found


@pytest.mark.parametrize(
    "address", ["unix:relative", "unix:", "host", "host:0", "host:99999", "unix:/" + "x" * 120, ""]
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(Exception, match="address"):
        parse(BASE + f"[milter a]\naddress = {address}\n", "/etc/x.conf")
