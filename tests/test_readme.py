"""README.md's tour and Python example, run as they stand: what they print is what README shows.

`python -m tests.test_readme` writes README's outputs anew.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from jffs2tx.manifest import Manifest

README = Path(__file__).resolve().parent.parent / "README.md"
_BLOCK = re.compile(r"^```(console|python|output)\n(.*?)^```\n", re.M | re.S)
_OWNER = re.compile(r"\buid=\d+ gid=\d+")


def _run(words, folder, **more):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | {"PATH": path, "LC_ALL": "C", "TZ": "UTC"}
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False, umask=0o022, **more)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return _OWNER.sub("uid=0 gid=0", done.stdout)


def _console(text, folder):
    """A block of `$ command` lines with what each prints below it."""
    commands = [line for line in text.splitlines() if line.startswith("$ ")]
    return "".join(f"{line}\n{_run(['bash', '-ec', line[2:]], folder)}" for line in commands)


def shown_and_real(folder):
    """README's blocks, and README as it would be with what they really print."""
    printed = ""

    def replace(match):
        nonlocal printed
        kind, text = match.groups()
        if kind == "console":
            text = _console(text, folder)
        elif kind == "python":
            printed = _run([sys.executable, "-"], folder, input=text)
        else:
            text = printed
        return f"```{kind}\n{text}```\n"

    shown = README.read_text()
    return shown, _BLOCK.sub(replace, shown)


def test_readme_shows_what_its_commands_print(tmp_path):
    shown, real = shown_and_real(tmp_path)
    assert shown == real


def test_the_manifest_of_the_documentation_is_one():
    text = (README.parent / "docs/MANIFEST.md").read_text().split("```\n")[1]
    assert Manifest.parse(text).to_text().decode() == text


def test_links_between_documents_lead_somewhere():
    for document in (README, *README.parent.glob("docs/*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        README.write_text(shown_and_real(Path(name))[1])
