"""Copying a journal into another store: resumable, verified, from stored bytes to stored bytes.

1. The place is found: how far the target holds what the source holds. A note in the target says it, a snapshot that
   each batch replaces; what follows the note, or everything if there is none, is compared record by record. A target
   that holds anything else than a beginning of the source is refused, and nothing is written to it.
2. Pages of the source become requests again, each expects the version that its predecessor leaves behind, and those of
   a page are submitted together (one by one where a store would give them positions in another order: see
   `EventStore.places_in_order`). So the target is a beginning of the source at any moment, whoever is killed, and a
   second writer is noticed.
3. Snapshots are copied, and then the events that were persisted meanwhile: no snapshot has seen an event that the copy
   lacks. What is persisted after that is left to the next run.
4. Both journals are read from the beginning, side by side, and compared; the checksum over all of it is the same.

What an event says of itself is kept: stream, sequence number, type, schema version, time, id, tags, metadata and the
bytes of its payload; events keep their order across streams. The *position* is the target's own. A journal without
gaps, copied into an empty one that has none either, keeps its positions; otherwise snapshots that are of no stream are
left out, because they hold positions: how far a projection has come, say. It then begins anew.

An event that nobody named has an id that its journal made of its own id and a position; the copy keeps it as the id of
that event. Only ids that a caller gave name requests: persisting under one again writes nothing in the copy either.

Streams of replicas travel by replication, and a second journal under the same log id would fork its numbers. So a
journal that holds some is refused, unless its plain streams alone are asked for.
"""

from calliope.copying.copier import copy_journal
from calliope.copying.errors import CopyDiffersError, CopyError, CopyRefusedError
from calliope.copying.summary import CopyProgress, CopySummary

__all__ = ["CopyDiffersError", "CopyError", "CopyProgress", "CopyRefusedError", "CopySummary", "copy_journal"]
