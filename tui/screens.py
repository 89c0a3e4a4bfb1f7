"""The list of the screens, in the order of the menu. A screen is imported when it is first shown."""

from collections.abc import Callable
from importlib import import_module

from tui.shell.context import AppContext
from tui.shell.screen import MenuEntry, Screen
from tui.status.status_screen import StatusScreen

__all__ = ["MENU_ENTRIES"]

_ITEMS_NONE = "None. Press a, Insert or [Add]."


def _later(module: str, name: str, /, **words: str) -> Callable[[AppContext], Screen]:
    """Return a maker of a screen that imports its module at the first call: the first screen need not wait for it."""

    def make(context: AppContext) -> Screen:
        screen: Screen = getattr(import_module(f"tui.{module}"), name)(context, **words)
        return screen

    return make


def _settings(title: str, attribute: str) -> MenuEntry:
    make = _later("config.settings_screen", "SettingsScreen", attribute=attribute)
    return MenuEntry(title, "server", make, (attribute,))


def _items(title: str, attribute: str, name: str, thing: str) -> MenuEntry:
    words = {"attribute": attribute, "name": name, "thing": thing, "none": _ITEMS_NONE}
    return MenuEntry(title, "server", _later("config.items_screen", "ItemsScreen", **words), (attribute,))


MENU_ENTRIES = (
    MenuEntry("Status", "server", StatusScreen),
    _settings("Basic Parameters", "basic"),
    _settings("Remote Delivery", "remote"),
    _items("Open Relay Domains", "open_relay", "domains", "domain"),
    _items("Trusted Hosts", "trusted", "hosts", "host or network"),
    MenuEntry("Direct Delivery", "server", _later("config.direct_screen", "screen"), ("direct", "direct_domains")),
    MenuEntry("Mail Header Replace", "server", _later("config.replace_screen", "screen"), ("replacements",)),
    MenuEntry("Listeners & TLS", "server", _later("config.listeners_screen", "screen"), ("listeners",)),
    MenuEntry("Access Control", "server", _later("config.access_screen", "AccessScreen"), ("access",)),
    _settings("Authentication", "authentication"),
    _settings("SMTP Filter", "filter"),
    MenuEntry("Filter Rules", "server", _later("config.filter_rules_screen", "screen"), ("filter_rules",)),
    MenuEntry("Milters", "server", _later("config.milters_screen", "screen"), ("milter", "milters")),
    MenuEntry("Sending Limits", "server", _later("config.limits_screen", "screen"), ("limits",)),
    MenuEntry("Account Limits", "server", _later("config.account_limits_screen", "screen"), ("account_limits",)),
    MenuEntry("Approval", "server", _later("config.approval_screen", "screen"), ("approvals",)),
    MenuEntry("Signing & DNS", "server", _later("diagnosis.signing_screen", "SigningScreen"), ("signing",)),
    _settings("Server", "server"),
    MenuEntry("Domains", "mail", _later("config.domains_screen", "screen"), ("domains",)),
    MenuEntry("Accounts", "mail", _later("accounts.accounts_screen", "AccountsScreen")),
    MenuEntry("Aliases", "mail", _later("accounts.aliases_screen", "AliasesScreen")),
    MenuEntry("Groups", "mail", _later("config.groups_screen", "screen"), ("groups",)),
    MenuEntry("Archive", "mail", _later("config.settings_screen", "SettingsScreen", attribute="archive"), ("archive",)),
    MenuEntry("Queue", "mail", _later("queue.queue_screen", "QueueScreen"), wide=True),
    MenuEntry("Hosts", "mail", _later("diagnosis.hosts_screen", "HostsScreen")),
    MenuEntry("Connections", "mail", _later("status.connections_screen", "ConnectionsScreen")),
    MenuEntry("Log", "mail", _later("log.log_screen", "LogScreen"), wide=True),
    MenuEntry("Explain", "mail", _later("status.explain_screen", "ExplainScreen")),
    MenuEntry("Doctor", "mail", _later("diagnosis.doctor_screen", "DoctorScreen")),
    MenuEntry("File Versions", "mail", _later("config.versions_screen", "VersionsScreen")),
)
