"""The sequences' order as their rules say it, from what their operations say: a tree, built anew and walked.

It shares nothing with the runs but the form of the arguments (`crdts.run_arguments`). A sequence is the same at every
replica because this is a pure function of the operations seen.
"""

from crdts.testing import History

ROOT = None


def elements(history: History):
    """Returns the visible elements of a sequence, or of the one under the key "k" of a map."""
    return walk(*tree(history))


def tree(history):
    children, contents, deleted = {}, {}, set()
    resets = [each for each in history if each.operation.action == "remove" or _clears_map(each)]
    for issued in history:
        if any(history.before(issued, reset) for reset in resets):
            continue
        offset = 0
        for action, argument in actions(issued.operation):
            if action == "insert":
                insert(children, contents, issued.operation, argument)
                offset += len(argument[0])
            elif action == "delete":
                deleted.update(named(issued.operation, argument))
            else:
                deleted.update(each for each in contents if issued.operation.saw(*each[:2]))
    return children, contents, deleted


def _clears_map(issued):
    return issued.operation.action == "clear" and issued.operation.type_name == "ORMap"


def actions(operation):
    if operation.type_name != "ORMap":
        return [(operation.action, operation.argument)]
    return operation.argument[2] if operation.action == "update" else []


def insert(children, contents, operation, argument):
    content, side, *parent = argument
    clock = sum(operation.version.values())
    hung_on = identity(operation, *parent) if parent else ROOT
    is_right = bool(side & 1)
    if hung_on is not ROOT and hung_on not in contents:  # a reset has forgotten it
        hung_on, is_right = ROOT, True
    for offset, item in enumerate(content, start=side // 2):
        element = (operation.replica_id, operation.counter, offset)
        contents[element] = item
        children.setdefault((hung_on, is_right), []).append((clock, element))
        hung_on, is_right = element, True


def identity(operation, counter, offset=0, replica_id=None):
    return (replica_id or operation.replica_id, counter, offset)


def named(operation, argument):
    for plain in argument:
        replica_id = plain[-1] if isinstance(plain[-1], str) else operation.replica_id
        numbers = [each for each in plain if not isinstance(each, str)]
        if len(numbers) == 2:
            yield from ((replica_id, numbers[0] + step, 0) for step in range(numbers[1]))
        else:
            yield from ((replica_id, numbers[0], numbers[1] + step) for step in range(numbers[2]))


def walk(children, contents, deleted):
    """Left children, the newest last; the element; right children, the newest first."""
    found, open_ends = [], [(ROOT, False)]
    while open_ends:
        element, is_open = open_ends.pop()
        if is_open:
            if element is not ROOT and element not in deleted:
                found.append(contents[element])
            continue
        left = sorted(children.get((element, False), []))
        right = sorted(children.get((element, True), []), reverse=True)
        open_ends.extend((each, False) for _, each in reversed(right))
        open_ends.append((element, True))
        open_ends.extend((each, False) for _, each in reversed(left))
    return found
