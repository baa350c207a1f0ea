"""`Rejection`: a command that the domain refuses, with the reasons."""


class Rejection(Exception):
    """A command, or a value, is refused for reasons that the domain knows.

    Raise it in `decide`, itself or a subclass of yours: nothing is stored and the caller gets it as it is. It is a
    convenience, not a requirement; every other exception passes through in the same way.

    Args:
        reasons: one or more sentences for whoever gave the command.

    Attributes:
        reasons: these sentences.
    """

    def __init__(self, *reasons: str) -> None:
        if not reasons:
            raise ValueError("a rejection needs a reason")
        for reason in reasons:
            if not isinstance(reason, str):
                raise TypeError(f"a reason must be a str, not {reason!r}")
        super().__init__(*reasons)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why, in the order in which it was found out."""
        return self.args

    def __str__(self) -> str:
        return "; ".join(self.reasons)
