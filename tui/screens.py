"""The list of the screens, in the order of the menu."""

from functools import partial

from tui.accounts.accounts_screen import AccountsScreen
from tui.accounts.aliases_screen import AliasesScreen
from tui.config import direct_screen, domains_screen, listeners_screen, replace_screen
from tui.config.access_screen import AccessScreen
from tui.config.items_screen import ItemsScreen
from tui.config.settings_screen import SettingsScreen
from tui.config.versions_screen import VersionsScreen
from tui.log.log_screen import LogScreen
from tui.queue.queue_screen import QueueScreen
from tui.shell.context import AppContext
from tui.shell.screen import MenuEntry, Screen
from tui.status.status_screen import StatusScreen

__all__ = ["MENU_ENTRIES"]

_ITEMS_NONE = "None. Press a, Insert or [Add]."


def _explain(context: AppContext) -> Screen:
    # Import these late: they import policy, delivery and DNS, and the first screen need not wait for them.
    from tui.status.explain_screen import ExplainScreen  # noqa: PLC0415

    return ExplainScreen(context)


def _doctor(context: AppContext) -> Screen:
    from tui.diagnosis.doctor_screen import DoctorScreen  # noqa: PLC0415

    return DoctorScreen(context)


def _signing(context: AppContext) -> Screen:
    from tui.diagnosis.signing_screen import SigningScreen  # noqa: PLC0415

    return SigningScreen(context)


MENU_ENTRIES = (
    MenuEntry("Status", "server", StatusScreen),
    MenuEntry("Basic Parameters", "server", partial(SettingsScreen, attribute="basic"), ("basic",)),
    MenuEntry("Remote Delivery", "server", partial(SettingsScreen, attribute="remote"), ("remote",)),
    MenuEntry(
        "Open Relay Domains",
        "server",
        partial(ItemsScreen, attribute="open_relay", name="domains", thing="domain", none=_ITEMS_NONE),
        ("open_relay",),
    ),
    MenuEntry(
        "Trusted Hosts",
        "server",
        partial(ItemsScreen, attribute="trusted", name="hosts", thing="host or network", none=_ITEMS_NONE),
        ("trusted",),
    ),
    MenuEntry("Direct Delivery", "server", direct_screen.screen, ("direct", "direct_domains")),
    MenuEntry("Mail Header Replace", "server", replace_screen.screen, ("replacements",)),
    MenuEntry("Listeners & TLS", "server", listeners_screen.screen, ("listeners",)),
    MenuEntry("Access Control", "server", AccessScreen, ("access",)),
    MenuEntry("Authentication", "server", partial(SettingsScreen, attribute="authentication"), ("authentication",)),
    MenuEntry("SMTP Filter", "server", partial(SettingsScreen, attribute="filter"), ("filter",)),
    MenuEntry("Sending Limits", "server", partial(SettingsScreen, attribute="limits"), ("limits",)),
    MenuEntry("Signing & DNS", "server", _signing, ("signing",)),
    MenuEntry("Server", "server", partial(SettingsScreen, attribute="server"), ("server",)),
    MenuEntry("Domains", "mail", domains_screen.screen, ("domains",)),
    MenuEntry("Accounts", "mail", AccountsScreen),
    MenuEntry("Aliases", "mail", AliasesScreen),
    MenuEntry("Queue", "mail", QueueScreen, wide=True),
    MenuEntry("Log", "mail", LogScreen, wide=True),
    MenuEntry("Explain", "mail", _explain),
    MenuEntry("Doctor", "mail", _doctor),
    MenuEntry("File Versions", "mail", VersionsScreen),
)
