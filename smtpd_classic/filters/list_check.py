"""The test of all DNS lists of a configuration, for the check, the doctor and the screens."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from smtpd_classic.config.kinds import DnsList
from smtpd_classic.config.problem import Problem
from smtpd_classic.config.schema import Config
from smtpd_classic.dns import Resolver
from smtpd_classic.filters.dns_lists import list_problem
from smtpd_classic.filters.resolvers import name_servers, public_resolver_problem

__all__ = ["TestedList", "list_warnings", "tested_lists"]

_AT_ONCE = 8


class TestedList(NamedTuple):
    """A list, the option that names it, and its problem or blank."""

    option: str
    zone: str
    problem: str


def tested_lists(config: Config, records: Resolver, servers: Iterable[str]) -> tuple[TestedList, ...]:
    """Test the lists through these name servers, several at once, because one that does not answer takes seconds."""
    options = config.filter
    not_allowed = public_resolver_problem(servers)
    asked = [("blocklists", each) for each in options.blocklists]
    asked += [("allowlists", each) for each in options.allowlists]

    def tested(one: tuple[str, DnsList]) -> TestedList:
        option, each = one
        is_useless = option == "allowlists" and not_allowed
        return TestedList(option, each.zone, not_allowed if is_useless else list_problem(records, each))

    if not asked:
        return ()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return tuple(pool.map(tested, asked))


def list_warnings(config: Config, records: Resolver) -> Iterator[Problem]:
    """Yield a warning for each list that is not used, with the line of its option."""
    for each in tested_lists(config, records, name_servers(config)):
        if each.problem:
            said = f"the list {each.zone} is not used: {each.problem}."
            yield Problem(config.path, config.line("filter", each.option), said, "warning")
