"""Sending Limits: the use of the limits as bars."""

from pathlib import Path

from smtpd_classic.counters import Amount, FileCounterStore
from smtpd_classic.counters.sender_limits import suspend
from tests.tui.program import CONFIG, Tui, made

ANN = "account ann@example.com"


def test_the_use_is_shown_as_bars(tmp_path: Path) -> None:
    limits = "[limits]\nrecipients_per_hour = 40\nrecipients_per_day = 0\n"
    tui = Tui(made(tmp_path, CONFIG + limits))
    store = FileCounterStore(f"{tmp_path}/spool/limits")
    store.take(ANN, [Amount("hour", 30, 3600.0), Amount("day", 1234, 86400.0)])
    suspend(store, "account bob@example.com", "by hand\x1b[2J")
    text = tui.go("Sending Limits").choose("Use").dialog_text
    assert "hour [###############-----] 30 of 40" in text
    assert "day 1,234" in text
    assert "new [--------------------] 0 of 200" in text
    assert "suspended: by hand" in text
    assert "\x1b" not in text


def test_no_use_says_so(tmp_path: Path) -> None:
    tui = Tui(made(tmp_path, CONFIG)).go("Sending Limits").choose("Use")
    assert "No account or host has written to recipients elsewhere" in " ".join(tui.dialog_text.split())
