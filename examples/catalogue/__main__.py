"""Three products are created, one is renamed and one deleted, at the same time, while a view follows live.

    python -m examples.catalogue
    python -m examples.catalogue --journal catalogue.db

Run a second time with a journal that is kept, it stores nothing: everything exists already, or does no more.
"""

import argparse
import sys
from collections.abc import Sequence

import anyio

from calliope import CalliopeError, Journal
from calliope.domain import Rejection, Repository
from examples.catalogue.active_products import ActiveProducts
from examples.catalogue.product import (
    PRODUCT,
    CreateProduct,
    DeleteProduct,
    ProductCommand,
    ProductEvent,
    RenameProduct,
)

AT_THE_SAME_TIME: Sequence[tuple[str, Sequence[ProductCommand]]] = (
    ("product-1", [CreateProduct("Product 1"), RenameProduct("Product 1, renamed")]),
    ("product-2", [CreateProduct("Product 2"), DeleteProduct()]),
    ("product-3", [CreateProduct("Product 3")]),
)

TOO_LATE: Sequence[tuple[str, ProductCommand]] = (
    ("product-1", CreateProduct("Product 1 again")),
    ("product-2", RenameProduct("Product 2, renamed")),
)


async def main(url: str) -> None:
    async with Journal.open(url) as journal, anyio.create_task_group() as tasks:
        products = Repository(journal, PRODUCT, ProductEvent)
        view = ActiveProducts()
        tasks.start_soon(view.follow, journal)

        async def execute(product_id: str, *commands: ProductCommand) -> None:
            for command in commands:
                try:
                    await products.execute(product_id, command)
                except Rejection as rejection:
                    print(f"{product_id} {command}: {rejection}")

        async with anyio.create_task_group() as callers:
            for product_id, commands in AT_THE_SAME_TIME:
                callers.start_soon(execute, product_id, *commands)

        position = 0
        async for record in journal.records(prefix="product-", event_type=ProductEvent):
            print(record.position, record.stream_id, record.data)
            position = record.position

        for product_id, command in TOO_LATE:
            await execute(product_id, command)

        await view.wait_until(position)
        print("active:", "; ".join(f"{product_id} {name}" for product_id, name in sorted(view.names.items())))
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m examples.catalogue", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--journal", default="memory://", help="a path, sqlite:///… or memory://")
    try:
        anyio.run(main, parser.parse_args().journal)
    except (CalliopeError, ValueError) as error:
        sys.exit(str(error))
