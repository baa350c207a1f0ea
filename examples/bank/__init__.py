"""A bank: accounts, transfers between them that end well or are undone, fees, and what the bank earns."""
