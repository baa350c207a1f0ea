"""A shopping cart that works offline: on the phone, in the shop, each on its own disk; they meet when they can.

    python -m examples.offline_cart --replica shop serve --listen 127.0.0.1:7601
    python -m examples.offline_cart --replica phone sync 127.0.0.1:7601
    python -m examples.offline_cart --replica phone add milk 2
    python -m examples.offline_cart --replica phone remove bread
    python -m examples.offline_cart --replica phone show

`add`, `remove` and `show` need no network. The cart is a map of counters: what both add adds up, and a removal removes
what was known of, so what the other has added meanwhile stays. `sync` returns when both have everything on their disks.
"""

import argparse
import sys

import anyio

from calliope import CalliopeError
from crdts import GCounter, ORMap, PNCounter
from replication import Node, Replicator


def change(cart: ORMap[str], arguments: argparse.Namespace) -> None:
    if arguments.command == "add":
        cart.update(arguments.product, PNCounter, lambda counter: counter.increment(arguments.count))
    elif arguments.product in cart.value:
        cart.remove(arguments.product)


def show(cart: dict[str, int]) -> None:
    print(", ".join(f"{count} {product}" for product, count in sorted(cart.items())) or "nothing", flush=True)


async def synchronize(replicator: Replicator, seconds: float) -> None:  # who gets an update has got all before it
    await replicator.get("cart", ORMap, replicas=2, timeout=seconds)  # what both know is on this disk
    await replicator.update("meetings", GCounter, GCounter.increment, replicas=2, timeout=seconds)


async def main(arguments: argparse.Namespace) -> None:
    path = arguments.data or f"cart-{arguments.replica}.db"
    network = {"listen": arguments.listen, "peers": arguments.peers}
    async with Node.open(path, replica_id=arguments.replica, cluster="cart", **network) as node:
        match arguments.command:
            case "add" | "remove":
                await node.replicator.update("cart", ORMap, lambda cart: change(cart, arguments))
            case "sync":
                await synchronize(node.replicator, arguments.seconds)
            case "serve":
                print(f"{arguments.replica} listens at {node.address}", file=sys.stderr, flush=True)
                await node.replicator.updates("cart").run_for_each(lambda update: show(update.value.value))
        show((await node.replicator.get("cart", ORMap)).value)


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m examples.offline_cart", description="A cart that works offline.")
    parser.add_argument("--replica", required=True, help="whose cart: one name, one file")
    parser.add_argument("--data", metavar="FILE", help="where it is kept; default cart-REPLICA.db")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long sync waits for the other")
    parser.set_defaults(listen=None, peers=[])
    commands = parser.add_subparsers(required=True, dest="command")
    add = commands.add_parser("add", help="put something into the cart")
    add.add_argument("product")
    add.add_argument("count", type=int, nargs="?", default=1)
    commands.add_parser("remove", help="take all of something out of it").add_argument("product")
    commands.add_parser("show", help="print it")
    serve = commands.add_parser("serve", help="be there for others, and print the cart whenever it changes")
    serve.add_argument("--listen", required=True, metavar="HOST:PORT")
    sync = commands.add_parser("sync", help="exchange everything with a cart that is served")
    sync.add_argument("peers", nargs=1, metavar="HOST:PORT")
    return parser


if __name__ == "__main__":
    try:
        anyio.run(main, command_line().parse_args())
    except (CalliopeError, ValueError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
