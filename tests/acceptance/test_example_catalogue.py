"""The catalogue of `examples/catalogue`, driven from outside, and its decider in scenarios."""

import subprocess
import sys
from pathlib import Path

from calliope.domain.testing import Scenario
from examples.catalogue.product import (
    PRODUCT,
    CreateProduct,
    DeleteProduct,
    ProductCreated,
    ProductDeleted,
    ProductRenamed,
    RenameProduct,
)

ROOT = Path(__file__).parents[2]

EVENTS = {
    "product-1": ["ProductCreated(name='Product 1')", "ProductRenamed(name='Product 1, renamed')"],
    "product-2": ["ProductCreated(name='Product 2')", "ProductDeleted()"],
    "product-3": ["ProductCreated(name='Product 3')"],
}


def catalogue(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "examples.catalogue", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def check(told: subprocess.CompletedProcess[str]) -> None:
    assert (told.returncode, told.stderr) == (0, "")
    *lines, second_create, rename_of_deleted, active = told.stdout.splitlines()
    events = [line.split(" ", 2) for line in lines]
    assert [int(position) for position, _, _ in events] == [1, 2, 3, 4, 5]
    in_streams: dict[str, list[str]] = {}
    for _, stream_id, event in events:
        in_streams.setdefault(stream_id, []).append(event)
    assert in_streams == EVENTS
    assert second_create == "product-1 CreateProduct(name='Product 1 again'): Product already exists"
    assert rename_of_deleted == "product-2 RenameProduct(name='Product 2, renamed'): Product doesn't exist"
    assert active == "active: product-1 Product 1, renamed; product-3 Product 3"


def test_five_events_in_three_streams_two_refusals_and_a_live_view() -> None:
    check(catalogue())


def test_the_events_are_kept_and_nothing_happens_the_second_time(tmp_path: Path) -> None:
    journal = tmp_path / "catalogue.db"
    first = catalogue("--journal", journal)
    check(first)
    again = catalogue("--journal", journal)
    *refused, _, _ = [line for line in again.stdout.splitlines() if "Product(" in line]
    assert sorted(refused) == [
        "product-1 CreateProduct(name='Product 1'): Product already exists",
        "product-2 CreateProduct(name='Product 2'): Product already exists",
        "product-2 DeleteProduct(): Product doesn't exist",
        "product-3 CreateProduct(name='Product 3'): Product already exists",
    ]
    assert again.stdout.splitlines()[4:] == first.stdout.splitlines()


def test_a_storage_that_is_none_is_named() -> None:
    refused = catalogue("--journal", "redis://localhost")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "redis://localhost" in refused.stderr
    assert "Traceback" not in refused.stderr


product = Scenario(PRODUCT)


def test_a_product_is_created_once_even_if_it_was_deleted() -> None:
    product.when(CreateProduct("Clock")).then(ProductCreated("Clock"))
    product.given(ProductCreated("Clock")).when(CreateProduct("Watch")).rejected("Product already exists")
    gone = product.given(ProductCreated("Clock"), ProductDeleted())
    gone.when(CreateProduct("Watch")).rejected("Product already exists")


def test_only_what_exists_is_renamed_or_deleted() -> None:
    product.given(ProductCreated("Clock")).when(RenameProduct("Watch")).then(ProductRenamed("Watch"))
    product.given(ProductCreated("Clock")).when(RenameProduct("Clock")).then()
    product.given(ProductCreated("Clock")).when(DeleteProduct()).then(ProductDeleted())
    product.when(RenameProduct("Watch")).rejected("Product doesn't exist")
    for command in (RenameProduct("Watch"), DeleteProduct()):
        gone = product.given(ProductCreated("Clock"), ProductDeleted())
        gone.when(command).rejected("Product doesn't exist")
