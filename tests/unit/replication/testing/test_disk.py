"""A simulated disk loses in a crash exactly what was not synced, and stores all of a commit or nothing."""

import pytest

from calliope.errors import LogGapError, StorageFullError
from calliope.stores.versioned import log_entry
from crdts import VersionVector
from replication.core.effects import Append, Receive, Remember, UseLog
from replication.testing import AppliedOperations, Change, Disk


class UnsyncedDisk(Disk):
    """Syncs when it is told to."""

    def sync(self):
        pass

    def really_sync(self):
        super().sync()


def change(stamp):
    return AppliedOperations().prepare(Change("key", "increment", 1), "anna~1", stamp)


def written(disk, count):
    disk.commit(UseLog("anna~1"))
    for stamp in range(1, count + 1):
        disk.commit(Append((change(stamp),)))
    return disk


def test_what_is_written_is_numbered_and_takes_effect_once():
    disk = written(Disk(), 3)
    assert disk.vector == {"anna~1": 3}
    assert disk.contents()["key"] == {("anna~1", 1): 1, ("anna~1", 2): 1, ("anna~1", 3): 1}
    assert disk.applied_twice() == []


def test_a_crash_keeps_what_was_synced():
    disk = written(UnsyncedDisk(), 2)
    disk.really_sync()
    disk.commit(Append((change(3),)))
    assert disk.vector == {"anna~1": 3}
    disk.crash()
    assert disk.vector == {"anna~1": 2}
    assert disk.contents()["key"] == {("anna~1", 1): 1, ("anna~1", 2): 1}


def test_a_backup_brings_back_everything_of_its_moment():
    disk = written(Disk(), 1)
    disk.commit(Remember("name", b"then"))
    backup = disk.mark()
    disk.commit(Remember("name", b"later"))
    disk.commit(Append((change(2),)))
    disk.go_back(backup)
    assert (disk.vector, disk.facts) == ({"anna~1": 1}, {"name": b"then"})


def test_a_full_disk_stores_nothing():
    disk = written(Disk(), 1)
    disk.is_full = True
    with pytest.raises(StorageFullError):
        disk.commit(Append((change(2),)))
    assert disk.vector == {"anna~1": 1}


def test_a_gap_is_refused_and_nothing_of_it_is_stored():
    disk = Disk()
    entries = tuple(log_entry("ben~1", number, "operations", (change(number),)) for number in (1, 3))
    with pytest.raises(LogGapError):
        disk.commit(Receive("ben", entries))
    assert disk.vector == VersionVector()


def test_an_entry_that_takes_effect_twice_is_told():
    disk = written(Disk(), 1)
    disk.take_effect(log_entry("anna~1", 1, "operations", (change(1),)))
    assert disk.applied_twice() == [("anna~1", 1)]
