"""What the running kernel says about itself as a reader."""

import gzip

import pytest

from jffs2tx.evidence import running_kernel
from jffs2tx.readers import READERS

SUMMARY = "CONFIG_JFFS2_FS=m\nCONFIG_JFFS2_SUMMARY=y\n# CONFIG_JFFS2_FS_XATTR is not set\n"
PLAIN = "CONFIG_JFFS2_FS=y\n# CONFIG_JFFS2_SUMMARY is not set\nCONFIG_JFFS2_FS_XATTR=y\n"


@pytest.mark.parametrize(
    ("release", "config", "name"),
    [
        ("6.1.0-44-amd64", SUMMARY, "linux-summary"),
        ("6.1.0", PLAIN, "linux-no-summary+xattr"),
        ("4.5.0", SUMMARY, "linux-summary"),
        ("4.4.302-vendor", SUMMARY, "linux-old"),
        ("2.6.22", PLAIN, "linux-old+xattr"),
    ],
)
def test_build_configuration(tmp_path, release, config, name):
    (tmp_path / "boot").mkdir()
    (tmp_path / "proc").mkdir()
    (tmp_path / "boot" / f"config-{release}").write_text(config)
    found, why = running_kernel(tmp_path, release)
    assert found == name and name in READERS and release in why and "/boot/config-" in why
    (tmp_path / "boot" / f"config-{release}").unlink()
    (tmp_path / "proc/config.gz").write_bytes(gzip.compress(config.encode()))
    assert running_kernel(tmp_path, release)[0] == name


@pytest.mark.parametrize(
    "content",
    [None, b"no gzip", gzip.compress(b"CONFIG_EXT4_FS=y\n"), gzip.compress(SUMMARY.encode())[:20]],
    ids=["none", "no gzip", "of another system", "cut short"],
)
def test_without_it_nothing_is_assumed(tmp_path, content):
    (tmp_path / "proc").mkdir()
    if content is not None:
        (tmp_path / "proc/config.gz").write_bytes(content)
    assert running_kernel(tmp_path, "6.1.0") == ("linux", None)
