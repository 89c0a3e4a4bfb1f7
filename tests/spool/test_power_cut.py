"""250 means: found again after a power cut. Tried on real file systems whose power is cut; only where loop mounts are
not allowed is this skipped."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.spool import power_cut
from tests.spool.power_cut import NOT_ALLOWED, Found
from tests.tools import need


def cut(folder: Path, *options: str) -> Found:
    need("mkfs.ext4")
    need("mkfs.xfs")
    command = [need("unshare"), "-m", "--propagation", "private", os.path.realpath(sys.executable), power_cut.__file__]
    done = subprocess.run(
        [*command, *options, str(folder), sysconfig.get_path("purelib")], capture_output=True, text=True, check=False
    )
    if done.returncode == NOT_ALLOWED or "unshare failed" in done.stderr:
        pytest.skip(f"NO POWER-CUT TEST: loop mounts are not allowed here, so durability is not shown: {done.stderr}")
    assert done.returncode == 0, done.stderr
    found = Found(*json.loads(done.stdout))
    print(f"{' '.join(options)}: {found.rounds} power cuts, {found.acknowledged} acknowledged, {len(found.lost)} lost")
    return found


@pytest.mark.parametrize("file_system", ["ext4", "xfs"])
@pytest.mark.parametrize("load", [["--busy", "--rounds", "3"], ["--rounds", "8"]], ids=["busy", "quiet"])
def test_nothing_acknowledged_is_lost(tmp_path: Path, file_system: str, load: list[str]) -> None:
    found = cut(tmp_path, "--file-system", file_system, *load)
    assert found.lost == []
    assert found.acknowledged >= found.rounds


@pytest.mark.parametrize("without", ["fsync", "folder"])
def test_missing_sync_is_noticed(tmp_path: Path, without: str) -> None:
    """The negative control: were this green without its syncs, the test above would show nothing."""
    assert cut(tmp_path, "--rounds", "4", "--without", without).lost


@pytest.mark.torture
@pytest.mark.parametrize(("file_system", "rounds"), [("ext4", "200"), ("xfs", "50")], ids=["ext4", "xfs"])
@pytest.mark.parametrize("load", [["--busy"], []], ids=["busy", "quiet"])
def test_nothing_acknowledged_is_lost_in_many_power_cuts(
    tmp_path: Path, file_system: str, rounds: str, load: list[str]
) -> None:
    found = cut(tmp_path, "--file-system", file_system, "--rounds", rounds, *load)
    assert found.lost == []
    assert found.acknowledged >= found.rounds
