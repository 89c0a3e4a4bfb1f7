"""Rules about domains, their aliases, replaced addresses, and the files of users and aliases."""

from collections.abc import Iterator

from smtpd_classic.config.problem import Finding
from smtpd_classic.config.rule import Rule
from smtpd_classic.config.schema import Config, Replacement
from smtpd_classic.domain_name import comparable_address, comparable_domain

__all__ = ["RULES", "local_domains", "unsigned_domains"]


def local_domains(config: Config) -> frozenset[str]:
    """Return all domain names under which this server takes mail for its own mailboxes."""
    names = {config.server.primary_domain}
    for domain in config.domains:
        names |= {domain.name, *domain.aliases}
    return frozenset(names)


def unsigned_domains(config: Config) -> frozenset[str]:
    """Return the local domain names whose mail is never signed."""
    return frozenset(name for each in config.domains if each.sign == "no" for name in (each.name, *each.aliases))


def a_domain_is_written_in_one_way(config: Config) -> Iterator[Finding]:
    """Complain about a section for the other spelling of a domain: only one of the two would count."""
    written = {config.mail_domain: config.server.primary_domain}
    for domain in config.domains:
        first = written.setdefault(comparable_domain(domain.name), domain.name)
        if first != domain.name:
            said = f"{domain.name} is {first} in another spelling, and one of the two is not used: write both alike."
            yield Finding(f"domain {domain.name}", "", said, "warning")


def an_alias_is_one_domain(config: Config) -> Iterator[Finding]:
    names = {
        comparable_domain(name) for name in (config.server.primary_domain, *(each.name for each in config.domains))
    }
    owners: dict[str, str] = {}
    for domain in config.domains:
        for alias in domain.aliases:
            spelled = comparable_domain(alias)
            if spelled == comparable_domain(domain.name) and alias != domain.name:
                continue  # needless, for the domain is known in both spellings
            owner = owners.setdefault(spelled, f"an alias of {domain.name}")
            if spelled in names:
                said = f"{alias} is a domain of its own and cannot be an alias of {domain.name}."
                yield Finding(f"domain {domain.name}", "aliases", said)
            elif owner != f"an alias of {domain.name}":
                said = f"{alias} is {owner} already and cannot be one of {domain.name} too."
                yield Finding(f"domain {domain.name}", "aliases", said)


def a_local_domain_is_not_sent_away(config: Config) -> Iterator[Finding]:
    local = frozenset(map(comparable_domain, local_domains(config)))
    for direct in config.direct_domains:
        title = f"direct {direct.name}"
        if comparable_domain(direct.name) in local:
            said = f"{direct.name} is a local domain; its mail stays here and is never delivered directly."
            yield Finding(title, "", said)
        elif direct.name.startswith("."):
            inside = sorted(
                name
                for name in local_domains(config)
                if comparable_domain(name).endswith(comparable_domain(direct.name))
            )
            if inside:
                said = f"mail for {', '.join(inside)} stays here: local domains come before [direct {direct.name}]."
                yield Finding(title, "", said, "warning")


def notices_stay_here(config: Config) -> Iterator[Finding]:
    local = frozenset(map(comparable_domain, local_domains(config)))
    if comparable_domain(config.postmaster.rpartition("@")[2]) not in local:
        said = "the postmaster is an address of another server; bounces that fail there are kept in the queue."
        yield Finding("basic", "postmaster", said, "warning")
    for domain in config.domains:
        if domain.catch_all and comparable_domain(domain.catch_all.rpartition("@")[2]) not in local:
            said = f"all mail for unknown users of {domain.name}, spam included, is sent on to {domain.catch_all}."
            yield Finding(f"domain {domain.name}", "catch_all", said, "warning")


def replacements_do_not_go_in_circles(config: Config) -> Iterator[Finding]:
    rules = config.replacements
    towards = {comparable_address(old): _address(rule) for rule in reversed(rules) for old in rule.addresses}
    for rule in rules:
        seen = {_address(rule)}
        step = towards.get(_address(rule))
        while step is not None and step not in seen:
            seen.add(step)
            step = towards.get(step)
        if step == _address(rule):
            said = f"{_address(rule)} replaces an address and is itself replaced, and so on in a circle."
            yield Finding(f"replace {rule.name}", "addresses", said)


def _address(rule: Replacement) -> str:
    return comparable_address(rule.name.rpartition("<")[2].rstrip(">"))


def a_replacement_applies(config: Config) -> Iterator[Finding]:
    earlier: dict[tuple[str, str], str] = {}
    for rule in config.replacements:
        title = f"replace {rule.name}"
        ways = [way for way in ("local", "remote") if getattr(rule, way)]
        if not ways:
            said = "the rule does nothing: it is neither for local nor for remote recipients."
            yield Finding(title, "", said, "warning")
        for old in rule.addresses:
            first = [earlier.setdefault((comparable_address(old), way), rule.name) for way in ways]
            if any(name != rule.name for name in first):
                said = f"{old} is replaced by [replace {first[0]}] already; the first rule counts."
                yield Finding(title, "addresses", said, "warning")


def every_file_has_one_purpose(config: Config) -> Iterator[Finding]:
    files = {"the configuration file": config.path}
    options = ("users_file", "aliases_file", "spool_folder", "mail_folder", "run_folder", "log")
    for option in options:
        path = getattr(config.server, option)
        other = next((name for name, taken in files.items() if taken == path), None)
        if other:
            guilty = option if ("server", option) in config.lines else other  # one is perhaps the default
            yield Finding("server", guilty, f"{option} and {other} are the same: {path}.")
        files.setdefault(option, path)


def signatures_vouch_for_the_sender(config: Config) -> Iterator[Finding]:
    """Warn if every user can have mail signed in the name of every other."""
    offered = any(each.auth != "none" for each in config.listeners)
    if config.basic.require_own_sender or not offered or unsigned_domains(config) >= local_domains(config):
        return
    said = "without it every user can send signed mail (DKIM) in the name of every other."
    yield Finding("basic", "require_own_sender", said, "warning")


RULES: tuple[Rule, ...] = (
    signatures_vouch_for_the_sender,
    a_domain_is_written_in_one_way,
    an_alias_is_one_domain,
    a_local_domain_is_not_sent_away,
    notices_stay_here,
    replacements_do_not_go_in_circles,
    a_replacement_applies,
    every_file_has_one_purpose,
)
