"""The corpus that fuzzing has grown, a part of every field of every node, and what the worst media cost, counted. All
through the C core as it is built here."""

import subprocess
import sys
from pathlib import Path

import pytest

from .fuzz import build, seeds

CORPUS = Path(__file__).parent.parent / "fixtures" / "fuzz"
REPLAY = Path(build.__file__).parent / "replay.py"
STEP = 16


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    return lambda target: build.shared_object(target, folder)


def replay(*arguments):
    """How many inputs were looked at."""
    done = subprocess.run([sys.executable, REPLAY, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return int(done.stdout)


@pytest.mark.parametrize("target", build.TARGETS)
def test_the_corpus(compiled, target):
    files = sorted((CORPUS / target).iterdir())
    assert files
    assert replay(compiled(target), "corpus", *files) == len(files)


@pytest.mark.parametrize("target", ["read", "recover"])
def test_every_field(compiled, tmp_path, target):
    for name, data in seeds.bases():
        (tmp_path / name).write_bytes(data)
    step = STEP if target == "read" else 10 * STEP
    assert replay(compiled(target), "fields", step, *sorted(tmp_path.iterdir())) > 4000


def test_cost_grows_with_the_medium(tmp_path):
    """Operations and heap for each byte of the medium, whatever was made to be slow."""
    done = subprocess.run([build.worst(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
