"""The steps of the Containerfile, run one by one in a folder that holds a bare Debian."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Image"]

ROOT = Path(__file__).parents[2]
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Image:
    """The result of a build: its command, and the command that tells its health."""

    def __init__(self, tree: Path, **environ: str) -> None:
        """Build in `tree`. `environ` is for the steps alone, such as the place of packages."""
        self.tree = tree
        self.command: list[str] = []
        self.health = ""
        self.volumes: list[str] = []
        for word, rest in _steps():
            if word == "RUN":
                done = self.run(rest, **environ)
                assert done.returncode == 0, f"RUN {rest}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
            elif word == "COPY":
                self._copy(rest.split())
            elif word == "CMD":
                self.command = json.loads(rest)
            elif word == "HEALTHCHECK":
                self.health = rest.partition("CMD ")[2]
            elif word == "VOLUME":
                self.volumes = json.loads(rest)
            else:
                assert word in {"FROM", "EXPOSE"}, word

    def run(self, line: str, *prefix: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a line of shell in the tree. `prefix` is a command that runs another."""
        command = [*prefix, "chroot", str(self.tree), "/bin/sh", "-c", line]
        variables = {"PATH": _PATH, "DEBIAN_FRONTEND": "noninteractive", **environ}
        return subprocess.run(command, capture_output=True, text=True, timeout=1200, env=variables)

    def _copy(self, words: list[str]) -> None:
        *sources, target = words
        place = self.tree / target.lstrip("/")
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
            else:
                assert target.endswith("/")
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, place)


def _steps() -> Iterator[tuple[str, str]]:
    """Yield each instruction with its arguments; a line that ends in a backslash goes on."""
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        if word:
            yield word, " ".join(rest.split())
