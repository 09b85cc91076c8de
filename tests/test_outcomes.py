"""A sample of what `python -m tests.outcomes` tries: status, message and medium agree on which tree is there."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_status_and_message_say_which_tree_is_there():
    command = [sys.executable, "-m", "tests.outcomes", "--step", "11"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line for line in done.stdout.splitlines() if line.startswith(("| N", "| recover"))]
    assert len(rows) == 63
    assert all("(new)" in row and ("(old)" in row or row.startswith("| recover")) for row in rows)
