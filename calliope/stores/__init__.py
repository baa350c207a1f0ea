"""Where records are kept: one small protocol and its adapters."""
