"""The command line: options in, calls to jffs2tx.ops, text or JSON out, one sentence and a status on failure.

README has the table of exit statuses. What a command needs is imported when it runs, so that --help is quick.
"""

from __future__ import annotations

import errno
import functools
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jffs2tx import __version__
from jffs2tx.errors import Damaged, HostError, Jffs2txError, printable
from jffs2tx.outcome import DONE, FAILED, UNFINISHED, UNREADABLE, Tree, interruptible, sentence, status_of
from jffs2tx.readers import READERS, Strategy

if TYPE_CHECKING:
    from jffs2tx.image import Image

FOUND = 1
BROKEN_PIPE = 141
ERASE_SIZE_MAX_BYTES = 1 << 20  # of usual flash
MESSAGE_CHARS_MAX = 1000  # of a sentence; paths of the user's can be of any length


class Size(click.ParamType):
    """A number of bytes: 131072, 0x20000, 128KiB, 64M (binary units). zero: it may be 0."""

    name = "size"

    def __init__(self, zero: bool = False) -> None:
        self.zero = zero

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(0x[0-9a-f]{1,12}|[0-9]{1,15})\s*(?:([kmg])(?:ib)?)?", value.strip().lower())
        if not match or (match[2] and match[1].startswith("0x")):
            self.fail(f"'{value}' is not a size such as 131072, 0x20000, 128KiB or 64MiB", param, ctx)
        number = (
            int(match[1], 16 if match[1].startswith("0x") else 10) << {None: 0, "k": 10, "m": 20, "g": 30}[match[2]]
        )
        if number == 0 and not self.zero:
            self.fail("must not be 0", param, ctx)
        return number


