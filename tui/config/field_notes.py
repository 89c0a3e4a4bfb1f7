"""A note below a field: the value that a blank one stands for, and the option that leaves this one without effect."""

from collections.abc import Callable

from smtpd_classic.config.option import Option
from tui.config.draft import ConfigDraft, Row

__all__ = ["note_of"]

_PRIMARY = ("server", "primary_domain")
_BLANKS: dict[tuple[str, str], Callable[[ConfigDraft], str]] = {
    ("basic", "postmaster"): lambda draft: f"postmaster@{_text(draft, *_PRIMARY) or 'the primary domain'}",
    ("basic", "helo_name"): lambda draft: _text(draft, *_PRIMARY) or "the primary domain",
    ("remote", "relay_retries"): lambda draft: f"until the life time ends ({_text(draft, 'basic', 'queue_lifetime')})",
    ("remote", "relay_mail_from"): lambda draft: "the sender's own address",
    ("remote", "source_address"): lambda draft: "chosen by the system",
    ("signing", "dmarc_reports_to"): lambda draft: "dmarc-reports at each domain",
    ("signing", "tls_reports_to"): lambda draft: "tls-reports at each domain",
}
_RELAY = ("relay_hosts", "relay_port", "relay_ssl", "relay_accept_any_certificate", "relay_retries", "relay_auth")
_LOGIN = ("relay_user", "relay_password", "relay_password_file", "relay_token_command")
_BLOCKING = ("max_failures", "failure_window", "block_time")
_CHECKING = ("spf_fail", "dmarc_quarantine", "dmarc_reject", "own_domains", "trusted_forwarders", "deadline")


def note_of(draft: ConfigDraft, row: Row, option: Option) -> str:
    """Return the note for an option of a plain section; blank if there is nothing to say."""
    attribute = row.section.attribute
    if row.section.is_table:
        return ""
    switch = _switched_off(draft, attribute, option.name)
    if switch:
        return f"no effect while {switch}"
    blank = _BLANKS.get((attribute, option.name))
    return f"blank → {blank(draft)}" if blank is not None and not row.text(option).strip() else ""


def _switched_off(draft: ConfigDraft, attribute: str, name: str) -> str:
    """Return the setting that leaves an option without effect; blank if there is none."""
    if attribute == "remote":
        return _relay_off(draft, name)
    if attribute == "access" and name in _BLOCKING and not _is_on(draft, "access", "auto_block"):
        return f"“{_label(draft, 'access', 'auto_block')}” is off"
    if attribute == "authentication" and name in _CHECKING and not _is_on(draft, "authentication", "check"):
        return f"“{_label(draft, 'authentication', 'check')}” is off"
    if attribute == "basic" and name == "open_relay_confirmed" and _is_on(draft, "basic", "close_open_relay"):
        return f"“{_label(draft, 'basic', 'close_open_relay')}” is on"
    return ""


def _relay_off(draft: ConfigDraft, name: str) -> str:
    if name in (*_RELAY, *_LOGIN, "relay_mail_from"):
        if not _is_on(draft, "remote", "relay_always") and not _is_on(draft, "remote", "relay_when_delivery_fails"):
            return "no mail goes to a relay"
        if name in _LOGIN and not _is_on(draft, "remote", "relay_auth"):
            return f"“{_label(draft, 'remote', 'relay_auth')}” is off"
    if name == "relay_when_delivery_fails" and _is_on(draft, "remote", "relay_always"):
        return f"“{_label(draft, 'remote', 'relay_always')}” is on"
    return ""


def _text(draft: ConfigDraft, attribute: str, name: str) -> str:
    row = draft.single(attribute)
    return row.text(row.section.option(name))


def _is_on(draft: ConfigDraft, attribute: str, name: str) -> bool:
    return _text(draft, attribute, name) == "yes"


def _label(draft: ConfigDraft, attribute: str, name: str) -> str:
    return draft.section(attribute).option(name).label
