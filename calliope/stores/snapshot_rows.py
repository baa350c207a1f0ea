"""Rows of the snapshot table: a state with what ties it to all that is served of it."""

from zlib import crc32

from calliope.stores.protocol import StoredSnapshot


def snapshot_row(snapshot: StoredSnapshot) -> tuple[object, ...]:
    """Return the row that keeps a snapshot."""
    return (
        snapshot.snapshot_id,
        snapshot.sequence_number,
        *snapshot.type,
        snapshot.timestamp,
        snapshot.payload,
        snapshot_checksum(snapshot),
    )


def snapshot_checksum(snapshot: StoredSnapshot) -> int:
    """Return the CRC-32 over all that is served of a snapshot."""
    described = (
        f"{snapshot.snapshot_id}\0{snapshot.sequence_number}\0{snapshot.type.name}\0"
        f"{snapshot.type.schema_version}\0{snapshot.timestamp}\0"
    )
    return crc32(snapshot.payload or b"", crc32(described.encode()))
