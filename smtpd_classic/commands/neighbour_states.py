"""The programs beside the server in `smtpd-classic status`: milters, DNS lists, the shared state, Dovecot."""

import time
from collections.abc import Iterator
from typing import Any

from smtpd_classic.accounts.directory import IN_DOVECOT
from smtpd_classic.config import Config
from smtpd_classic.config.shared_url import parse_shared_url
from smtpd_classic.log import printable
from smtpd_classic.runtime import NeighbourStates, Runtime
from smtpd_classic.runtime.milter_counts import MICROSECONDS
from smtpd_classic.sharing import NAME

__all__ = ["dns_lists", "dovecot", "milters", "neighbour_lines", "shared_state"]


def _state(name: str, states: NeighbourStates) -> dict[str, Any]:
    """Return the fields of the last state of a program, and a word for it."""
    state = states.read(name)
    if state is None:
        return {"name": name, "since": None, "reason": "", "took_ms": None, "state": "not used yet"}
    return {**state._asdict(), "state": "down" if state.is_down else "up"}


def milters(config: Config, runtime: Runtime) -> list[dict[str, Any]]:
    """Return the state of each milter, as the messages of the last time left it, and its results since the start."""
    found = []
    for each in config.milters:
        state = _state(each.name, runtime.milters)
        results = runtime.counters.milter(each.name)
        spent_s = results.pop(MICROSECONDS) / 1e6
        more = {"address": each.address, "when_down": each.when_down, "results": results, "spent_s": spent_s}
        found.append({**state, **more})
    return found


def shared_state(config: Config, runtime: Runtime) -> dict[str, Any] | None:
    """Return the state of the shared state, as the last question left it; None without one."""
    if not config.server.shared_state:
        return None
    return {**_state(NAME, runtime.shared_state), "address": parse_shared_url(config.server.shared_state).plain}


def _since(found: dict[str, Any], consequence: str) -> str:
    """Return the words about a program that is down: since when, with which consequence, and the reason."""
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found["since"]))
    return f" since {since}, {consequence}: {found['reason']}"


def _shared_state_line(found: dict[str, Any]) -> str:
    words = f"{found['address']} {found['state']}"
    if found["state"] == "down":
        words += _since(found, "each server counts by itself")
    return f"{'shared state':15}{printable(words, 400)}"


def _milter_lines(found: list[dict[str, Any]]) -> Iterator[str]:
    for number, each in enumerate(found):
        words = f"{each['name']} {each['state']}"
        if each["state"] == "down":
            words += _since(each, f"when_down = {each['when_down']}")
        elif each["state"] == "up":
            words += f", {each['took_ms']:.0f} ms for the last message"
        yield f"{'' if number else 'milters':15}{printable(words, 400)}"


def dns_lists(config: Config, runtime: Runtime) -> list[dict[str, Any]]:
    """Return the state of each DNS list, as its last test left it."""
    found = []
    for each in (*config.filter.blocklists, *config.filter.allowlists):
        state = runtime.lists.read(each.zone)
        word = "not used yet" if state is None else "off" if state.reason else "used"
        found.append({"zone": each.zone, "state": word, "reason": state.reason if state is not None else ""})
    return found


def _list_lines(found: list[dict[str, Any]]) -> Iterator[str]:
    for number, each in enumerate(found):
        reason = f": {each['reason']}" if each["reason"] else ""
        yield f"{'' if number else 'lists':15}{printable(each['zone'] + ' ' + each['state'] + reason, 400)}"


def dovecot(config: Config, runtime: Runtime) -> list[dict[str, Any]]:
    """Return the state of each socket of Dovecot that knows the accounts, as its last request left it."""
    server = config.server
    if server.accounts != IN_DOVECOT:
        return []
    paths = {"auth-client": server.dovecot_auth, "auth-userdb": server.dovecot_userdb}
    return [{**_state(name, runtime.dovecot), "path": path} for name, path in paths.items()]


def _dovecot_lines(found: list[dict[str, Any]]) -> Iterator[str]:
    for number, each in enumerate(found):
        words = f"{each['path']} {each['state']}"
        if each["state"] == "down":
            words += _since(each, "clients are deferred")
        yield f"{'' if number else 'dovecot':15}{printable(words, 400)}"


def neighbour_lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of `status` about the programs."""
    yield from _milter_lines(found["milters"])
    yield from _list_lines(found["lists"])
    if found["shared_state"]:
        yield _shared_state_line(found["shared_state"])
    yield from _dovecot_lines(found["dovecot"])
