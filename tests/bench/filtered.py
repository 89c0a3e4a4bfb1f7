"""This server and Postfix with the same filter: rspamd as a milter, at a UNIX socket; and this server with its own."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

from tests.bench.ours import Interpreted, Ours
from tests.bench.postfix import Postfix
from tests.bench.workloads import CLIENT, own_address
from tests.milter.programs import rspamd
from tests.test_dns import name_server

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


_ZONE = (
    "local-ttl=3600",  # without it no answer may be kept
    f"host-record={CLIENT},{own_address()}",
    "host-record=2.0.0.127.list.test,127.0.0.2",
    "host-record=2.0.0.127.other.test,127.0.0.2",
    "host-record=2.0.0.127.good.test,127.0.0.2",
)
_FILTER = {
    "sender_domain": "refuse",
    "reverse_name": "refuse",
    "own_hello": "refuse",
    "refuse_senders": "bad@spam.test, .spam.test, news*@*.spam.test",
    "refuse_hellos": "friend, .dialup.test",
    "blocklists": "list.test, other.test=127.0.0.2-11",
    "allowlists": "good.test=127.0.0-255.1-3",
    "greylist": "suspicious",
    "block_attachments": ".exe, .js, .scr",
}
_RULES = (
    ("subject", "contains", "prize", "refuse"),
    ("subject", "wildcard", "*win*money*", "junk"),
    ("from", "ends", "@spam.test", "refuse"),
    ("to", "is", "team@bench.test", "copy joe@bench.test"),
    ("header X-Mailer", "starts", "bulk", "junk"),
    ("attachment", "ends", ".iso", "hold"),
    ("client", "is", "198.51.100.0/24", "refuse"),
    ("size", "over", "20M", "hold"),
)


class _SmtpFilter(Ours):
    """This server with every check of the SMTP filter, and eight rules that match nothing."""

    can: ClassVar[frozenset[str]] = frozenset({"smtp filter"})

    def prepare(self) -> None:
        self._dns, port = name_server(self.server.folder, [*_ZONE])
        values = {
            ("trusted", "hosts"): "",
            ("listener smtp", "address"): "0.0.0.0",
            ("server", "name_servers"): f"127.0.0.1:{port}",
        }
        self.server.set_all(values | {("filter", name): value for name, value in _FILTER.items()})
        with self.server.file.open("a", encoding="utf-8") as file:
            for number, (field, match, text, action) in enumerate(_RULES):
                rule = f"field = {field}\nmatch = {match}\ntext = {text}\naction = {action}\n"
                file.write(f"\n[filter-rule rule{number}]\n{rule}")

    def stop(self) -> None:
        super().stop()
        self._dns.terminate()
        self._dns.wait(10)


class _InterpretedSmtpFilter(_SmtpFilter):
    name = Interpreted.name
    share = Interpreted.share
    code = Interpreted.code


FILTERED = (_Ours, _Interpreted, _Postfix, _SmtpFilter, _InterpretedSmtpFilter)
