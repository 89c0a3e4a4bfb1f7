"""A whole server without sockets: real accounts, spool, Maildirs and log in a folder; DNS from a dictionary."""

import os
from dataclasses import dataclass
from pathlib import Path

from smtpd_classic.accounts import Accounts
from smtpd_classic.config import Config, parse
from smtpd_classic.config.schema import Listener
from smtpd_classic.counters.file_store import FileCounterStore
from smtpd_classic.dns import DnsFailure, FixedResolver, NullMx, Resolver
from smtpd_classic.log import Log
from smtpd_classic.mailstore.store import MailStore
from smtpd_classic.policy import Client, Policy
from smtpd_classic.reception import Reception
from smtpd_classic.runtime import Runtime
from smtpd_classic.services import Services
from smtpd_classic.smtp.events import Pause, TlsInfo
from smtpd_classic.smtp.extensions import Extensions
from smtpd_classic.smtp.session import ServerSession, SessionLimits
from spool import Spool
from tests.once import quick_hash

__all__ = ["CONFIG", "NOON", "PASSWORD", "USERS", "Clock", "Talk", "World", "close_worlds", "unchecked_world", "world"]

NOON = 1_763_812_800.0  # Saturday, 22 November 2025, 12:00 UTC
PASSWORD = "tea for two"
# Cheap on purpose: what is tested is who may do what, not how long a guess takes.
_HASH = quick_hash(PASSWORD)

USERS = f"""\
joe@example.org:{_HASH}:::Joe Doe::
ann@example.org:{_HASH}:::Ann Lee::
full@example.org:{_HASH}::::::userdb_quota_rule=*:bytes=1000
gone@example.org:!{_HASH}::::::userdb_smtpd_status=disabled
away@example.org:!{_HASH}::::::userdb_smtpd_status=suspended
clerk@example.org:{_HASH}::::::userdb_smtpd_may_send_as=office@partner.example,*@shop.example
ann@second.example:{_HASH}:::Another Ann::
"""
ALIASES = """\
sales: joe@example.org
team: joe@example.org, ann@example.org
mix: joe@example.org, friend@elsewhere.example
forward: friend@elsewhere.example
tofull: full@example.org
togone: gone@example.org
office: joe@example.org
"""
CONFIG = """\
[server]
primary_domain = example.org
log = {folder}/log
spool_folder = {folder}/spool
mail_folder = {folder}/mail
run_folder = {folder}/run
[domain example.org]
aliases = example.net
[domain second.example]
[domain all.example]
catch_all = ann@example.org
[listener smtp]
port = 25
auth = offered
[listener submission]
port = 587
auth = required
[filter]
sender_domain = no
"""
RESOLVER = FixedResolver(
    mx={
        "elsewhere.example": [(10, "mx.elsewhere.example")],
        "null.example": NullMx("null.example accepts no mail"),
        "broken.example": DnsFailure("SERVFAIL"),
    },
    addresses={
        "mx.elsewhere.example": ["198.51.100.25"],
        "backup.example": ["198.51.100.26"],
        "gateway.partner.example": ["198.51.100.77"],
        "dead.partner.example": DnsFailure("SERVFAIL"),
    },
)


@dataclass
class Clock:
    now: float = NOON

    def __call__(self) -> float:
        return self.now


