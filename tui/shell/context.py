"""The context of every screen: the edited configuration, the services of an instance, and the status line.

Nothing here draws. The shell around the screens shows the sentences and dialogs that the context passes on.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from smtpd_classic.config import Config
from smtpd_classic.config.open_relay import is_reachable, open_relay_reasons
from smtpd_classic.runtime import DaemonStatus, Runtime
from smtpd_classic.runtime.hosts import HOSTS_FILE, HostMark, read_marks
from tui.config.config_file import ConfigFile, digest_on_disk, read_source
from tui.config.draft import ConfigDraft
from tui.shell.background import Background
from tui.shell.remembered import Remembered
from tui.status.findings import StatusFindings
from tui.widgets.dialog import Dialog
from tui.widgets.text import clean

__all__ = ["AppContext", "Shell", "sentence"]

T = TypeVar("T")
_log = logging.getLogger("tui")


class Shell(Protocol):
    """The shell as a screen sees it: it shows sentences, dialogs and other screens."""

    def say(self, text: str, tone: str = "", holds: Callable[[], bool] | None = None) -> None:
        """Show one sentence on the status line; `tone` is good, warn, bad or blank.

        It goes away with the next sentence or screen, and as soon as `holds` returns False: then its reason is gone.
        """

    def open(self, dialog: Dialog) -> None:
        """Put a dialog over everything."""

    def close(self) -> None:
        """Take the topmost dialog away."""

    def dismiss(self, dialog: Dialog) -> None:
        """Take this dialog away, if it is still there."""

    def go(self, title: str, option: str = "", *, values: Mapping[str, str] | None = None) -> None:
        """Show a screen, with the focus on an option of it, or with these values in its fields."""

    def copy(self, text: str) -> None:
        """Give the text to the terminal's clipboard (OSC 52)."""

    def leave(self) -> None:
        """End the program."""

    def run_command(self, command: str) -> None:
        """Run a command of the screen in view."""

    def look_again(self) -> None:
        """Look at the queue, the certificate and the log at once."""

    def changed(self) -> None:
        """Show marks, banners and keys anew."""

    def renewed(self) -> None:
        """Show the screen anew, for another draft."""


class AppContext:
    def __init__(self, path: str, shell: Shell, background: Background, clock: Callable[[], float] = time.time) -> None:
        self.path = os.path.abspath(path)
        self.shell = shell
        self.background = background
        self.clock = clock
        self.source = ConfigFile(self.path)
        self.draft = ConfigDraft("")
        self.findings = StatusFindings()
        self._runtime: Runtime | None = None
        self._signature: tuple[int, int, int] | None = None
        self._overtaken = False
        self._status: Remembered[DaemonStatus | None] = Remembered()
        self._marks: Remembered[list[HostMark]] = Remembered()
        self._reachable: tuple[Config | None, tuple[str, ...]] = (None, ())

    def read(self) -> None:
        """Read the file and forget all edits."""
        self.take(read_source(self.path))

    def take(self, source: ConfigFile, draft: ConfigDraft | None = None) -> None:
        """Go on from this state of the file, with these edits."""
        self.source = source
        self.draft = draft or ConfigDraft(source.text)
        self.shell.renewed()

    def open_relay_reasons(self) -> tuple[str, ...]:
        """Return the reasons why the file makes an open relay that others can reach; none if it does not."""
        config = self.source.config
        if config is not self._reachable[0]:
            reasons = open_relay_reasons(config) if config is not None and is_reachable(config) else ()
            self._reachable = config, reasons
        return self._reachable[1]

    def usable_config(self) -> Config | None:
        """Return the configuration, or say that its errors come first and return None."""
        if self.source.config is None:
            text = "Correct the errors of the configuration first."
            self.shell.say(text, "bad", lambda: self.source.config is None)
        return self.source.config

    def may_edit(self) -> bool:
        """Return True if the file can be written; else say why it cannot be."""
        if self.source.read_only:
            self.shell.say(f"Read-only: {self.source.read_only}.", "warn")
        return not self.source.read_only

    def overtaken(self) -> bool:
        """Return True if another program has changed the file since it was read."""
        return digest_on_disk(self.path) != self.source.digest

    def look_at_file(self) -> None:
        """Show at once a file that another program has changed, unless there are edits here, which must not be lost."""
        try:
            seen = os.stat(self.path)
            signature = (seen.st_mtime_ns, seen.st_size, seen.st_ino)
        except OSError:
            signature = (0, 0, 0)
        if signature == self._signature:
            return
        self._signature = signature
        self._overtaken = self.overtaken()
        if not self._overtaken:
            return
        if self.draft.changed():
            text = "Another program has changed the file meanwhile; Apply will show it and ask."
            self.shell.say(text, "warn", lambda: self._overtaken)
        else:
            self.read()
            self.shell.say("Another program has changed the file; this is how it is now.", "warn")

    def run(
        self, work: Callable[[], T], done: Callable[[T], None], failed: Callable[[Exception], None] | None = None
    ) -> None:
        """Do `work` beside the screen; show its exception unless `failed` takes it."""
        self.background.run(work, done, failed or self.failure)

    def failure(self, problem: BaseException, holds: Callable[[], bool] | None = None) -> None:
        """Show an exception as a sentence on the status line, and write its traceback into the log file."""
        _log.error("%s", problem, exc_info=problem)
        if isinstance(problem, (LookupError, AttributeError, TypeError, AssertionError, RuntimeError)):
            # Not something that went wrong out there, but a mistake in here.
            self.shell.say(f"A mistake in this program: {sentence(problem)} Its log has the details.", "bad", holds)
        else:
            self.shell.say(sentence(problem), "bad", holds)

    def daemon_status(self) -> DaemonStatus | None:
        """Return the state that the daemon wrote last; None if there is none."""
        status = self.runtime.status
        return self._status.get(status.path, status.read)

    def daemon_is_hidden(self) -> bool:
        """Return True if this user may not read the state of the daemon: it may run, or not."""
        return self.daemon_status() is None and self.runtime.status.is_hidden()

    def failing_hosts(self) -> list[HostMark]:
        """Return the next hops that back off now."""
        path, now = os.path.join(self.run_folder, HOSTS_FILE), self.clock()
        return [mark for mark in self._marks.get(path, lambda: read_marks(path, now)) if now < mark.until]

    @property
    def run_folder(self) -> str:
        return self.server_file("run_folder")

    @property
    def spool_folder(self) -> str:
        return self.server_file("spool_folder")

    def server_file(self, name: str) -> str:
        """Return an option of [server] that names a file or folder, as an absolute path."""
        if self.source.config is not None:
            return str(getattr(self.source.config.server, name))
        # While the configuration as a whole is broken, the name is still there to be read.
        row = self.draft.base("server")[0]
        return os.path.join(os.path.dirname(self.path), row.text(row.section.option(name)))

    @property
    def runtime(self) -> Runtime:
        """Return the state of the running instance."""
        if self._runtime is None or self._runtime.folder != self.run_folder:
            self._runtime = Runtime(self.run_folder)
        return self._runtime


def sentence(problem: BaseException) -> str:
    """Return the error as a sentence that begins with a capital letter and ends with a full stop."""
    if isinstance(problem, OSError) and problem.strerror:
        text = f"{problem.filename}: {problem.strerror}" if problem.filename else problem.strerror
    else:
        text = str(problem) or type(problem).__name__
    text = clean(text, 300).strip()
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "?", "!")) else text + "."
