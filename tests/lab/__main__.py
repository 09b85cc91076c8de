"""For a developer at a terminal: build the lab, or look at an image through the kernel's eyes.

From the repository's root:

    python -m tests.lab build
    python -m tests.lab mount IMAGE --device nor:64KiB:4MiB
    python -m tests.lab mount IMAGE --device nand2k:8MiB --kernel nosummary --sh 'ls -la $MNT'
"""

import argparse
import sys

from . import build, lab


def _mount(arguments):
    device = lab.parse_device(arguments.device)
    steps = [lab.mount(ro=arguments.ro), lab.tree()]
    steps += [lab.sh(script) for script in arguments.sh]
    steps.append(lab.umount())
    markers = "free" if isinstance(device, lab.Nand) else ()
    case = lab.Case("image", device, arguments.image, markers, arguments.kernel, steps)
    result = lab.Lab(jobs=1).run([case])[0]
    if result.error:
        print(result.error, result.console, sep="\n")
        return 1
    print("prepare:", result.prepare.error or "ok")
    for step in result.steps:
        print(f"{step.do}: {step.error or 'ok'}")
        if step.lines is not None:
            print(*step.lines, f"digest {step.digest}", sep="\n")
        if step.rc is not None:
            print(step.stdout + step.stderr + f"exit {step.rc}")
    print("kernel:")
    findings = set(result.unexpected)
    for line in result.dmesg:
        print("!" if line in findings else " ", line)
    return 0 if result.ok else 1


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="make everything that the lab needs, if it is not there")
    look = commands.add_parser("mount", help="mount an image and print its tree and the kernel's messages")
    look.add_argument("image")
    devices = "nor:ERASE:SIZE, nand2k:SIZE, nand4k:SIZE, nand512:SIZE"
    look.add_argument("--device", default="nor:64KiB:4MiB", help=devices)
    look.add_argument("--kernel", choices=build.KERNELS, default="stock")
    look.add_argument("--ro", action="store_true", help="mount read-only")
    look.add_argument("--sh", action="append", default=[], help="a bash script to run while it is mounted")
    arguments = parser.parse_args()
    try:
        if arguments.command == "mount":
            return _mount(arguments)
        print(*build.build(), sep="\n")
        return 0
    except (build.BuildError, lab.LabError, OSError) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
