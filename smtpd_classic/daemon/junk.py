"""The thread that removes old junk from the mailboxes of this server."""

from collections.abc import Iterator

from smtpd_classic.accounts import EditRefused, list_accounts
from smtpd_classic.mailstore.junk import JunkExpiry
from smtpd_classic.services import Services

__all__ = ["junk_expiry"]


def junk_expiry(services: Services) -> JunkExpiry:
    """Return the expiry of the junk folders of all accounts."""
    config, log = services.config, services.log

    def folders() -> Iterator[str]:
        if not config.server.junk_folder:
            return
        try:
            accounts = list_accounts(config)
        except (EditRefused, OSError) as problem:
            log.warning("local", f"old junk is not removed now: {problem}")
            return
        for account in accounts:
            if account.folder:
                yield f"{account.folder}/{config.server.junk_folder}"

    age_s = config.server.junk_time.total_seconds()
    return JunkExpiry(folders, age_s, services.clock, lambda words: log.write("local", words))
