"""Money: decimals with two places, never floats."""

from decimal import Decimal, InvalidOperation

from calliope.domain import Rejection

AMOUNT_MAX = Decimal(1_000_000_000)
"""The most that one command may be about; sums of such amounts stay exact."""

CENT = Decimal("0.01")
NOTHING = Decimal("0.00")


def checked_amount(name: str, amount: Decimal) -> Decimal:
    """Return an amount with two places; raise `Rejection` if it is no number of whole cents."""
    if not amount.is_finite() or abs(amount) > AMOUNT_MAX or amount != amount.quantize(CENT):
        raise Rejection(f"{name} must be in whole cents, and at most {AMOUNT_MAX}, not {amount}")
    return amount.quantize(CENT)


def amount_in(text: str) -> Decimal:
    """Return the amount that somebody wrote; raise `Rejection` if it is none."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise Rejection(f"{text!r} is no amount") from None
    return checked_amount("an amount", amount)
