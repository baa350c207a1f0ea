"""Every shipped type converges, and is what its specification says, however its operations travel."""

import pytest

from tests.property.crdt_subjects import SUBJECTS, Subject

every_type = pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS)


@every_type
def test_replicas_converge_to_what_the_specification_says(subject: Subject):
    subject.check(max_examples=50)


@every_type
@pytest.mark.soak
def test_replicas_converge_to_what_the_specification_says_in_a_thousand_stories(subject: Subject):
    subject.check(max_examples=1000)


@every_type
@pytest.mark.soak
def test_five_replicas_converge_too(subject: Subject):
    subject.check(replicas=5, max_examples=100)