class Group(click.Group):
    """Commands are listed in the order in which they are defined here."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


# ---- options that several commands share -----------------------------------------------------------------------------

target_argument = click.argument("target")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
quiet_option = click.option("--quiet", "-q", is_flag=True, help="Show no progress and no report.")


def medium_options(command: Callable) -> Callable:
    """The options that describe the medium where it does not show it; handed on as one dict, `medium`."""

    @click.option("--erase-size", type=Size(), help="Size of an eraseblock.")
    @click.option("--page-size", type=Size(), help="Page of a page-programmed NAND; without it bit-writable NOR.")
    @click.option("--oob-size", type=Size(), help="OOB behind each page of a dump, as nanddump --oob writes it.")
    @click.option(
        "--device-size", type=Size(), help="Size of the device where the image is shorter; the rest is erased."
    )
    @click.option("--endian", type=click.Choice(["little", "big"]), help="Byte order.")
    @click.option("--offset", type=Size(zero=True), help="Where in the file the file system starts.")
    @click.option("--length", type=Size(), help="Bytes of the file that are the file system's.")
    @functools.wraps(command)
    def wrapper(erase_size, page_size, oob_size, device_size, endian, offset, length, **arguments):
        medium = {
            "erase_size": erase_size,
            "page_size": page_size,
            "oob_size": oob_size,
            "device_size": device_size,
            "endian": endian,
            "offset": offset,
            "length": length,
        }
        return command(medium=medium, **arguments)

    return wrapper


@contextmanager
def opened(target: str, medium: dict, writable: bool = False) -> Iterator[Image]:
    """The target, with what had to be guessed about it printed on stderr."""
    from jffs2tx.image import open_image

    with open_image(target, writable=writable, **medium) as image:
        for guess in image.guesses:
            click.echo(f"jffs2tx: guessed: {guess}", err=True)
        try:
            yield image
        except HostError as error:  # whatever was done then, it is about the image file
            raise error if error.path == target else HostError(str(error), path=target) from None


@contextmanager
def telling(tree: Tree | None = None) -> Iterator[list[Image]]:
    """Whatever ends a command that writes carries which tree is there then, for main(): that of the image which the
    command puts into the list, or `tree`, of what was not refused.
    """
    images: list[Image] = []
    try:
        yield images
    except BaseException as error:
        if images and (tree is None or isinstance(error, KeyboardInterrupt | OSError)):
            error.tree = tree or images[0].flash.tree
        raise


def warn(facts: dict) -> None:
    """Warnings are for people to see, whatever else is shown."""
    for warning in facts.get("warnings", ()):
        click.echo(f"jffs2tx: warning: {warning}", err=True)


def reading_options(command: Callable) -> Callable:
    """What comes out of damaged files: a member of jffs2tx.damage.Reading, `reading`."""

    @click.option(
        "--strict", is_flag=True, help="Write nothing of a damaged file; without, what the kernel shows of it."
    )
    @click.option("--as-kernel", is_flag=True, help="Report only what the kernel fails to read.")
    @functools.wraps(command)
    def wrapper(strict, as_kernel, **arguments):
        if strict and as_kernel:
            raise click.UsageError("--strict and --as-kernel exclude each other", click.get_current_context())
        reading = "strict" if strict else "as-kernel" if as_kernel else "report"
        return command(reading=reading, **arguments)

    return wrapper


@dataclass(frozen=True)
class Upgrade:
    """What an upgrade is told: see upgrade_options."""

    target: str
    manifest: str
    source: str
    strategy: str
    readers: tuple[str, ...]

    @contextmanager
    def opened(self, medium: dict, writable: bool = False) -> Iterator[tuple[Image, dict]]:
        """The target, and the rest as the functions of ops take it. NoSpace says what the file may not show."""
        from jffs2tx.errors import NoSpace
        from jffs2tx.manifest import Manifest
        from jffs2tx.source import Source

        tree = Manifest.parse(Path(self.manifest).read_bytes(), _room(self.target, medium["device_size"]))
        with Source(self.source) as files, opened(self.target, medium, writable) as image:
            try:
                yield image, {"manifest": tree, "source": files, "strategy": self.strategy, "readers": self.readers}
            except NoSpace as error:
                if medium["device_size"] is None and image.location and image.location.to_file_end:
                    raise NoSpace(f"{error}; if the flash is larger than this file, say --device-size") from None
                raise


def _room(target: str, device_size: int | None) -> int | None:
    """The most bytes that a target can have; None: unknown until it is opened. An image may end within a block."""
    try:
        status = os.stat(target)
    except OSError:  # that is said when it is opened
        return None
    if device_size is None and not stat.S_ISREG(status.st_mode):
        return None
    return max(device_size or 0, status.st_size + ERASE_SIZE_MAX_BYTES)


def upgrade_options(command: Callable) -> Callable:
    """TARGET, MANIFEST and how to upgrade the one to the other; handed on as one Upgrade, `upgrade`."""

    @target_argument
    @click.argument("manifest")
    @click.option("--from", "source", required=True, metavar="SOURCE", help="Directory with the new files.")
    @click.option(
        "--strategy",
        type=click.Choice(["auto", *(s.value for s in Strategy)]),
        default="auto",
        show_default=True,
        help="How to commit.",
    )
    @click.option(
        "--reader",
        "readers",
        type=click.Choice(list(READERS)),
        multiple=True,
        help="Who must see wholly the old or wholly the new tree; may be repeated.  [default: linux; of a device the "
        "running kernel as it was built]",
    )
    @functools.wraps(command)
    def wrapper(target, manifest, source, strategy, readers, **arguments):
        return command(upgrade=Upgrade(target, manifest, source, strategy, readers), **arguments)

    return wrapper


# ---- commands --------------------------------------------------------------------------------------------------------


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="jffs2tx")
def cli() -> None:
    """Lands an upgrade on a JFFS2 file system as one atomic transaction."""


@cli.command()
@click.argument("source")
@click.option("--output", "-o", metavar="FILE", help="Where to write it; - or without: stdout.")
@quiet_option
def manifest(source: str, output: str | None, quiet: bool) -> None:
    """Write the manifest of the directory SOURCE."""
    from jffs2tx.manifest import Manifest
    from jffs2tx.newfile import new_file
    from jffs2tx.progress import reporter

    with reporter(quiet) as progress:
        text = Manifest.from_directory(source, progress).to_text()
    if output in (None, "-"):
        sys.stdout.buffer.write(text)
    else:
        with new_file(Path(output), streams=True) as file:
            file.write(text)


@cli.command()
@upgrade_options
@medium_options
@json_option
def plan(upgrade, medium, as_json) -> None:
    """Show what an upgrade of TARGET to MANIFEST would write; writes nothing."""
    from jffs2tx import ops, output

    with upgrade.opened(medium) as (image, arguments):
        facts = ops.plan(image, **arguments)
    warn(facts)
    output.result(facts, as_json)


@cli.command()
@upgrade_options
@medium_options
@click.option("--yes", is_flag=True, help="Even where the owners of all files change, devices go, or much is removed.")
@json_option
@quiet_option
@click.pass_context
def apply(ctx, upgrade, medium, yes, as_json, quiet) -> None:
    """Upgrade TARGET to MANIFEST in one transaction."""
    from jffs2tx import ops, output
    from jffs2tx.progress import reporter

    with telling() as images:
        with upgrade.opened(medium, writable=True) as (image, arguments), reporter(quiet) as progress:
            images.append(image)
            facts = ops.apply(image, progress=progress, yes=yes, **arguments)
        warn(facts)
        if as_json or not quiet:
            output.result(facts, as_json)
            sys.stdout.flush()
    if facts.get("unsettled"):
        ctx.exit(UNFINISHED)


@cli.command()
@upgrade_options
@click.option(
    "--faults",
    default="F1,F2,F3,F4,F5",
    show_default=True,
    metavar="F1,F2...",
    help="Kinds of faults to try; all adds the slow F6.",
)
@click.option(
    "--depth",
    type=click.IntRange(1, 3),
    default=1,
    show_default=True,
    help="1: recover is run after each cut between two operations; 2: after every cut, and is cut again everywhere; "
    "3: some of these recoveries are cut a third time.",
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only a sample of N crash images at most.")
@click.option("--jobs", "-j", type=click.IntRange(1, 256), help="Threads.  [default: one for each processor]")
@click.option("--replay", "token", metavar="TOKEN", help="Build this one crash image, keep it, and say what differs.")
@click.option("--output", "-o", metavar="IMAGE", help="With --replay: where to keep it.  [default: named by the token]")
@medium_options
@json_option
@quiet_option
@click.pass_context
def torture(ctx, upgrade, faults, depth, limit, jobs, token, output, medium, as_json, quiet) -> None:
    """Upgrade a copy of TARGET in memory and cut the power everywhere: each crash image is old, new, or a failure.

    TARGET is not written. Exit status 1 where the promise is broken.
    """
    from jffs2tx import ops, output_torture
    from jffs2tx import output as out
    from jffs2tx.progress import reporter

    if output and not token:
        raise click.UsageError("-o keeps the image of --replay", ctx)
    with upgrade.opened(medium) as (image, arguments), reporter(quiet) as progress:
        arguments["progress"] = progress
        if token:
            facts = ops.replay(image, token=token, output=Path(output) if output else None, **arguments)
        else:
            facts = ops.torture(image, faults=faults, depth=depth, limit=limit, jobs=jobs, **arguments)
    if as_json:
        out.result(facts, as_json)
    else:
        (output_torture.replay if token else output_torture.table)(facts)
    if facts.get("failure_count"):
        ctx.exit(FOUND)


@cli.command()
@target_argument
@medium_options
@json_option
@quiet_option
def recover(target, medium, as_json, quiet) -> None:
    """Finish or clear what a power cut left on TARGET; may be run at any time, any number of times."""
    from jffs2tx import ops, output
    from jffs2tx.progress import reporter

    with telling(Tree.SAME) as images, opened(target, medium, writable=True) as image, reporter(quiet) as progress:
        images.append(image)
        facts = ops.recover(image, progress=progress)
    if as_json or not quiet:
        output.result(facts, as_json)


@cli.command()
@target_argument
@medium_options
@json_option
def status(target, medium, as_json) -> None:
    """Show geometry, byte order, space and the last transaction of TARGET."""
    from jffs2tx import ops, output

    with opened(target, medium) as image:
        output.result(ops.status(image), as_json)


@cli.command()
@json_option
def readers(as_json) -> None:
    """Show who reads a medium, and by which strategy on which flash each sees wholly the old or the new tree."""
    from jffs2tx import ops, output, output_readers

    facts = ops.readers()
    if as_json:
        output.result(facts, as_json)
    else:
        output_readers.tables(facts["readers"])


@cli.command()
@target_argument
@medium_options
@json_option
def dump(target, medium, as_json) -> None:
    """Show every node of TARGET in medium order, with verdict and fields."""
    from jffs2tx import ops, output

    with opened(target, medium) as image:
        (output.json_lines if as_json else output.node_lines)(ops.dump(image))


@cli.command()
@target_argument
@click.argument("path", default="/")
@click.option("--long", "-l", "long", is_flag=True, help="Show mode, owners, size, time and target.")
@click.option("--recursive", "-R", "recursive", is_flag=True, help="Show what is below as well.")
@medium_options
@json_option
@click.pass_context
def ls(ctx, target, path, long, recursive, medium, as_json) -> None:
    """List the directory PATH of TARGET.

    Exit status 1 where something in it is damaged; with --json the last line lists it.
    """
    from jffs2tx import ops, output

    with opened(target, medium) as image:
        entries = ops.ls(image, path=_inside(path), recursive=recursive)
        if not as_json:
            output.entry_lines(entries, long)
            return
        try:
            output.json_lines(map(output.entry_facts, entries))
        except Damaged as error:
            output.json_lines([{"damaged": [one.facts() for one in error.damage]}])
            ctx.exit(FOUND)


@cli.command()
@target_argument
@click.argument("path")
@reading_options
@medium_options
def cat(target, path, reading, medium) -> None:
    """Write the content of the file PATH of TARGET to stdout.

    Exit status 1 where it is damaged.
    """
    from jffs2tx import ops
    from jffs2tx.damage import Reading

    with opened(target, medium) as image:
        for chunk in ops.cat(image, path=_inside(path), reading=Reading(reading)):
            sys.stdout.buffer.write(chunk)


@cli.command()
@target_argument
@click.option("--output", "-o", metavar="DIR", help="Directory to make; must not exist or be empty.")
@click.option("--tar", metavar="FILE", help="Write a tar archive instead; - is stdout. Keeps owners without root.")
@click.option(
    "--max-bytes",
    type=Size(),
    help="Most content in all, holes included.  [default: 1 GiB, or 8 times the device where that is more]",
)
@reading_options
@medium_options
@json_option
@quiet_option
@click.pass_context
def extract(ctx, target, output, tar, max_bytes, reading, medium, as_json, quiet) -> None:
    """Write the whole tree of TARGET to a directory, or to a tar archive.

    Exit status 1 where something is damaged or did not come out.
    """
    from jffs2tx import ops
    from jffs2tx import output as out
    from jffs2tx.damage import Reading
    from jffs2tx.progress import reporter

    if (output is None) == (tar is None):
        raise click.UsageError("say where to: either --output or --tar", ctx)
    if tar == "-" and (as_json or sys.stdout.isatty()):
        raise click.UsageError("the archive needs stdout for itself" if as_json else "stdout is a terminal", ctx)
    how = {"max_bytes": max_bytes, "reading": Reading(reading)}
    with opened(target, medium) as image, reporter(quiet) as progress:
        if tar is None:
            facts = ops.extract(image, output=Path(output), **how, progress=progress)
        else:
            where = sys.stdout.buffer if tar == "-" else Path(tar)
            facts = ops.archive(image, output=where, **how, progress=progress)
    if as_json:
        out.result(facts, as_json)
    else:
        out.losses(facts)
    if facts["unreadable"] or facts["damaged"]:
        ctx.exit(FOUND)


@cli.command()
@target_argument
@click.option("--all", "everything", is_flag=True, help="Show every finding, notes too.")
@medium_options
@json_option
@quiet_option
@click.pass_context
def check(ctx, target, everything, medium, as_json, quiet) -> None:
    """Read all of TARGET and report what a kernel would stumble over.

    Exit status: 0 nothing but notes; 1 errors or warnings; 3 there is no file system that can be read.
    """
    from jffs2tx import ops, output
    from jffs2tx.errors import FormatError, GeometryError
    from jffs2tx.progress import reporter

    try:
        with opened(target, medium) as image, reporter(quiet) as progress:
            facts = ops.check(image, progress=progress)
    except (FormatError, GeometryError) as error:
        if isinstance(error, GeometryError) and any(medium.values()):
            raise  # what was said of the medium is wrong, not the medium
        ctx.exit(_fail(str(error), UNREADABLE))
    if as_json:
        output.result(facts, as_json)
    else:
        from jffs2tx.report import findings

        output.result({key: value for key, value in facts.items() if key not in ("problems", "notes")}, as_json)
        findings(facts, everything)
    if facts["problems"]:
        ctx.exit(FOUND)


@cli.command()
@click.argument("source")
@click.option("--output", "-o", required=True, metavar="IMAGE", help="Image to write.")
@click.option("--erase-size", type=Size(), required=True, help="Size of an eraseblock.")
@click.option("--page-size", type=Size(), help="Page of a page-programmed NAND; without it bit-writable NOR.")
@click.option("--size", type=Size(), help="Size of the image; as long as needed without.")
@click.option("--endian", type=click.Choice(["little", "big"]), default="little", show_default=True, help="Byte order.")
@click.option(
    "--compression",
    type=click.Choice(["zlib", "lzo", "rtime", "none", "best"]),
    default="zlib",
    show_default=True,
    help="Method; best takes the smallest of all.",
)
@quiet_option
def mkfs(source, output, erase_size, page_size, size, endian, compression, quiet) -> None:
    """Build an image of the directory SOURCE."""
    from jffs2tx import ops
    from jffs2tx.progress import reporter
    from jffs2tx.source import Source

    with Source(source) as files, reporter(quiet) as progress:
        ops.mkfs(
            source=files,
            output=Path(output),
            erase_size=erase_size,
            page_size=page_size,
            size=size,
            endian=endian,
            compression=compression,
            progress=progress,
        )


def _inside(path: str) -> bytes:
    """A path of the command line as the tree has it: bytes, no slash at either end, the root empty."""
    return b"/".join(part for part in os.fsencode(path).split(b"/") if part not in (b"", b"."))


# ---- failure ---------------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status. Users see one sentence, never a traceback."""
    _open_standard_streams()
    try:
        with interruptible():
            return _run(list(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt as error:
        return _failed(str(error) or "interrupted", error)
    except Damaged as error:
        return _fail_damaged(error)
    except Jffs2txError as error:
        return _failed(str(error), error)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        if error.filename:
            return _failed(f"{os.fsdecode(error.filename)}: {reason}", error)
        return _failed(f"{_lost_output(error)}{reason}", error)
    except Exception as error:
        if os.environ.get("JFFS2TX_TRACEBACK"):
            raise
        text = f"internal error, {type(error).__name__}: {error} (JFFS2TX_TRACEBACK=1 shows where)"
        return _failed(text, error)


def _run(arguments: list[str]) -> int:
    try:
        with cli.make_context("jffs2tx", arguments) as context:
            cli.invoke(context)
        sys.stdout.flush()
        return DONE
    except click.exceptions.Exit as leaving:
        sys.stdout.flush()
        return leaving.exit_code
    except click.UsageError as error:
        hint = f" (see {error.ctx.command_path} --help)" if error.ctx else ""
        return _fail(f"{error.format_message().rstrip('.')}{hint}", error.exit_code)
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)


def _failed(message: str, error: BaseException) -> int:
    """One that ends the program: its sentence says which tree is there, its status too."""
    tree = getattr(error, "tree", None)
    status = status_of(error, tree)
    if status == FAILED and isinstance(error, BrokenPipeError):
        status = BROKEN_PIPE
    return _fail(sentence(message, tree), status)


def _fail_damaged(error: Damaged) -> int:
    """A line for each damaged place, for the first ones at least."""
    from jffs2tx import output

    output.damage([one.text for one in error.damage])
    return error.exit_status


def _fail(message: str, status: int) -> int:
    text = printable(" ".join(message.split()).encode("utf-8", "surrogateescape"))
    if len(text) > MESSAGE_CHARS_MAX:
        half = MESSAGE_CHARS_MAX // 2
        text = f"{text[:half]}[…]{text[-half:]}"
    with suppress(OSError):  # whoever reads it may have gone
        click.echo(f"jffs2tx: {text}", err=True)
    return status


def _open_standard_streams() -> None:
    """A stream that the caller closed is closed for us too: what is written to stdout then fails, and no file that is
    opened takes its number.
    """
    for name, number, mode in (("stdin", 0, os.O_RDONLY), ("stdout", 1, os.O_RDONLY), ("stderr", 2, os.O_WRONLY)):
        if getattr(sys, name) is None:
            fd = os.open(os.devnull, mode)
            if fd != number:
                os.dup2(fd, number)
                os.close(fd)
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115 (stays open)


def _lost_output(error: OSError) -> str:
    """Where it is stdout that failed: its name for the sentence; what could not be written is given up, or the
    interpreter would try once more at its end. Files have their names in the error.
    """
    try:
        sys.stdout.flush()
        failed = error.errno in (errno.EPIPE, errno.EBADF)
    except OSError:
        failed = True
    if failed:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return "standard output: " if failed else ""


if __name__ == "__main__":
    sys.exit(main())
