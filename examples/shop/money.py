"""Money: decimals with two places, never floats; whole cents where a database adds them up."""

from decimal import Decimal

from calliope.domain import Rejection

AMOUNT_MAX = Decimal(1_000_000)
"""The most that one thing may cost, or that is paid at once."""

_CENT = Decimal("0.01")


def checked_amount(name: str, amount: Decimal) -> Decimal:
    """Return an amount with two places; raise `Rejection` if it is none that can be asked for."""
    if not amount.is_finite() or not 0 < amount <= AMOUNT_MAX or amount != amount.quantize(_CENT):
        raise Rejection(f"{name} must be more than 0, at most {AMOUNT_MAX}, in whole cents, not {amount}")
    return amount.quantize(_CENT)


def cents_of(amount: Decimal) -> int:
    """Return an amount as a whole number, which SQL adds up exactly."""
    return int(amount / _CENT)


def amount_of(cents: int) -> Decimal:
    """Return the amount that so many cents are."""
    return cents * _CENT
