"""Examples run as their command lines run them, but within the test: a start of Python costs half a second."""

import runpy
import sys

import pytest


def run_example(name: str, *arguments: object) -> str:
    """Run an example to its end; return why it ended: what it said to `sys.exit`, or nothing."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", [name, *map(str, arguments)])
        try:
            runpy.run_module(f"examples.{name}", run_name="__main__")
        except SystemExit as exit_:
            return str(exit_.code)
    return ""
