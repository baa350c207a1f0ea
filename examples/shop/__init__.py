"""A shop of four parts over one journal: Sales, Invoicing, Shipping and Headquarters."""