@dataclass
class World:
    folder: Path
    services: Services
    clock: Clock

    @property
    def config(self) -> Config:
        return self.services.config

    def listener(self, name: str) -> Listener:
        return next(each for each in self.config.listeners if each.name == name)

    def policy(self, listener: str = "smtp") -> Policy:
        return self.services.policy(self.listener(listener))

    def client(self, ip: str = "203.0.113.5", listener: str = "smtp", *, local: bool = False) -> Client:
        return Client(ip, 4711, "client.example", self.listener(listener), local)

    def talk(
        self,
        ip: str = "203.0.113.5",
        listener: str = "smtp",
        *,
        local: bool = False,
        tls: bool = False,
        limits: SessionLimits | None = None,
    ) -> "Talk":
        basic = self.config.basic
        mechanisms = self.services.accounts.mechanisms()
        extensions = Extensions(
            helo_name=self.config.helo_name,
            max_message_size=basic.max_message_size,
            max_recipients=basic.max_recipients,
            starttls=self.listener(listener).tls == "starttls",
            auth=() if self.listener(listener).auth == "none" else mechanisms,
            auth_without_tls=basic.allow_auth_without_tls,
            vrfy=basic.allow_vrfy_expn,
            dsn_for_everyone=basic.offer_dsn == "everyone",
        )
        info = TlsInfo("TLSv1.3", "TLS_AES_256_GCM_SHA384", 256) if tls else None
        session = ServerSession(extensions, limits or SessionLimits(max_rset=basic.max_rset), tls=info)
        return Talk(session, Reception(session, self.client(ip, listener, local=local), self.services))

    def mailbox(self, address: str) -> list[bytes]:
        """The messages in new/ of an account, the oldest first."""
        local, _, domain = address.partition("@")
        new = self.folder / "mail" / domain / local / "new"
        return [path.read_bytes() for path in sorted(new.iterdir())] if new.exists() else []

    def queue(self) -> list[str]:
        return sorted(row.queue_id for row in self.services.spool.list())

    def leftovers(self) -> list[str]:
        """What should never stay behind: drafts of the spool and of the mail store."""
        incoming = self.folder / "mail" / ".incoming"
        drafts = [each for each in (self.folder / "spool" / "new").iterdir() if not each.stat().st_mode & 0o400]
        return [str(each) for each in [*drafts, *(incoming.iterdir() if incoming.exists() else ())]]

    def log(self) -> list[str]:
        """The lines, without stamp and host."""
        path = self.folder / "log"
        return [line.split(" ", 4)[-1].lstrip() for line in path.read_text().splitlines()] if path.exists() else []


@dataclass
class Talk:
    """A client at a session with its reception, as the server drives them."""

    session: ServerSession
    reception: Reception
    closed: bool = False

    def __call__(self, data: bytes = b"") -> bytes:
        """What the client hears after having sent this."""
        self.session.receive_data(data)
        while True:
            event = self.session.next_event()
            if isinstance(event, Pause):
                self.closed = self.closed or event is Pause.CLOSED
                return self.session.data_to_send()
            reply = self.reception.answer(event)
            if reply is not None:
                self.session.answer(reply)

    def line(self, command: str) -> str:
        """The reply to one command, without its line end."""
        return self(command.encode() + b"\r\n").decode().removesuffix("\r\n")

    def end(self, reason: str = "quit") -> None:
        self.reception.closed(reason)


def unchecked_world(folder: Path, extra: str = "", *, users: str = USERS, aliases: str = ALIASES) -> World:
    """A world without checks of incoming mail, for messages without an author: those would be in the junk folder."""
    return world(folder, f"{extra}[authentication]\ncheck = no\n", users=users, aliases=aliases)


_OPEN: list[Services] = []


def world(
    folder: Path,
    extra: str = "",
    *,
    users: str = USERS,
    aliases: str = ALIASES,
    resolver: Resolver = RESOLVER,
    config: str = CONFIG,
) -> World:
    """`extra` is more of the configuration; a section that is there already is written as `[basic]` only once."""
    (folder / "users").write_text(users)
    (folder / "aliases").write_text(aliases)
    parsed = parse(config.format(folder=folder) + extra, folder / "smtpd-classic.conf")
    clock = Clock()
    services = Services(
        config=parsed,
        accounts=Accounts(parsed),
        dns=resolver,
        runtime=Runtime(str(folder / "run"), parsed.access),
        spool=Spool(parsed.server.spool_folder),
        mail_store=MailStore(parsed.server.mail_folder, "mx.example.org"),
        log=Log(parsed.server.log),
        clock=clock,
    )
    os.makedirs(services.config.server.spool_folder, mode=0o700, exist_ok=True)
    services.spool.make()
    services.runtime.make()
    services.runtime.counters.attach(1)
    _OPEN.append(services)
    return World(folder, services, clock)


def close_worlds() -> None:
    """Close the files of all worlds. A fixture calls it after each module: hundreds of worlds are made in a run."""
    while _OPEN:
        services = _OPEN.pop()
        if isinstance(services.counters, FileCounterStore):
            services.counters.close()
        services.runtime.counters.close()
        services.log.close()
