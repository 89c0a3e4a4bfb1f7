"""The script of “make run”, with programs in the place of Python that note how they are called."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "conf" / "run"


def note_calls(path: Path, notes: Path, *, fails_at: str = "never", status: int = 0) -> None:
    """Put a program there that appends its words to `notes`, and ends with `status` when one of them is `fails_at`."""
    path.parent.mkdir(parents=True)
    path.write_text(
        f'#!/bin/sh\necho "$0 $*" >>{notes}\n'
        f'for word; do [ "$word" != {fails_at} ] || {{ echo "said by init" >&2; exit {status}; }}; done\n'
    )
    path.chmod(0o755)


def run(folder: Path, status: int) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run the script where `init` ends with `status`; return how it ended, and the calls."""
    project, place, notes = folder / "project", folder / "place", folder / "notes"
    note_calls(project / ".venv/bin/python", notes, fails_at="init" if status else "never", status=status)
    note_calls(place / "venv/bin/python", notes)
    (project / "conf").mkdir()
    shutil.copy(RUN, project / "conf/run")
    done = subprocess.run(
        [str(project / "conf/run")],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"SMTPD_CLASSIC_PLACE": str(place)},
    )
    return done, notes.read_text().splitlines()


def test_a_folder_that_the_service_user_cannot_enter_is_replaced_by_one_that_it_can(tmp_path: Path) -> None:
    done, calls = run(tmp_path, os.EX_NOPERM)
    place = tmp_path / "place"
    assert done.returncode == 0
    assert done.stderr == (
        f"The service user cannot enter {tmp_path}/project: using {place} for the program and the instance.\n"
    )
    assert calls == [
        ".venv/bin/python -m smtpd_classic init --no-hint instance",
        f"{place}/venv/bin/python -m pip install -q .",
        f"{place}/venv/bin/python -m smtpd_classic init --no-hint {place}/instance",
        f"{place}/venv/bin/python -m smtpd_classic --config {place}/instance/smtpd-classic.conf serve --hints",
    ]


@pytest.mark.parametrize("status", [0, os.EX_CANTCREAT])
def test_any_other_end_of_init_is_that_of_the_script(tmp_path: Path, status: int) -> None:
    done, calls = run(tmp_path, status)
    assert done.returncode == status
    assert done.stderr == ("said by init\n" if status else "")
    assert len(calls) == (1 if status else 2)
