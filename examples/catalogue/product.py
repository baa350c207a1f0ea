"""A product of the catalogue: what can be asked of it, and what can happen to it. Pure; knows no journal."""

from dataclasses import dataclass

from calliope import event
from calliope.domain import Decider, Rejection


@event("product-created")
@dataclass(frozen=True)
class ProductCreated:
    name: str


@event("product-renamed")
@dataclass(frozen=True)
class ProductRenamed:
    name: str


@event("product-deleted")
@dataclass(frozen=True)
class ProductDeleted:
    pass


ProductEvent = ProductCreated | ProductRenamed | ProductDeleted


@dataclass(frozen=True)
class CreateProduct:
    name: str


@dataclass(frozen=True)
class RenameProduct:
    name: str


@dataclass(frozen=True)
class DeleteProduct:
    pass


ProductCommand = CreateProduct | RenameProduct | DeleteProduct


@dataclass(frozen=True)
class Product:
    name: str = ""
    was_created: bool = False
    is_active: bool = False


def decide(command: ProductCommand, product: Product) -> ProductEvent | None:
    match command:
        case CreateProduct(name):
            if product.was_created:
                raise Rejection("Product already exists")
            return ProductCreated(name)
        case RenameProduct(name):
            _check_active(product)
            return ProductRenamed(name) if name != product.name else None
        case DeleteProduct():
            _check_active(product)
            return ProductDeleted()


def _check_active(product: Product) -> None:
    if not product.is_active:
        raise Rejection("Product doesn't exist")


def evolve(product: Product, happened: ProductEvent) -> Product:
    match happened:
        case ProductCreated(name) | ProductRenamed(name):
            return Product(name, was_created=True, is_active=True)
        case ProductDeleted():
            return Product(product.name, was_created=True)


PRODUCT = Decider[Product, ProductCommand, ProductEvent](Product(), decide, evolve)
