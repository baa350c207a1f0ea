"""Invoicing: makes an invoice of every order, takes payments over HTTP, and cancels what was not paid."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from calliope import RecordedEvent
from calliope.domain import Receptor, Repository, Send
from calliope.domain.sql_view import SqlView
from examples.shop.http_interface import CommandEndpoint, ViewEndpoint
from examples.shop.identities import InvoiceId, OrderId, sibling
from examples.shop.invoice import INVOICE, CancelInvoice, CreateInvoice, InvoiceEvent, ReceivePayment
from examples.shop.invoice_view import TABLES, InvoiceDetails, Invoices, invoice_projection
from examples.shop.order import CancellationRequested, OrderPlaced
from examples.shop.subsystem import Subsystem, Surroundings


def invoice_order(record: RecordedEvent[OrderPlaced | CancellationRequested]) -> Send:
    order = OrderId(record.stream_id)
    invoice = str(sibling(InvoiceId, order))
    match record.data:
        case OrderPlaced(customer=customer, total=total, pay_within=pay_within):
            return Send(CreateInvoice(order, customer, total, pay_within), to=invoice)
        case CancellationRequested(reason):
            return Send(CancelInvoice(reason), to=invoice)


@asynccontextmanager
async def invoicing(around: Surroundings) -> AsyncIterator[Subsystem]:
    """Run Invoicing while the block lasts."""
    repository = Repository(around.journal, INVOICE, InvoiceEvent)
    receptor = Receptor(
        around.journal,
        "invoicing",
        invoice_order,
        events=OrderPlaced | CancellationRequested,
        commands=CreateInvoice | CancelInvoice,
        deliver=repository.execute,
        clock=around.clock,
    )
    async with SqlView(around.directory / "invoicing.db", *TABLES) as view:
        projection, invoices = invoice_projection(around.journal, view), Invoices(view)
        async with projection.running(), receptor.running():
            yield Subsystem(
                "Invoicing",
                (
                    CommandEndpoint("/invoices/{id}", InvoiceId, (ReceivePayment,), repository.execute),
                    ViewEndpoint("/invoices/{id}", InvoiceDetails, invoices.one, projection),
                    ViewEndpoint("/invoices", list[InvoiceDetails], invoices.newest, projection),
                ),
            )
