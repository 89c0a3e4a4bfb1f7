"""The doctor's rows about the shared state, with a Redis of Debian."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from smtpd_classic.doctor import CheckResult, CheckState
from tests.doctor.test_doctor import Patient
from tests.shared_state.redis_server import RedisServer

STATE, POLICY, SECRETS = "shared state", "maxmemory-policy of the shared state", "shared secrets"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    (tmp_path / "redis").mkdir()
    server = RedisServer(tmp_path / "redis", "--requirepass", "very secret")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def node(tmp_path: Path, redis: RedisServer) -> Patient:
    """A server with the secrets and the password of the shared state."""
    patient = Patient(tmp_path)
    for name in ("srs-secret", "approval-secret"):
        (tmp_path / name).write_text("x" * 64)
    (tmp_path / "password").write_text("very secret\n")
    patient.server_options = f"shared_state = {redis.url}\nshared_state_password_file = password\n"
    return patient


def rows(node: Patient) -> dict[str, CheckResult]:
    return {each.subject: each for each in node.rows() if each.subject in {STATE, POLICY, SECRETS}}


def test_a_shared_state_that_is_right_has_three_good_rows(node: Patient, redis: RedisServer) -> None:
    found = rows(node)
    assert {name: row.state for name, row in found.items()} == dict.fromkeys((STATE, POLICY, SECRETS), CheckState.GOOD)
    assert f"redis://127.0.0.1:{redis.port}/0 answers in " in found[STATE].found


def test_a_policy_that_drops_counters_is_wrong(node: Patient, redis: RedisServer) -> None:
    redis.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru", password="very secret")
    found = rows(node)[POLICY]
    assert (found.state, found.advice) == (CheckState.WRONG, "Set “maxmemory-policy noeviction” in its configuration.")


def test_another_secret_than_that_of_the_others_is_wrong(node: Patient, redis: RedisServer) -> None:
    redis.ask("SET", "smtpd-classic:fingerprint:approval-secret", "another", password="very secret")
    found = rows(node)[SECRETS]
    assert found.state is CheckState.WRONG
    assert "approval-secret is another one than that of the other servers" in found.found


def test_no_answer_and_no_password_are_wrong(node: Patient, redis: RedisServer, tmp_path: Path) -> None:
    redis.stop()
    found = rows(node)
    assert [found[name].state for name in (STATE, SECRETS)] == [CheckState.WRONG, CheckState.UNKNOWN]
    (tmp_path / "password").unlink()
    assert "password cannot be read" in rows(node)[STATE].found


def test_without_a_shared_state_there_are_no_rows(tmp_path: Path) -> None:
    assert rows(Patient(tmp_path)) == {}
