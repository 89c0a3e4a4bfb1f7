"""Options that a reload cannot change: they wait for a restart of the server."""

from collections.abc import Iterator

from smtpd_classic.config.schema import SECTIONS, Config

__all__ = ["restart_reasons"]


def restart_reasons(old: Config, new: Config) -> tuple[str, ...]:
    """Return a sentence for each change from `old` to `new` that takes effect only after a restart."""
    return (*_options(old, new), *_ports(old, new))


def _options(old: Config, new: Config) -> Iterator[str]:
    for section in SECTIONS:
        before = {section.title(row): row for row in section.rows(old)}
        for row in section.rows(new):
            title = section.title(row)
            for option in section.options() if title in before else ():
                if option.restart and getattr(row, option.attribute) != getattr(before[title], option.attribute):
                    yield f"{option.name} in [{title}] takes effect after a restart."


def _ports(old: Config, new: Config) -> Iterator[str]:
    """The server gave up the right to open these ports when it became the service user."""
    open_already = {(address, listener.port) for listener in old.listeners for address in listener.address}
    for listener in new.listeners:
        if listener.port < 1024 and not {(each, listener.port) for each in listener.address} <= open_already:
            yield f"port {listener.port} of listener {listener.name} is opened after a restart: it is under 1024."
