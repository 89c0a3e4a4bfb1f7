"""The arrows of ARCHITECTURE.md, read from the import statements: down, or sideways where this table says so."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = ("smtpd_classic", "spool", "tui")

# part → (parts of ours that it may import, libraries that it may import). "smtpd_classic" before a part is left out.
# The longest part that a module's name starts with counts; a part may always import itself. "*" allows everything.
ARROWS: dict[str, tuple[set[str], set[str]]] = {
    "spool": (set(), {"filelock"}),
    "atomic_file": (set(), set()),
    "log": (set(), set()),
    "smtp": (set(), set()),
    "config": ({"atomic_file"}, {"configupdater", "filelock"}),
    "delivery.folders": (set(), set()),
    "delivery.quota": (set(), set()),
    "delivery.incoming": ({"delivery.folders"}, {"filelock"}),
    "delivery.maildir": ({"delivery.folders", "delivery.incoming", "delivery.quota"}, {"filelock"}),
    # The transports: no disk but through what is handed in, no queue, no checks.
    "delivery": (
        {"accounts", "config", "delivery.folders", "delivery.maildir", "dns", "domain_name", "headers", "rewriting"}
        | {"smtp", "tnef", "trace"},
        set(),
    ),
    "schedule": ({"config"}, set()),
    "dsn": ({"headers", "trace"}, set()),
    "retry": (
        {"accounts", "config", "delivery", "delivery.maildir", "dns", "dsn", "log", "runtime", "schedule", "smtp"}
        | {"spool", "srs"},
        set(),
    ),
    "queue_rows": ({"spool"}, set()),
    "queue_selection": ({"queue_rows", "spool"}, set()),
    "domain_name": (set(), {"idna"}),
    "hosts_file": (set(), set()),
    "accounts": ({"atomic_file", "config", "domain_name", "smtp"}, {"argon2"}),
    "dns": ({"domain_name", "hosts_file"}, {"dns"}),
    "srs": (set(), set()),
    "headers": (set(), set()),
    "mailboxes": ({"smtp"}, set()),
    "trace": ({"headers", "smtp"}, set()),
    "phrase": (set(), set()),
    "rewriting": ({"config", "domain_name", "headers", "mailboxes", "phrase"}, set()),
    "policy": ({"accounts", "config", "dns", "domain_name", "headers", "mailboxes", "smtp", "trace"}, set()),
    "reception": (
        {"accounts", "delivery.incoming", "delivery.maildir", "dns", "headers", "log", "policy", "rewriting", "runtime"}
        | {"services", "smtp", "spool", "tnef", "trace"},
        set(),
    ),
    "services": (
        {"accounts", "config", "delivery.maildir", "dns", "log", "policy", "rewriting", "runtime", "spool", "srs"},
        set(),
    ),
    "explanation": (
        {"accounts", "config", "delivery.maildir", "dns", "log", "policy", "runtime", "services", "spool"},
        set(),
    ),
    # The screens: files and a running instance's folder, never its sockets; the server's own code explains.
    "tui": (
        {"accounts", "atomic_file", "certificate", "config", "explanation", "log_reader", "queue_rows", "runtime"}
        | {"spool"},
        {"urwid"},
    ),
    "smtpd_classic": (set(), set()),
    "runtime": ({"config"}, {"filelock"}),
    "certificate": (set(), set()),
    "log_reader": (set(), set()),
    "notify": (set(), set()),
    "privileges": (set(), set()),
    "proxy_protocol": (set(), set()),
    "signals": (set(), set()),
    "thread_pool": (set(), set()),
    "tls": ({"certificate"}, set()),
    "wire": ({"smtp"}, set()),
    "local_listener": ({"config", "domain_name", "smtp"}, set()),
    "terms": ({"config", "local_listener", "log", "reception", "runtime", "smtp", "tls"}, set()),
    "connection": ({"local_listener", "log", "proxy_protocol", "reception", "smtp", "terms", "wire"}, set()),
    "server": ({"config", "connection", "local_listener", "log", "smtp", "terms", "thread_pool", "wire"}, set()),
    "acceptor": ({"log", "server"}, set()),
    "life": ({"server", "signals"}, set()),
    "listening": ({"config", "local_listener", "runtime", "server"}, set()),
    # What sendmail does: started thousands of times by users who may not read the configuration.
    "submission": ({"headers", "phrase", "smtp"}, set()),
    "sendmail": ({"submission", "submission.administration"}, set()),
    "submission.administration": ({"*"}, set()),
    # What fetches that which sendmail has left.
    "local_session": ({"local_listener", "policy", "reception", "services", "smtp"}, set()),
    "posting": (
        {"dsn", "headers", "local_session", "log", "retry", "services", "spool", "submission", "trace"},
        set(),
    ),
    "pickup": ({"log", "posting", "services", "spool", "submission"}, set()),
    # What composes may know everything.
    "startup": ({"*"}, {"filelock"}),
    "instance": ({"*"}, set()),
    "children": ({"*"}, set()),
    "supervisor": ({"*"}, set()),
    "single": ({"*"}, set()),
    "daemon": ({"*"}, set()),
    "commands": ({"*"}, set()),
    "cli": ({"*"}, set()),
    "completion": ({"cli"}, set()),
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
        assert not found & {"socket", "ssl", "smtpd_classic.smtp.session", "smtpd_classic.delivery.session"}, path


def test_the_protocol_does_no_input_or_output() -> None:
    for path in (ROOT / "smtpd_classic" / "smtp").rglob("*.py"):
        assert not FORBIDDEN_IN_SMTP & {imported.split(".")[0] for imported in imports(path)}, path
