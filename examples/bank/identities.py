"""The ids of the bank: of accounts and of transfers."""

from calliope.domain import Identifier


class AccountId(Identifier):
    prefix = "account"


class TransferId(Identifier):
    prefix = "transfer"
