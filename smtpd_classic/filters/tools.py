"""The lists and patterns of the SMTP Filter under one configuration, for all listeners of a process."""

from collections.abc import Callable
from typing import NamedTuple

from smtpd_classic.config.schema import Config
from smtpd_classic.dns import Resolver
from smtpd_classic.filters.dns_lists import DnsLists
from smtpd_classic.filters.patterns import NamePatterns
from smtpd_classic.filters.resolvers import name_servers, public_resolver_problem
from smtpd_classic.filters.rules import PreparedRule, prepared_rules

__all__ = ["FilterTools", "filter_tools"]


class FilterTools(NamedTuple):
    refused_senders: NamePatterns
    refused_hellos: NamePatterns
    blocklists: DnsLists
    allowlists: DnsLists
    rules: tuple[PreparedRule, ...]


def filter_tools(
    config: Config, records: Resolver, complain: Callable[[str], None], report: Callable[[str, str], None]
) -> FilterTools:
    """Return the tools. `complain` writes a warning into the log, `report` gets the result of each test of a list."""
    options = config.filter
    allowlists = options.allowlists
    problem = public_resolver_problem(name_servers(config)) if allowlists else ""
    if problem:
        complain(f"allowlists are not used: {problem}")
        for each in allowlists:
            report(each.zone, problem)
        allowlists = ()
    return FilterTools(
        NamePatterns(options.refuse_senders),
        NamePatterns(options.refuse_hellos),
        DnsLists(options.blocklists, records, complain, report=report),
        DnsLists(allowlists, records, complain, report=report),
        prepared_rules(config.filter_rules),
    )
