"""`python -m MODULE`, in the guest, without the seconds that a start of Python and its imports take there.

The guest's own process imports the module, once; a fork of it then runs it, each time anew.
"""

import importlib
import multiprocessing
import os
import runpy
import site
import sys


def start(module, argv, job, env, out, err):
    """A multiprocessing.Process, in a session of its own, with its output in these files."""
    _find_modules(job)
    importlib.import_module(module)
    sys.modules.pop(module)  # it is run, not imported
    process = multiprocessing.get_context("fork").Process(target=_main, args=(module, argv, job, env, out, err))
    process.start()
    return process


def _find_modules(job):
    """The path that an interpreter of the host's environment, started in the repository, would have."""
    if job["cwd"] in sys.path:
        return
    before = set(sys.path)
    for folder in job["site"]:
        site.addsitedir(folder)  # with what its .pth files name
    found = [folder for folder in sys.path if folder not in before]
    given = job["env"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [*filter(None, [job["cwd"], *given]), *(one for one in sys.path if one in before), *found]


def _main(module, argv, job, env, out, err):
    os.setsid()
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(env)
    for number, file in enumerate((out, err), 1):
        os.dup2(file.fileno(), number)
    sys.argv = [module, *argv]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
