"""The parameters and tables of Postfix in the terms of this server. Nothing is written here."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from smtpd_classic.accounts.aliases import parse_aliases
from smtpd_classic.commands.postfix_files import PostfixConfig, TableUnreadable, parse_next_hop, parse_table, words
from smtpd_classic.config.hosts import host_and_port_text

__all__ = ["Setting", "Translation", "translate"]

_NO_COUNTERPART = {
    *("compatibility_level", "config_directory", "queue_directory", "command_directory", "daemon_directory"),
    *("data_directory", "mail_owner", "setgid_group", "default_privs", "biff", "readme_directory", "html_directory"),
    *("manpage_directory", "sample_directory", "sendmail_path", "newaliases_path", "mailq_path", "append_dot_mydomain"),
    *("meta_directory", "shlib_directory", "debug_peer_level", "debugger_command", "alias_database", "mydomain"),
    *("inet_protocols", "mynetworks_style", "unknown_local_recipient_reject_code"),
    *("smtp_tls_session_cache_database", "smtpd_tls_session_cache_database", "smtputf8_enable", "maillog_file"),
}
_ADVICE = {
    "virtual_mailbox_maps": "; “import accounts” adds accounts",
    "virtual_transport": "; [server] mailbox has the place of the mailboxes",
    "mailbox_transport": "; [server] mailbox has the place of the mailboxes",
    "relay_recipient_maps": "; verify_recipients in [direct DOMAIN] asks the server of the domain",
}
_TAKEN = {
    *("mydestination", "myhostname", "myorigin", "mynetworks", "relay_domains", "relayhost", "message_size_limit"),
    *("virtual_mailbox_domains", "virtual_alias_domains", "virtual_alias_maps", "alias_maps", "transport_maps"),
    *("smtp_sasl_auth_enable", "smtp_sasl_password_maps", "smtp_tls_security_level", "smtp_tls_wrappermode"),
    "parent_domain_matches_subdomains",
}
_SECRET = re.compile(r"_(?:pw|pass|passwd|password)$")
_TLS_LEVEL = "smtp_tls_security_level"
_TLS_LEVELS = ("encrypt", "dane-only", "fingerprint", "verify", "secure")


class Setting(NamedTuple):
    """An option and its value; the section alone if the option is blank. `source` is the parameter of Postfix."""

    title: str
    option: str
    value: str
    source: str


class Translation:
    """The settings, catch-all addresses and aliases, and sentences about all that could not be taken over."""

    def __init__(self, postfix: PostfixConfig, primary: str) -> None:
        self._postfix = postfix
        self.settings: list[Setting] = []
        self.catch_alls: list[Setting] = []
        self.aliases: dict[str, tuple[str, ...]] = {}
        self.left: list[str] = []
        self.shared = self._plain_domains("mydestination")
        """The domains of one set of users: those of mydestination."""
        self.main = self._main_domain(primary)
        self.domains = {*self.shared, primary}
        self._direct: set[str] = set()
        self._relay_has_tls = False

    def run(self) -> None:
        self._local_domains()
        self._virtual_aliases()
        self._aliases()
        self._networks()
        self._relay()
        self._transports()
        self._relay_domains()
        self._single_values()
        for name, value in self._postfix.written.items():
            if name not in _TAKEN | _NO_COUNTERPART:
                shown = "(secret)" if _SECRET.search(name) else value or "blank"
                self._leave(name, f"{shown}: not taken over{_ADVICE.get(name, '')}.")

    def _set(self, source: str, title: str, option: str = "", value: str = "") -> None:
        self.settings.append(Setting(title, option, value, source))

    def _leave(self, source: str, sentence: str) -> None:
        self.left.append(f"{source}: {sentence}")

    # Domains -----------------------------------------------------------------------------------------------------

    def _main_domain(self, primary: str) -> str:
        origin = self._postfix.value("myorigin").lower()
        return next((each for each in (primary, origin) if each in self.shared), next(iter(self.shared), primary))

    def _plain_domains(self, name: str) -> list[str]:
        """Return the names in a parameter, without those that only this machine knows."""
        found = [each.lower().rstrip(".") for each in self._items(name)]
        return [each for each in dict.fromkeys(found) if "." in each and not each.startswith("localhost.")]

    def _items(self, name: str) -> Iterator[str]:
        """Yield the items of a list; those of a table are its keys."""
        for word in words(self._postfix.value(name)):
            if re.match(r"[a-z]+:", word):
                yield from (key for key, _ in self._table(name, word))
            elif word[0] in "!/" or "=" in word:
                self._leave(name, f"{word}: not taken over.")
            else:
                yield word

    def _table(self, name: str, place: str) -> list[tuple[str, str]]:
        try:
            return list(parse_table(self._postfix.read(place)))
        except TableUnreadable as problem:
            self._leave(name, f"{problem}.")  # not the place: “static:” and “inline:” hold a password
            return []

    def _rows(self, name: str) -> list[tuple[str, str]]:
        """Return the rows of all tables of a parameter; the first of each key counts."""
        found: dict[str, str] = {}
        for place in words(self._postfix.written.get(name, "")):
            for key, value in self._table(name, place):
                found.setdefault(key, value)
        return list(found.items())

    def _local_domains(self) -> None:
        others = [each for each in self.shared if each != self.main]
        if self.main in self.shared:
            self._set("mydestination", f"domain {self.main}")
        if others:
            self._set("mydestination", f"domain {self.main}", "aliases", "\n".join(others))
        for name in ("virtual_mailbox_domains", "virtual_alias_domains"):
            if name in self._postfix.written:
                for domain in self._plain_domains(name):
                    self._add_domain(name, domain)

    def _add_domain(self, source: str, domain: str) -> None:
        if domain not in self.domains:
            self.domains.add(domain)
            self._set(source, f"domain {domain}")

    # Aliases -----------------------------------------------------------------------------------------------------

    def _virtual_aliases(self) -> None:
        rows = self._rows("virtual_alias_maps")
        marked = {key.partition("@")[2] for key, _ in rows}
        for key, _ in rows:
            if key in marked and "virtual_alias_domains" not in self._postfix.written:
                self._add_domain("virtual_alias_maps", key)
        for key, value in rows:
            targets = tuple(words(value))
            if key.startswith("@"):
                self._catch_all(key[1:], targets)
            elif key not in marked:
                self._add_alias(key, targets)

    def _catch_all(self, domain: str, targets: tuple[str, ...]) -> None:
        source = "virtual_alias_maps"
        if len(targets) != 1:
            self._leave(source, f"@{domain}: a catch-all has one address here; an alias may lead on to several.")
        elif targets[0].startswith("@"):
            other = targets[0][1:].lower()
            if other in self.domains and domain not in self.shared:
                self.settings = [each for each in self.settings if each.title != f"domain {domain}"]
                self._set(source, f"domain {other}", "aliases", domain)
            else:
                self._leave(source, f"@{domain} {targets[0]}: not taken over.")
        else:
            title = f"domain {self.main if domain in self.shared else domain}"
            self.catch_alls.append(Setting(title, "catch_all", self._complete(targets[0]), source))

    def _aliases(self) -> None:
        for place in words(self._postfix.value("alias_maps")):
            try:
                text = self._postfix.read(place)
            except TableUnreadable as problem:
                if "alias_maps" in self._postfix.written:
                    self._leave("alias_maps", f"{place}: {problem}.")
                continue
            for entry in parse_aliases(text):
                if entry.problem:
                    self._leave("alias_maps", f"{place}:{entry.first}: {entry.problem}")
                else:
                    self._add_alias(entry.name, entry.targets)

    def _add_alias(self, name: str, targets: tuple[str, ...]) -> None:
        """Add an alias, unless there is one, or it only says that an address stands for itself."""
        address = self._complete(name).lower()
        complete = tuple(map(self._complete, targets))
        if [each.lower() for each in complete] != [address]:
            self.aliases.setdefault(address, complete)

    def _complete(self, name: str) -> str:
        local, at, domain = name.removeprefix("\\").rpartition("@")
        if not at:
            return f"{domain}@{self.main}"
        return f"{local}@{self.main}" if domain.lower() in {*self.shared, "localhost"} else name

    # Clients and the way out -------------------------------------------------------------------------------------

    def _networks(self) -> None:
        """Take over all networks, or none beside an exception or a table: without it they could be too wide."""
        found = [re.sub(r"[\[\]]", "", each) for each in words(self._postfix.value("mynetworks"))]
        odd = [each for each in found if not re.fullmatch(r"[0-9a-fA-F.:]+(/[0-9]+)?", each)]
        if odd:
            self._leave("mynetworks", f"not taken over because of {odd[0]}; write the networks into [trusted] hosts.")
            return
        taken = [each for each in found if not each.startswith("::ffff:")]  # IPv4, which the list has too
        if taken:
            self._set("mynetworks", "trusted", "hosts", "\n".join(taken))

    def _relay(self, source: str = "relayhost", written: str = "") -> None:
        relay = written or self._postfix.written.get("relayhost", "")
        if not relay:
            return
        hosts = self._hosts(source, relay)
        if not hosts:
            return
        level = self._postfix.written.get(_TLS_LEVEL, "")
        wrapped = self._postfix.written.get("smtp_tls_wrappermode") == "yes"
        self._set(source, "remote", "relay_hosts", "\n".join(hosts))
        self._set(source, "remote", "relay_always", "yes")
        if level in _TLS_LEVELS or wrapped:
            self._set(_TLS_LEVEL, "remote", "relay_ssl", "yes")
            self._relay_has_tls = True
        if self._postfix.written.get("smtp_sasl_auth_enable") == "yes":
            self._relay_login(relay)

    def _relay_login(self, relay: str) -> None:
        source = "smtp_sasl_password_maps"
        bare = re.sub(r":[^:\]]*$", "", relay).strip("[]").lower()
        logins = dict(self._rows(source))
        user, colon, password = (logins.get(relay.lower()) or logins.get(bare, "")).partition(":")
        if not colon:
            self._leave(source, f"it has no user and password of {relay}; set relay_user and relay_password.")
            return
        self._set(source, "remote", "relay_user", user)
        self._set(source, "remote", "relay_password", password)
        self._set(source, "remote", "relay_auth", "yes")

    def _transports(self) -> None:
        source = "transport_maps"
        for key, value in self._rows(source):
            transport, _, next_hop = value.partition(":")
            if transport in {"", "local", "virtual", "smtp", "relay"} and not next_hop:
                continue
            domain = key.removeprefix(".")
            if transport not in {"", "smtp", "relay"} or "@" in key or "localhost" in key or domain in self.domains:
                self._leave(source, f"{key} {value}: not taken over.")
            elif key == "*":
                self._catch_all_transport(value, next_hop)
            elif hosts := self._hosts(source, next_hop):
                self._direct.add(key)
                self._set(source, f"direct {key}", "hosts", "\n".join(hosts))

    def _catch_all_transport(self, value: str, next_hop: str) -> None:
        if self._postfix.written.get("relayhost"):
            self._leave("transport_maps", f"* {value}: not taken over, since there is a relayhost.")
        else:
            self._relay("transport_maps", next_hop)

    def _hosts(self, source: str, next_hops: str) -> list[str]:
        """Return the hosts of a list of next hops in the form of this server."""
        found = []
        for each in words(next_hops):
            hop = parse_next_hop(each)
            if hop is None:
                self._leave(source, f"{each}: not taken over.")
                continue
            if not hop.is_host:
                self._leave(source, f"{each}: Postfix looks up the MX of {hop.name}; here it is the host itself.")
            found.append(host_and_port_text(hop.name, 0 if hop.port == 25 else hop.port))
        return found

    def _relay_domains(self) -> None:
        source = "relay_domains"
        if source not in self._postfix.written:
            return
        parents = source in words(self._postfix.value("parent_domain_matches_subdomains"))
        for name in self._plain_domains(source):
            if name in self.domains:
                continue
            for pattern in (name, f".{name}") if parents and not name.startswith(".") else (name,):
                if pattern in self._direct:
                    self._set(source, f"direct {pattern}", "open", "yes")
                else:
                    self._set(source, "open-relay", "domains", pattern)

    def _single_values(self) -> None:
        for name, title, option in (
            ("myhostname", "basic", "helo_name"),
            ("message_size_limit", "basic", "max_message_size"),
        ):
            if name in self._postfix.written:
                self._set(name, title, option, self._postfix.written[name])
        level = self._postfix.written.get(_TLS_LEVEL, "")
        if level == "none":
            self._set(_TLS_LEVEL, "remote", "opportunistic_tls", "no")
        elif level not in {"", "may"} and not self._relay_has_tls:
            self._leave(_TLS_LEVEL, f"{level}: not taken over; only a relay can require TLS here.")


def translate(postfix: PostfixConfig, primary: str) -> Translation:
    """Return the configuration of a Postfix in the terms of a server with this primary domain."""
    found = Translation(postfix, primary)
    found.run()
    return found
