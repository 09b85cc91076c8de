"""The pytest fixture `lab`: the built kernel lab, shared by all tests of a session."""

import os
import warnings

import pytest

from . import build
from .lab import Lab


@pytest.fixture(scope="session")
def lab():
    """Skips, loudly, only where the lab cannot be built at all; in CI that is a failure."""
    reason = build.missing()
    if reason is None:
        beside_others = "PYTEST_XDIST_WORKER" in os.environ
        return Lab(jobs=1 if beside_others else 2)
    if os.environ.get("CI") == "true":
        pytest.fail(f"the kernel lab must run in CI: {reason}")
    warnings.warn(f"KERNEL LAB SKIPPED: {reason}", stacklevel=1)
    pytest.skip(f"KERNEL LAB SKIPPED: {reason}")
