"""Sets and deletes aliases. Every change is one atomic replacement of the aliases file, under its lock.

An edit that could not work is refused (`EditRefused`) before a file is written. The server picks up the change itself.
"""

from collections.abc import Collection, Sequence

from smtpd_classic.accounts.address import DomainTable, domain_table
from smtpd_classic.accounts.aliases import checked_name, format_alias, parse_aliases, parse_targets
from smtpd_classic.accounts.checks import findings, load_aliases, load_users
from smtpd_classic.accounts.consequences import refuse_worse
from smtpd_classic.accounts.locked_file import EditRefused, NotThere, appended, change_file
from smtpd_classic.accounts.reading import AliasTable, alias_key, read_aliases
from smtpd_classic.config.schema import Config

__all__ = ["add_aliases", "delete_alias", "list_aliases", "set_alias"]


def list_aliases(config: Config) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the aliases as they are written, in the order of the file, without lines that cannot be used."""
    aliases = load_aliases(config, domain_table(config))
    return tuple(aliases.targets.items())


def set_alias(config: Config, name: str, targets: Sequence[str]) -> None:
    """Add an alias, or give one other targets. Refused when one of them leads nowhere or round in a circle."""
    table = domain_table(config)
    key, written = _new_alias(name, targets, table)

    def change(text: str) -> str:
        spans = _spans_of(text, key, table)
        new = _replaced(text, spans, written) if spans else appended(text, written)
        refuse_worse(config, table, aliases=(_read(config, text), _read(config, new)), warnings=True)
        return new

    change_file(config.server.aliases_file, config.path, change)


def add_aliases(config: Config, aliases: Sequence[tuple[str, Sequence[str]]]) -> list[tuple[str, str]]:
    """Add aliases in one replacement of the file. Return the name of each with the reason why it was not added, blank
    if it was. An alias that exists stays as it is. Raises EditRefused if the file cannot be changed at all.
    """
    table = domain_table(config)
    refused: dict[str, str] = {}

    def change(text: str) -> str:
        refused.clear()
        before = _read(config, text)
        fresh: dict[str, str] = {}
        for name, targets in aliases:
            try:
                key, written = _new_alias(name, targets, table)
            except EditRefused as problem:
                refused[name] = str(problem)
                continue
            if key not in before.targets:
                fresh[key] = written
            elif before.targets[key] != _read(config, written).targets[key]:
                refused[name] = f"there is an alias {key} already."
        new = text
        while fresh:
            new = appended(text, "\n".join(fresh.values()))
            worse = _worse(config, table, before, _read(config, new), fresh)
            if not worse:
                break
            refused.update(worse)
            fresh = {key: written for key, written in fresh.items() if key not in worse}
        if not fresh:
            return text
        refuse_worse(config, table, aliases=(before, _read(config, new)), warnings=True)
        return new

    change_file(config.server.aliases_file, config.path, change)
    return [(name, refused.get(name, refused.get(alias_key(name, table)[0], ""))) for name, _ in aliases]


def _new_alias(name: str, targets: Sequence[str], table: DomainTable) -> tuple[str, str]:
    """Return the key and the lines of an alias. Raises EditRefused."""
    try:
        key, domain = alias_key(checked_name(name), table)
        written = format_alias(key, parse_targets(", ".join(targets)))
    except ValueError as problem:
        raise EditRefused(str(problem)) from None
    if domain and table.local(domain) is None:
        raise EditRefused(f"{domain} is not a local domain; “smtpd-classic domain add {domain}” makes it one.")
    return key, written


def _worse(
    config: Config, table: DomainTable, before: AliasTable, after: AliasTable, fresh: Collection[str]
) -> dict[str, str]:
    """Return the new aliases that cause a problem, each with a sentence."""
    users = load_users(config, table)._replace(whole=True)
    known = {each.text for each in findings(config, table, users, before._replace(whole=True))}
    keys = {line: key for key, line in after.lines.items() if key in fresh}
    found = findings(config, table, users, after._replace(whole=True))
    return {
        keys[each.line]: each.text
        for each in found
        if each.text not in known and each.file == config.server.aliases_file and each.line in keys
    }


def delete_alias(config: Config, name: str, *, force: bool = False) -> None:
    """Delete an alias. Refused, unless forced, when the postmaster or another alias would lead nowhere."""
    table = domain_table(config)
    key = alias_key(name, table)[0]

    def change(text: str) -> str:
        spans = _spans_of(text, key, table)
        if not spans:
            raise NotThere(f"there is no alias {key}.")
        new = _replaced(text, spans)
        if not force:
            refuse_worse(config, table, aliases=(_read(config, text), _read(config, new)), warnings=False)
        return new

    change_file(config.server.aliases_file, config.path, change)


def _spans_of(text: str, key: str, table: DomainTable) -> list[tuple[int, int]]:
    """Return the lines of the alias, counted from 0, first and behind the last; several if it stands there twice."""
    return [
        (each.first - 1, each.after - 1)
        for each in parse_aliases(text)
        if each.name and alias_key(each.name, table)[0] == key
    ]


def _replaced(text: str, spans: list[tuple[int, int]], new: str = "") -> str:
    """Return the text with `new` in place of the first span, without the others. Comments inside an entry go too."""
    lines = text.split("\n")
    for first, after in reversed(spans[1:]):
        del lines[first:after]
    first, after = spans[0]
    lines[first:after] = new.split("\n") if new else []
    return "\n".join(lines)


def _read(config: Config, text: str) -> AliasTable:
    return read_aliases(config.server.aliases_file, text, domain_table(config))
