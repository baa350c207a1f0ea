"""The page of `examples/shop` in a real browser, clicked through by hand, so to speak."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.shop_processes import HUNG_SECONDS, ShopProcesses, shop_processes

try:
    from playwright.sync_api import expect, sync_playwright
except ImportError:  # `page` says so
    sync_playwright = None

Page = Any

pytestmark = pytest.mark.soak  # it needs a browser, which cannot be installed without root

CHROMIUM = Path("/usr/bin/chromium")

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShopProcesses]:
    with shop_processes(tmp_path_factory.mktemp("shop"), pay_within=3600) as shop:
        yield shop


@pytest.fixture
def page(shop: ShopProcesses) -> Iterator[Page]:
    """The page, open; whatever it complains about fails the test."""
    if sync_playwright is None:
        pytest.fail("this test drives a browser with playwright: `pip install playwright`")
    if not CHROMIUM.exists():
        pytest.fail(f"this test needs a browser at {CHROMIUM}: `apt-get install chromium`, as .ci/run does")
    expect.set_options(timeout=HUNG_SECONDS * 1000)
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=HUNG_SECONDS * 1000)
        try:
            page = browser.new_page()
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("console", lambda said: complaints.append(said.text) if is_complaint(said) else None)
            page.goto(shop.addresses["headquarters"], timeout=HUNG_SECONDS * 1000)
            yield page
        finally:
            browser.close()
    assert complaints == []


def is_complaint(said: Any) -> bool:
    """Tell whether something said on the console is an error; an answer that is not 200, or none, is not."""
    return said.type == "error" and not said.text.startswith("Failed to load resource")


def shows(page: Page, part: str, name: str, text: str) -> None:
    expect(page.locator(f"#{part} dd[data-name={name}]")).to_have_text(text)


def place(page: Page, customer: str) -> None:
    """Reserve two lamps and three chairs, and confirm."""
    page.get_by_label("customer").fill(customer)
    page.get_by_role("button", name="Create reservation").click()
    shows(page, "sales", "status", "open")
    for product, quantity in (("lamp", "2"), ("chair", "3")):
        page.get_by_label("product").select_option(product)
        page.get_by_label("quantity").fill(quantity)
        page.get_by_role("button", name="Reserve product").click()
        expect(page.locator("#sales dd[data-name=lines]")).to_contain_text(f"{product} at")
    page.get_by_role("button", name="Confirm").click()
    shows(page, "sales", "status", "confirmed")


def test_a_person_clicks_an_order_through(page):
    place(page, "Ada")
    shows(page, "invoicing", "amount", "188.30")
    page.get_by_role("button", name="Pay").click()
    shows(page, "invoicing", "status", "paid")
    shows(page, "sales", "status", "closed")
    shows(page, "shipping", "pieces", "5")
    page.get_by_role("button", name="Deliver").click()
    shows(page, "headquarters", "status", "completed")
    expect(page.locator("#orders li").first).to_have_text("Ada, 188.30: completed")
    expect(page.locator("#documents a")).to_have_count(4)


def test_a_person_is_told_why_something_is_refused(page):
    page.get_by_role("button", name="Create reservation").click()
    shows(page, "sales", "status", "open")
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("status")).to_have_text("confirm-reservation: nothing is reserved")


def test_a_person_withdraws_and_goes_on_while_parts_are_killed(page, shop):
    place(page, "Grace")
    shows(page, "headquarters", "status", "placed")
    shop.kill("headquarters")
    page.get_by_role("button", name="Withdraw").click()
    shows(page, "headquarters", "status", "cancelled")
    shows(page, "headquarters", "reason", "withdrawn by the customer")
    shows(page, "sales", "status", "cancelled")
    page.get_by_role("button", name="Pay").click()
    shows(page, "invoicing", "refunded", "188.30")
    expect(page.locator("#orders li", has_text="Grace")).to_have_text(
        "Grace, 188.30: cancelled, withdrawn by the customer"
    )
