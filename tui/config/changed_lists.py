"""The test of the DNS lists before Apply: a list that is not used is named while its name is still on the screen."""

from smtpd_classic.config import Config, Problem
from tui.config.config_file import ConfigFile, checked

__all__ = ["changed_lists"]


def changed_lists(text: str, source: ConfigFile) -> tuple[Problem, ...]:
    """Test the lists of the new text, if they or the name servers have changed. Return warnings."""
    after, _ = checked(text, source.path)
    if after is None or (source.config is not None and _lists_of(after) == _lists_of(source.config)):
        return ()
    from smtpd_classic.dns import DnsResolver  # noqa: PLC0415 - the first screen need not wait for it
    from smtpd_classic.filters.list_check import list_warnings  # noqa: PLC0415

    return tuple(list_warnings(after, DnsResolver(after.server.name_servers)))


def _lists_of(config: Config) -> tuple[object, ...]:
    return config.filter.blocklists, config.filter.allowlists, config.server.name_servers
