"""A throw-away NATS server with JetStream; it lives no longer than the process that started this one.

    python -m examples.demo.nats_process FOLDER

It says where it is, a JSON object on a line. When standard input ends, for whatever reason, it is killed: nobody wants
its data any more.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

from examples.demo.stores import nats_server

START_SECONDS = 30.0
"""How long the server may take until it listens."""


def main(folder: Path) -> None:
    """Run the server until standard input ends."""
    folder.mkdir(exist_ok=True)
    program = nats_server() or "nats-server"
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [program, "-js", "-sd", folder / "data", "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", folder],
            stdout=log,
            stderr=log,
        )
    try:
        sys.stdout.write(json.dumps({"ready": _address(folder, server)}) + "\n")
        sys.stdout.flush()
        sys.stdin.read()
    finally:
        server.kill()
        server.wait()


def _address(folder: Path, server: "subprocess.Popen[bytes]") -> str:
    """Return the URL that the server says it listens at."""
    give_up_at = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up_at and server.poll() is None:
        for file in folder.glob("*.ports"):
            try:
                return str(json.loads(file.read_text())["nats"][0])
            except (json.JSONDecodeError, LookupError):
                break  # it is being written
        time.sleep(0.02)
    raise SystemExit((folder / "log").read_text()[-2000:])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
