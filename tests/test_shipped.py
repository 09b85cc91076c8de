"""What is shipped holds nothing of the test build."""

import re
from pathlib import Path

import pytest

from jffs2tx import _native
from jffs2tx._ffi import lib

from .mutants_table import CAUGHT_BY

MUTANTS_H = Path(__file__).parent.parent / "csrc" / "mutants.h"


@pytest.mark.skipif(hasattr(lib, "jx_mutant_count"), reason="this is the test build")
def test_no_seeded_mistake_is_left():
    names = re.findall(r"X\((\w+), \"(.+)\"\)", MUTANTS_H.read_text())
    assert len(names) >= 40 and {name for name, _ in names} <= CAUGHT_BY.keys()
    built = Path(_native.__file__).read_bytes()
    for name, sentence in names:
        assert name.encode() not in built and sentence.encode() not in built
    assert b"jx_mutant" not in built and b"jx_testing" not in built
