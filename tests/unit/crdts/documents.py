"""What the tests of texts have in common: documents with something typed in them."""

from crdts import Text


def typed(replica_id, text, *seen):
    document = Text(replica_id)
    for operation in seen:
        document.apply(operation)
    return document, [document.insert(len(document), character) for character in text]


def exchanged(*documents):
    for one in documents:
        for other in documents:
            one.merge(other)
    assert all(each == documents[0] and each.value == documents[0].value for each in documents)
    return documents[0].value


def runs(document):
    return [(run.content, run.length) for run in document._runs.runs()]
