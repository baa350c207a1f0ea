"""The example at the head of `calliope.domain.projection` runs as it stands there."""

import inspect
import re
import textwrap
from dataclasses import dataclass

import pytest

from calliope import Journal, RecordedEvent, event
from calliope.domain import projection as module
from calliope.domain.projection import Projection
from calliope.domain.sql_transaction import SqlTransaction
from calliope.domain.sql_view import SqlView

pytestmark = pytest.mark.anyio


@event("projection-example-created")
@dataclass(frozen=True)
class ProductCreated:
    name: str


@event("projection-example-renamed")
@dataclass(frozen=True)
class ProductRenamed:
    name: str


def example():
    """Return the example as the source of a function; its lines are those that are indented and their neighbours."""
    block = re.search(r"^    view = .*?(?=^\S)", inspect.getdoc(module), re.DOTALL | re.MULTILINE).group()
    return "async def main(journal):\n" + textwrap.indent(textwrap.dedent(block), "    ")


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def test_the_example_puts_a_product_into_a_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {
        "ProductCreated": ProductCreated,
        "ProductRenamed": ProductRenamed,
        "ProductEvent": ProductCreated | ProductRenamed,
        "Projection": Projection,
        "RecordedEvent": RecordedEvent,
        "SqlTransaction": SqlTransaction,
        "SqlView": SqlView,
    }
    exec(example(), names)
    async with Journal.open("memory://") as journal:
        await names["main"](journal)

    assert capsys.readouterr().out == "[('product-1', 'lamp')]\n"


def test_the_example_is_no_longer_than_it_says():
    lines = [line for line in example().splitlines()[1:] if line.strip()]

    assert len(lines) <= 15
