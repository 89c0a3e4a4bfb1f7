"""Rules about the shared state."""

from collections.abc import Iterator

from smtpd_classic.config.problem import Finding
from smtpd_classic.config.rule import Rule
from smtpd_classic.config.schema import Config
from smtpd_classic.config.shared_url import parse_shared_url

__all__ = ["RULES"]


def the_shared_state_has_one_password(config: Config) -> Iterator[Finding]:
    server = config.server
    if not server.shared_state_password_file:
        return
    if not server.shared_state:
        said = "shared_state_password_file has no effect: shared_state is blank."
        yield Finding("server", "shared_state_password_file", said, "warning")
    elif parse_shared_url(server.shared_state).password:
        said = "the URL in shared_state has a password, and shared_state_password_file is set; use one of them."
        yield Finding("server", "shared_state_password_file", said)


RULES: tuple[Rule, ...] = (the_shared_state_has_one_password,)
