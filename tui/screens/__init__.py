"""The screens, once, in the order of the menu."""

from functools import partial

from tui.desk import Desk
from tui.screen import Place, Screen
from tui.screens import (
    access,
    accounts,
    aliases,
    direct,
    domains,
    items,
    listeners,
    log,
    queue,
    replace,
    settings,
    status,
    versions,
)

__all__ = ["PLACES"]

_ITEMS_NONE = "None. Press a, Insert or [Add]."


def _explain(desk: Desk) -> Screen:
    # It brings the policy, deliveries and DNS with it, for which the first screen need not wait.
    from tui.screens.explain import Explain  # noqa: PLC0415

    return Explain(desk)


PLACES = (
    Place("Status", "server", status.Status),
    Place("Basic Parameters", "server", partial(settings.Settings, attribute="basic"), ("basic",)),
    Place("Remote Delivery", "server", partial(settings.Settings, attribute="remote"), ("remote",)),
    Place(
        "Open Relay Domains",
        "server",
        partial(items.Items, attribute="open_relay", name="domains", thing="domain", none=_ITEMS_NONE),
        ("open_relay",),
    ),
    Place(
        "Trusted Hosts",
        "server",
        partial(items.Items, attribute="trusted", name="hosts", thing="host or network", none=_ITEMS_NONE),
        ("trusted",),
    ),
    Place("Direct Delivery", "server", direct.screen, ("direct", "direct_domains")),
    Place("Mail Header Replace", "server", replace.screen, ("replacements",)),
    Place("Listeners & TLS", "server", listeners.screen, ("listeners",)),
    Place("Access Control", "server", access.Access, ("access",)),
    Place("Authentication", "server", partial(settings.Settings, attribute="authentication"), ("authentication",)),
    Place("Signing & DNS", "server", partial(settings.Settings, attribute="signing"), ("signing",)),
    Place("Server", "server", partial(settings.Settings, attribute="server"), ("server",)),
    Place("Domains", "mail", domains.screen, ("domains",)),
    Place("Accounts", "mail", accounts.Accounts),
    Place("Aliases", "mail", aliases.Aliases),
    Place("Queue", "mail", queue.Queue, wide=True),
    Place("Log", "mail", log.Log, wide=True),
    Place("Explain", "mail", _explain),
    Place("File Versions", "mail", versions.Versions),
)
