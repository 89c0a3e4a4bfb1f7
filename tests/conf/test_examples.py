"""The example files for larger sites, loaded by the programs that they are for."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from redis import Redis
from redis.exceptions import RedisError

from smtpd_classic.config.editing import Edited
from tests.instance import free_port
from tests.shared_state.redis_server import valkey
from tests.tools import need
from tests.waiting import until

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "conf" / "examples"


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_haproxy_takes_its_file() -> None:
    assert "WARNING" not in run(need("haproxy"), "-c", "-f", str(EXAMPLES / "haproxy.cfg"))


def test_prometheus_takes_its_files() -> None:
    run(need("promtool"), "check", "config", str(EXAMPLES / "prometheus.yml"))
    assert "3 rules found" in run(need("promtool"), "check", "rules", str(EXAMPLES / "prometheus-alerts.yml"))


@pytest.mark.parametrize("name", ["redis", pytest.param("valkey", marks=pytest.mark.peers)])
def test_redis_and_valkey_never_drop_a_counter(name: str, tmp_path: Path) -> None:
    port = free_port()
    program = valkey() if name == "valkey" else (need("redis-server"),)
    command = [*program, str(EXAMPLES / "redis.conf"), "--port", str(port), "--dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            client = Redis(port=port, password="CHANGE-ME")
            until(lambda: answers(client), 20, lambda: f"{name} does not start")
            settings = client.config_get("maxmemory*", "appendonly")
            assert settings["maxmemory-policy"] == "noeviction"
            assert settings["appendonly"] == "yes"
            client.close()
        finally:
            process.terminate()


def test_the_steps_for_the_shared_state_give_the_password_that_redis_wants() -> None:
    assert re.search("^requirepass ", (EXAMPLES / "redis.conf").read_text(encoding="utf-8"), re.M)
    commands = re.findall(
        r"`smtpd-classic config set (\S+) (\S+) (\S+)`", (ROOT / "README.md").read_text(encoding="utf-8")
    )
    edited = Edited(ROOT / "conf" / "smtpd-classic.conf")
    for section, name, value in commands:
        edited.set(section, name, value)
    assert edited.text("server", "shared_state").startswith("redis://")
    assert edited.text("server", "shared_state_password_file") == "redis-password"


def answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except (RedisError, OSError):
        return False


def compose() -> dict[str, Any]:
    found = yaml.safe_load((EXAMPLES / "compose.yaml").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def test_docker_compose_takes_its_file(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "compose.yaml", tmp_path)
    (tmp_path / "valkey-password").write_text("secret\n")
    run(need("docker-compose"), "-f", str(tmp_path / "compose.yaml"), "config", "--quiet")


def test_the_services_have_the_volumes_ports_and_secrets_of_the_file() -> None:
    found, container = compose(), (ROOT / "Containerfile").read_text(encoding="utf-8")
    mail = found["services"]["mail"]
    volume = re.search(r"^VOLUME \[(.*)\]$", container, re.M)
    exposed = re.search(r"^EXPOSE (.*)$", container, re.M)
    assert volume
    assert exposed
    assert {each.split(":")[1] for each in mail["volumes"]} == set(re.findall(r'"([^"]+)"', volume[1]))
    assert {each.split(":")[1] for each in mail["ports"]} == set(exposed[1].split())
    used = {each.split(":")[0] for service in found["services"].values() for each in service["volumes"]}
    assert used == set(found["volumes"])
    assert {each for service in found["services"].values() for each in service["secrets"]} == set(found["secrets"])
    assert (EXAMPLES / mail["build"]["context"] / mail["build"]["dockerfile"]).resolve() == ROOT / "Containerfile"


@pytest.mark.skipif(os.geteuid() != 0, reason="the process must belong to another user")
def test_root_may_send_signals_to_the_service_user() -> None:
    """A stop by “init: true”, and “smtpd-classic reload”, are signals of root to a process of another user."""
    kept = ",".join(f"+{each.lower()}" for each in compose()["services"]["mail"]["cap_add"])
    rights = ["--no-new-privs", "--inh-caps=-all", f"--bounding-set=-all,{kept}"]
    with subprocess.Popen(["sleep", "60"], user=65534) as server:
        try:
            run(need("setpriv"), *rights, "sh", "-c", f"kill {server.pid}")
            assert server.wait(10) == -signal.SIGTERM
        finally:
            server.kill()


def test_the_container_copies_only_files_that_go_along() -> None:
    container = (ROOT / "Containerfile").read_text(encoding="utf-8")
    copied = {word for line in re.findall(r"^COPY (.*)$", container, re.M) for word in line.split()[:-1]}
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == kept
    assert all((ROOT / each).exists() for each in copied)
