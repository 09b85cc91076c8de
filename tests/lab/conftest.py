"""Makes the kernel lab's fixture and its mark known to the tests of this directory."""

from .fixture import lab  # noqa: F401


def pytest_configure(config):
    config.addinivalue_line("markers", "lab: boots the kernel lab")
