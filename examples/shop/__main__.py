"""The shop: four processes over one journal, and a page to click through.

    python -m examples.shop
    python -m examples.shop --directory shop-data --port 8080 --pay-within 30

Without a directory everything is forgotten when it ends.
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from examples.shop.processes import NAMES, run

PORT_MAX = 65_536 - len(NAMES)

PAY_WITHIN_SECONDS_MAX = 366 * 24 * 3600


def main(options: argparse.Namespace) -> None:
    """Run the shop until it is interrupted."""
    with _directory(options.directory) as directory:
        print(f"everything is kept in {directory}; open the page at Headquarters", flush=True)
        anyio.run(run, directory.absolute(), options.port, options.pay_within)


@contextmanager
def _directory(wanted: Path | None) -> Iterator[Path]:
    if wanted is not None:
        wanted.mkdir(parents=True, exist_ok=True)
        yield wanted
        return
    with TemporaryDirectory(prefix="calliope-shop-") as name:
        yield Path(name)


def options_in(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m examples.shop", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--directory", type=Path, help="where everything is kept; by default nothing is")
    parser.add_argument("--port", type=_port, default=8080, help="the first of four; 0: any that are free")
    parser.add_argument("--pay-within", type=_seconds, default=60.0, help="seconds that a customer has to pay")
    return parser.parse_args(arguments)


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= PORT_MAX:
        raise argparse.ArgumentTypeError(f"must be from 0 to {PORT_MAX}, not {text}")
    return port


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= PAY_WITHIN_SECONDS_MAX:
        raise argparse.ArgumentTypeError(f"must be from 0 to {PAY_WITHIN_SECONDS_MAX} seconds, not {text}")
    return seconds


if __name__ == "__main__":
    try:
        main(options_in())
    except (OSError, RuntimeError) as error:
        sys.exit(str(error))
