"""This server and Postfix with the same filter: rspamd as a milter, at a UNIX socket."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

from tests.bench.ours import Interpreted, Ours
from tests.bench.postfix import Postfix
from tests.milter.programs import rspamd

__all__ = ["FILTERED"]


class _Filtered:
    """The filter of one server, in a folder beside its own."""

    can: ClassVar[frozenset[str]] = frozenset({"filter"})

    def begin(self, folder: Path) -> Path:
        place = folder.with_name(f"{folder.name}-rspamd")
        place.mkdir(parents=True)
        os.chmod(place, 0o777)
        self._filter = ExitStack()
        return self._filter.enter_context(rspamd(place))

    def end(self) -> None:
        self._filter.close()


class _Ours(_Filtered, Ours):
    def start(self, folder: Path, relay: int) -> None:
        self.more = f"[milter rspamd]\naddress = unix:{self.begin(folder)}\nfor = both\n"
        super().start(folder, relay)

    def stop(self) -> None:
        super().stop()
        self.end()


class _Interpreted(_Ours):
    name = Interpreted.name
    share = Interpreted.share
    code = Interpreted.code


class _Postfix(_Filtered, Postfix):
    def start(self, folder: Path, relay: int) -> None:
        self.more = f"smtpd_milters = unix:{self.begin(folder)}\n"
        super().start(folder, relay)

    def stop(self) -> None:
        super().stop()
        self.end()


FILTERED = (_Ours, _Interpreted, _Postfix)
