"""Fuzzes the manifest parser with atheris: ManifestError or a manifest that is written and read again as it is.

python -m tests.fuzz.manifest [libFuzzer's options]
"""

from __future__ import annotations

import random
import re
import subprocess
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["jffs2tx.manifest"]):
    from jffs2tx.manifest import HEADER, Manifest

from jffs2tx.errors import ManifestError

SEEDS = (
    b". type=dir mode=0755 uid=0 gid=0 time=1700000000",
    b"./a type=file mode=0644 uid=0 gid=0 size=5 time=17 sha256=" + b"0" * 64 + b" nlink=2 inode=1 xattr.user.a=YQ==",
    b"./b type=file mode=0644 uid=0 gid=0 size=5 time=17 sha256=" + b"0" * 64 + b" nlink=2 inode=1 xattr.user.a=YQ==",
    b"./c type=link mode=0777 uid=0 gid=0 time=17.000 link=..\\040a",
    b"./d type=char mode=0600 uid=0 gid=0 time=0 device=1,3",
    b"./e type=block mode=0600 uid=1 gid=65535 time=4294967295 device=4095,1048575",
    b"./f type=fifo mode=7777 uid=0 gid=0 time=1",
    b"./g type=dir mode=0755 uid=0 gid=0 time=1 xattr.system.posix_acl_access=AgAAAA==",
    b"./g/h type=socket mode=0644 uid=0 gid=0 time=1",
)
WORDS = (
    *sorted({word for line in SEEDS for word in line.split()[1:]}),
    *(b"mode=", b"size=-1", b"size=2147483648", b"time=1.5", b"nlink=0", b"nlink=3", b"inode=2", b"type=", b"link="),
    *(b"uid=65536", b"device=1", b"device=4096,0", b"xattr.user.=", b"xattr.user.a=Y", b"link=\\000", b"sha256=0g"),
)
PATHS = (b".", b"./", b"./a", b"./a/b", b"./..", b"./\\057", b"./\\000", b"./\\", b"./g/i", b"./" + b"n" * 255, b"/a")


def look(data: bytes) -> None:
    try:
        manifest = Manifest.parse(data)
    except ManifestError as error:
        assert str(error)
        return
    text = manifest.to_text()
    assert Manifest.parse(text) == manifest
    renumbered = Manifest(manifest.entries)  # hard links count from 1
    assert Manifest.parse(renumbered.to_text()) == renumbered


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """A line more, less or elsewhere, a word more, less or another; lines mostly put in order again."""
    rand = random.Random(seed)
    lines = data.split(b"\n")[1:-1]
    for _ in range(rand.randint(1, 3)):
        at = rand.randrange(len(lines)) if lines else 0
        match rand.randrange(7):
            case 0:
                lines.insert(at, rand.choice(SEEDS))
            case 1 if lines:
                del lines[at]
            case 2 if lines:
                lines[at] = rand.choice(PATHS) + lines[at][lines[at].find(b" ") :]
            case 3 if lines:
                lines[at] = atheris.Mutate(lines[at], len(lines[at]) + 8).replace(b"\n", b" ")
            case _ if lines:
                words = lines[at].split(b" ")
                words[rand.randrange(len(words)) or -1 : rand.choice((None, len(words)))] = [rand.choice(WORDS)]
                lines[at] = b" ".join(words)
    if rand.randrange(8):
        lines.sort(key=lambda line: line.split(b" ")[0])
    return b"\n".join([HEADER, *lines, b""])[:max_size]


def in_a_process(folder: Path, seconds: int) -> tuple[int, float, bool, str]:
    """Runs, seconds, whether nothing was found, and what was said."""
    corpus = folder / "corpus" / "manifest"
    corpus.mkdir(parents=True, exist_ok=True)
    (corpus / "seed").write_bytes(b"\n".join([HEADER, *SEEDS, b""]))
    options = [f"-max_total_time={seconds}", "-max_len=2000", "-timeout=20", "-print_final_stats=1"]
    options += [f"-artifact_prefix={folder}/manifest-", str(corpus)]
    command = ["nice", "-n", "19", sys.executable, "-m", __name__, *options]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    runs = re.search(r"number_of_executed_units: *(\d+)", done.stderr)
    return int(runs[1]) if runs else 0, seconds, done.returncode == 0, done.stderr


if __name__ == "__main__":
    atheris.Setup(sys.argv, look, custom_mutator=mutate)
    atheris.Fuzz()
