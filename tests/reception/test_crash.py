"""kill -9 while a message in several parts is taken."""

import subprocess
import sys
from pathlib import Path


def test_a_message_in_parts_is_killed_before_each_change_of_files(tmp_path: Path) -> None:
    """No recipient is lost after the client has come again, none gets more than one copy of each try, and no copy that
    must wait for approval is ever without its hold.
    """
    made = subprocess.run(
        [sys.executable, "-m", "tests.reception.crasher", str(tmp_path)], capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    assert int(made.stdout) >= 10
