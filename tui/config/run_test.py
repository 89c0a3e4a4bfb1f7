"""The way to a test from the screens of settings; the code of the client is imported when it is first needed."""

from tui.config.draft import Row
from tui.shell.context import AppContext

__all__ = ["run_test", "test_domain", "test_host"]


def run_test(context: AppContext, attribute: str, row: Row | None) -> None:
    """Open the test of the relay, or of a row of a table."""
    from tui.diagnosis.probe_dialog import test  # noqa: PLC0415

    test(context, attribute, row)


def test_domain(context: AppContext, domain: str) -> None:
    """Open the test of the way to a domain: its direct hosts, the relay, or the hosts of its MX records."""
    from smtpd_classic.client.probe import direct_domain_for  # noqa: PLC0415
    from tui.diagnosis.probe_dialog import ProbeDialog, direct_probe, relay_probe  # noqa: PLC0415

    config = context.source.config
    if config is not None and config.remote.relay_always and direct_domain_for(config, domain) is None:
        ProbeDialog(context, relay_probe()).begin()
    else:
        ProbeDialog(context, direct_probe(domain)).begin()


def test_host(context: AppContext, host: str, port: int) -> None:
    """Open the test of a host: the relay if it is one of its hosts, else the host alone without a login."""
    from tui.diagnosis.probe_dialog import ProbeDialog, host_probe, relay_probe  # noqa: PLC0415

    config = context.source.config
    relays = {each.name for each in config.remote.relay_hosts} if config is not None else set()
    ProbeDialog(context, relay_probe() if host in relays else host_probe(host, port)).begin()
