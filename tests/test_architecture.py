"""The arrows of ARCHITECTURE.md, read from the import statements: down, or sideways where this table says so."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = ("smtpd_classic", "spool", "tui")

# part → (parts of ours that it may import, libraries that it may import). "smtpd_classic" before a part is left out.
# The longest part that a module's name starts with counts; a part may always import itself. "*" allows everything.
ARROWS: dict[str, tuple[set[str], set[str]]] = {
    # Leaves.
    "smtp": (set(), set()),
    "durable": (set(), set()),
    "spool": ({"durable"}, {"filelock"}),
    "config": ({"atomic_file", "domain_name"}, {"configupdater", "filelock"}),
    "smtpd_classic": (set(), set()),
    "atomic_file": ({"durable"}, set()),
    "log": (set(), set()),
    "domain_name": (set(), {"idna"}),
    "domain_patterns": ({"domain_name"}, set()),
    "hosts_file": (set(), set()),
    "interfaces": (set(), set()),
    "socket_timeouts": (set(), set()),
    "pool": ({"socket_timeouts"}, set()),
    "server.certificate": (set(), set()),
    "log_reader": (set(), set()),
    "log_source": ({"log_reader"}, set()),
    "runtime.hosts": (set(), set()),
    # What knows.
    "accounts": ({"atomic_file", "config", "domain_name", "dovecot", "pool", "smtp"}, {"argon2"}),
    "dovecot": ({"pool"}, set()),
    "dns": ({"domain_name", "hosts_file"}, {"dns"}),
    "keys": ({"atomic_file", "config", "dns", "mailauth"}, {"cryptography"}),
    "mailauth": ({"dns", "domain_name", "message"}, {"cryptography"}),
    "message": ({"config", "domain_name", "smtp"}, set()),
    "runtime": ({"atomic_file", "config", "shared_state"}, {"filelock"}),
    "milter": ({"config", "pool", "smtp"}, set()),
    "counters": ({"atomic_file", "config", "domain_name", "shared_state"}, set()),
    "shared_state": ({"config"}, {"redis"}),
    "sharing": ({"config", "counters", "runtime", "shared_state"}, set()),
    "srs": ({"config", "shared_state", "srs_senders"}, set()),
    "srs_senders": ({"shared_state"}, set()),
    "approval": ({"config", "spool"}, set()),
    "holds": ({"approval", "config", "spool"}, set()),
    "tnef": (set(), {"tnefparse"}),
    "mailstore": ({"durable"}, {"filelock"}),
    # What decides. The transports: no disk but through what is handed in, no queue, no checks.
    "client": (
        {
            "accounts",
            "atomic_file",
            "config",
            "dns",
            "domain_name",
            "domain_patterns",
            "interfaces",
            "keys",
            "mailauth",
            "mailstore",
            "message",
            "runtime.hosts",
        }
        | {"smtp", "socket_timeouts", "tnef"},
        set(),
    ),
    "schedule": ({"config"}, set()),
    "dsn": ({"domain_name", "message"}, set()),
    "postmaster": ({"accounts", "config", "dsn", "smtp", "spool"}, set()),
    "filters": ({"config", "dns", "domain_name", "message"}, set()),
    "policy": (
        {"accounts", "approval", "config", "counters", "dns", "domain_name", "filters", "interfaces", "mailauth"}
        | {"domain_patterns", "message", "milter", "smtp"},
        set(),
    ),
    "services": (
        {
            "accounts",
            "config",
            "counters",
            "dns",
            "domain_name",
            "filters",
            "keys",
            "log",
            "mailstore",
            "message",
            "milter",
            "policy",
            "runtime",
            "shared_state",
            "sharing",
            "spool",
            "srs",
        },
        set(),
    ),
    "reception": (
        {"accounts", "config", "counters", "dns", "domain_name", "mailauth", "log", "mailstore", "message", "policy"}
        | {"approval", "durable", "postmaster", "runtime", "services", "shared_state", "smtp", "spool", "tnef"},
        set(),
    ),
    # sendmail runs as anybody, knows the socket and maildrop/, and asks the program itself for what needs more.
    "submission": ({"message", "smtp"}, set()),
    "sendmail": ({"commands", "submission"}, set()),
    "explanation": (
        {
            "accounts",
            "client",
            "config",
            "dns",
            "filters",
            "log",
            "mailauth",
            "mailstore",
            "message",
            "policy",
            "runtime",
        }
        | {"services", "spool"},
        set(),
    ),
    # What drives.
    "retry": (
        {"accounts", "client", "config", "counters", "dns", "dsn", "keys", "log", "mailstore", "policy", "postmaster"}
        | {
            "approval",
            "domain_name",
            "holds",
            "message",
            "runtime",
            "runtime.hosts",
            "schedule",
            "shared_state",
            "smtp",
            "spool",
            "srs",
        },
        set(),
    ),
    "server.suites": ({"config"}, set()),
    "server.tls": ({"server.certificate", "server.suites"}, set()),
    "server.self_signed": ({"atomic_file", "domain_name", "server.tls"}, {"cryptography"}),
    "server": (
        {"config", "domain_name", "log", "policy", "reception", "runtime", "server.suites", "server.tls", "services"}
        | {"smtp", "socket_timeouts"},
        set(),
    ),
    "submission.pickup": ({"log", "submission", "submission.inject", "services", "spool"}, set()),
    "submission.inject": (
        {"dsn", "log", "message", "postmaster", "reception", "retry", "services", "spool", "submission"},
        set(),
    ),
    "daemon.privileges": (set(), set()),
    "client.probe": ({"client", "config", "dns", "milter", "smtp"}, set()),
    "doctor": (
        {
            "accounts",
            "atomic_file",
            "config",
            "daemon.privileges",
            "dns",
            "domain_name",
            "filters",
            "keys",
            "log_source",
            "mailauth",
            "milter",
        }
        | {"runtime", "shared_state", "sharing"}
        | {"server.tls", "spool"},
        set(),
    ),
    "backup": ({"atomic_file", "config", "durable", "keys", "smtpd_classic", "spool"}, set()),
    # The screens: files and a running instance's folder, never its sockets; the server's own code explains.
    "tui": (
        {"accounts", "atomic_file", "client.probe", "config", "counters", "dns", "doctor", "explanation", "filters"}
        | {
            "domain_name",
            "holds",
            "keys",
            "log_reader",
            "log_source",
            "policy",
            "runtime",
            "runtime.hosts",
            "server.certificate",
            "sharing",
            "spool",
        },
        {"urwid"},
    ),
    # What composes may know everything.
    "daemon": ({"*"}, {"filelock", "prometheus_client"}),
    "commands": ({"*"}, set()),
    "cli": ({"*"}, set()),
    "completion": ({"cli", "config"}, set()),
    "__main__": ({"cli"}, set()),
}
FORBIDDEN_IN_SMTP = {"socket", "ssl", "time", "os", "threading", "logging"}
STDLIB = frozenset(sys.stdlib_module_names)


def modules() -> list[Path]:
    return sorted(path for part in OURS for path in (ROOT / part).rglob("*.py"))


def dotted(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__").removeprefix("smtpd_classic.")


def part_of(name: str) -> str:
    fitting = [part for part in ARROWS if name == part or name.startswith(part + ".")]
    assert fitting, f"{name} is in no part of ARROWS: add it to the table and to the picture"
    return max(fitting, key=len)


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            assert node.module is not None
            for each in node.names:
                whole = f"{node.module}.{each.name}"
                is_module = (ROOT / (whole.replace(".", "/") + ".py")).exists() or (
                    ROOT / whole.replace(".", "/")
                ).is_dir()
                yield whole if is_module and node.module.split(".")[0] in OURS else node.module


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_arrows(path: Path) -> None:
    name = dotted(path)
    part = part_of(name)
    ours, libraries = ARROWS[part]
    for imported in imports(path):
        top = imported.split(".")[0]
        if top not in OURS:
            assert top in STDLIB or top in libraries or "*" in libraries, f"{name} imports {imported}"
            continue
        wanted = imported.removeprefix("smtpd_classic.")
        if wanted == "smtpd_classic" or "*" in ours:
            continue
        assert part_of(wanted) in ours | {part}, f"{name} ({part}) imports {imported}"


def test_the_retry_thread_knows_no_sockets_and_no_sessions() -> None:
    for path in (ROOT / "smtpd_classic" / "retry").rglob("*.py"):
        found = set(imports(path))
        assert not found & {"socket", "ssl", "smtpd_classic.smtp.session", "smtpd_classic.client.session"}, path


def test_the_protocol_does_no_input_or_output() -> None:
    for path in (ROOT / "smtpd_classic" / "smtp").rglob("*.py"):
        assert not FORBIDDEN_IN_SMTP & {imported.split(".")[0] for imported in imports(path)}, path


# The parts that compose are one floor at the top, with the programs that only call them.
COMPOSING = {part for part, (ours, _) in ARROWS.items() if ours & {"*", "cli", "commands"}}
MOST_FLOORS = 11


def floor(part: str) -> int:
    """Return the length of the longest chain of arrows that begins at a part."""
    below = ARROWS.keys() - COMPOSING if part in COMPOSING else ARROWS[part][0] - {part}
    return 1 + max(map(floor, below), default=0)


def test_the_house_has_few_floors() -> None:
    floors = {part: floor(part) for part in ARROWS}
    assert max(floors.values()) <= MOST_FLOORS, sorted(floors.items(), key=lambda each: each[1])[-5:]


def test_the_picture_shows_every_part() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    picture = text.partition("```\n")[2].partition("```")[0]
    shown = set(re.findall(r"[a-z_]\w*", picture))
    parts = {part.split(".")[0] for part in ARROWS} - {"smtpd_classic", "__main__"}
    assert parts - shown == set()


def test_the_page_names_every_file_at_the_top() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    top = {path.name for path in (ROOT / "smtpd_classic").glob("*.py")} - {"__init__.py"}
    assert {name for name in top if f"`{name}`" not in text} == set()
    assert len(text.splitlines()) <= 150


# Where a module or a function is not there yet: its present size, which only goes down.
LONG_MODULES: dict[str, int] = {}
LONG_FUNCTIONS: dict[str, int] = {}


def test_no_module_is_over_three_hundred_lines() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in modules()}
    assert {name: length for name, length in lengths.items() if length > LONG_MODULES.get(name, 300)} == {}


def test_functions_fit_a_screen() -> None:
    lengths: list[tuple[int, str]] = []
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno is not None
                name = f"{path.relative_to(ROOT)}:{node.name}"
                lengths.append((node.end_lineno - node.lineno + 1, name))
    lengths.sort()
    assert lengths[int(0.95 * len(lengths))][0] <= 20
    assert [each for each in lengths if each[0] > LONG_FUNCTIONS.get(each[1], 45)] == []
