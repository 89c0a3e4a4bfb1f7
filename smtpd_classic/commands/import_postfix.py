"""`smtpd-classic import postfix`: writes the configuration of a Postfix into ours, as far as it has a counterpart."""

import os
import sys
from collections.abc import Sequence

from smtpd_classic.accounts import EditRefused, add_aliases
from smtpd_classic.commands.config import address_problems
from smtpd_classic.commands.failures import Refused
from smtpd_classic.commands.postfix_files import PostfixUnreadable, read_postfix
from smtpd_classic.commands.postfix_translation import Setting, translate
from smtpd_classic.config import ConfigProblems, load
from smtpd_classic.config.editing import ChangedMeanwhile, Edited, LockHeld
from smtpd_classic.config.titles import titled_option
from smtpd_classic.log import printable

__all__ = ["import_postfix"]

_LONGEST_LINE = 500


def import_postfix(path: str, folder: str) -> int:
    """Take over settings and aliases, and print all that is not taken over. Return the exit code."""
    try:
        postfix = read_postfix(folder)
    except PostfixUnreadable as problem:
        raise Refused(str(problem), os.EX_NOINPUT) from None
    found = translate(postfix, load(path).server.primary_domain)
    left = found.left
    try:
        _write_settings(path, found.settings, left)
        _write_aliases(path, list(found.aliases.items()), left)
        _write_settings(path, found.catch_alls, left)
    except (LockHeld, ChangedMeanwhile) as problem:
        raise Refused(str(problem), os.EX_TEMPFAIL) from None
    for sentence in left:
        print(printable(sentence, _LONGEST_LINE), file=sys.stderr)
    print(f"Not taken over, or in another way: {len(left)}, named above.", file=sys.stderr)
    print("The settings take effect with the next reload of the server.", file=sys.stderr)
    return os.EX_OK


def _write_settings(path: str, settings: Sequence[Setting], left: list[str]) -> None:
    """Write the settings in one change of the file; a sentence about each that is refused goes into `left`."""
    edited = Edited(path)
    wanted = _without_another_relay(edited, settings, left)
    known = _errors(edited)
    refused = [(setting, refusal) for setting in wanted if (refusal := _written(edited, setting))]
    if set(_errors(edited)) - set(known):  # one of them is wrong: each is tried alone, which takes long
        edited = Edited(path)
        refused = [(setting, refusal) for setting in wanted if (refusal := _refusal(edited, setting))]
    left.extend(f"{each.source}: {each.option or 'section'} in [{each.title}]: {why}" for each, why in refused)
    if edited.changed:
        print(edited.diff(), end="", file=sys.stderr)
        edited.apply()


def _without_another_relay(edited: Edited, settings: Sequence[Setting], left: list[str]) -> Sequence[Setting]:
    """Return the settings without those of the relay if the file has another one: each would get the other's login."""
    relay = next((each for each in settings if each.option == "relay_hosts"), None)
    if relay is None or not edited.is_set(relay.title, relay.option):
        return settings
    kind, old = titled_option(relay.title, relay.option).kind, edited.text(relay.title, relay.option)
    if not old or kind.parse(old) == kind.parse(relay.value):
        return settings
    hosts = ", ".join(relay.value.split("\n"))
    left.append(f"{relay.source}: {hosts}: not taken over; [remote] relay_hosts is {', '.join(old.split())} already.")
    return [each for each in settings if not each.option.startswith("relay_")]


def _refusal(edited: Edited, setting: Setting) -> str:
    """Write a setting, unless the file is wrong with it. Return the reason if nothing was written."""
    known = _errors(edited)
    try:
        had_section = edited.has(setting.title)
        is_set = bool(setting.option) and edited.is_set(setting.title, setting.option)
        old = edited.text(setting.title, setting.option) if is_set else ""
    except ValueError as problem:
        return str(problem)
    if refusal := _written(edited, setting):
        return refusal
    news = [each for each in _errors(edited) if each not in known]
    if news:
        _take_back(edited, setting, old, had_section)
    return news[0] if news else ""


def _written(edited: Edited, setting: Setting) -> str:
    """Write a setting. Return the reason if it cannot be written. An option that is set stays, but a list grows."""
    title, option, value = setting.title, setting.option, setting.value
    try:
        if not option:
            if not edited.has(title):
                edited.add(title)
        elif edited.is_set(title, option):
            edited.set(title, option, _combined(setting, edited.text(title, option)))
        else:
            edited.set(title, option, value)
    except ValueError as problem:
        return str(problem)
    return ""


def _combined(setting: Setting, old: str) -> str:
    """Return the value with those that are there already. Raises ValueError if another one is set."""
    kind = titled_option(setting.title, setting.option).kind
    if kind.parse(old) == kind.parse(setting.value):
        return old
    if not kind.many:
        raise ValueError(f"it is {kind.mask(old) if kind.mask else old} already, and stays so.")
    fresh = [each for each in setting.value.split("\n") if not set(kind.parse(each)) <= set(kind.parse(old))]
    return "\n".join([old, *fresh])


def _take_back(edited: Edited, setting: Setting, old: str, had_section: bool) -> None:
    if not had_section:
        edited.delete(setting.title)
    elif old:
        edited.set(setting.title, setting.option, old)
    else:
        edited.unset(setting.title, setting.option)


def _errors(edited: Edited) -> list[str]:
    """Return the errors of the file, and those of the addresses in it."""
    found = [problem.text for problem in edited.problems() if problem.is_error]
    return found or [problem.text for problem in address_problems(edited) or ()]


def _write_aliases(path: str, aliases: Sequence[tuple[str, Sequence[str]]], left: list[str]) -> None:
    try:
        added = add_aliases(load(path), aliases)
    except (EditRefused, ConfigProblems) as problem:
        left.append(f"aliases: none was added: {problem}")
        return
    left.extend(problem if name in problem else f"{name}: {problem}" for name, problem in added if problem)
    print(f"Aliases: {sum(not problem for _, problem in added)}.", file=sys.stderr)
