"""The way to a test from the screens of settings; the code of the client is imported when it is first needed."""

from tui.config.draft import Row
from tui.shell.context import AppContext

__all__ = ["run_test"]


def run_test(context: AppContext, attribute: str, row: Row | None) -> None:
    """Open the test of the relay, or of a row of a table."""
    from tui.diagnosis.probe_dialog import test  # noqa: PLC0415

    test(context, attribute, row)
