"""`Specification`: a rule about candidates that combines with others, and says why it is not satisfied.

After Eric Evans and Martin Fowler, "Specifications" (1997), with reasons added: a rule that only says no helps nobody.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from calliope.domain.rejection import Rejection

Candidate = TypeVar("Candidate")
Candidate_contra = TypeVar("Candidate_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a specification says of a candidate.

    Attributes:
        is_satisfied: whether the candidate satisfies it.
        reasons: if not, why not; and if so, what to say to those who wanted the opposite.
    """

    is_satisfied: bool
    reasons: tuple[str, ...]


class Specification(Generic[Candidate_contra]):
    """A rule that a candidate satisfies or not. Make one with `specification`.

    `a & b` is satisfied if both are, `a | b` if one of them is, `~a` if a is not. A combination gives the reasons of
    those rules that decided it: of `a & b` each that failed, of `a | b` both. Every rule is asked, also when the first
    has decided: so that all reasons are told at once, each rule must be able to judge any candidate.

    Args:
        judge: gives the verdict on a candidate.
    """

    def __init__(self, judge: Callable[[Candidate_contra], Verdict]) -> None:
        self.judge = judge

    def is_satisfied_by(self, candidate: Candidate_contra) -> bool:
        """Tell whether a candidate satisfies it."""
        return self.judge(candidate).is_satisfied

    def reasons(self, candidate: Candidate_contra) -> tuple[str, ...]:
        """Return why a candidate does not satisfy it, each reason once; none if it does."""
        verdict = self.judge(candidate)
        return () if verdict.is_satisfied else verdict.reasons

    def check(self, candidate: Candidate_contra) -> None:
        """Return if a candidate satisfies it.

        Raises:
            Rejection: it does not; with all the reasons.
        """
        verdict = self.judge(candidate)
        if not verdict.is_satisfied:
            raise Rejection(*verdict.reasons)

    def __and__(self, other: "Specification[Candidate_contra]") -> "Specification[Candidate_contra]":
        if not isinstance(other, Specification):
            return NotImplemented
        return Specification(lambda candidate: _conjunction(self.judge(candidate), other.judge(candidate)))

    def __or__(self, other: "Specification[Candidate_contra]") -> "Specification[Candidate_contra]":
        if not isinstance(other, Specification):
            return NotImplemented
        return ~(~self & ~other)  # De Morgan: the reasons follow

    def __invert__(self) -> "Specification[Candidate_contra]":
        return Specification(lambda candidate: _opposite(self.judge(candidate)))


def specification(
    predicate: Callable[[Candidate], bool],
    reason: str | Callable[[Candidate], str],
    *,
    opposite: str | Callable[[Candidate], str] | None = None,
) -> Specification[Candidate]:
    """Return the specification that a predicate stands for.

        positive = specification(lambda amount: amount > 0, lambda amount: f"{amount} is not positive")
        whole = specification(lambda amount: amount == int(amount), "only whole amounts are taken")
        (positive & whole).check(amount)

    Args:
        predicate: whether a candidate satisfies it.
        reason: what to say if it does not; a sentence, or a function that makes one of the candidate.
        opposite: what to say if it does and `~` wanted that it does not; if not given, "not: " and the reason.

    Raises:
        TypeError: an argument is of the wrong kind.
    """
    if not callable(predicate):
        raise TypeError(f"predicate must be callable, not {predicate!r}")
    for name, text in (("reason", reason), ("opposite", "" if opposite is None else opposite)):
        if not isinstance(text, str) and not callable(text):
            raise TypeError(f"{name} must be a str or a function that returns one, not {text!r}")

    def judge(candidate: Candidate) -> Verdict:
        if not predicate(candidate):
            return Verdict(is_satisfied=False, reasons=(_said(reason, candidate),))
        told = f"not: {_said(reason, candidate)}" if opposite is None else _said(opposite, candidate)
        return Verdict(is_satisfied=True, reasons=(told,))

    return Specification(judge)


def _said(reason: str | Callable[[Candidate], str], candidate: Candidate) -> str:
    return reason if isinstance(reason, str) else reason(candidate)


def _conjunction(one: Verdict, other: Verdict) -> Verdict:
    is_satisfied = one.is_satisfied and other.is_satisfied
    deciding = [verdict.reasons for verdict in (one, other) if verdict.is_satisfied == is_satisfied]
    return Verdict(is_satisfied, tuple(dict.fromkeys(reason for reasons in deciding for reason in reasons)))


def _opposite(verdict: Verdict) -> Verdict:
    return Verdict(not verdict.is_satisfied, verdict.reasons)
