#!/usr/bin/env python3
"""Volumes that operators make, resize and delete: in the pool, elsewhere, and what is refused."""
import os
import sys

from gnomond_test import World, check, main

MIB = 1 << 20


def test_a_volume_in_the_pool():
    with World(mode="forecast_only") as w:
        volume = w.call("CreateVolume", "name=volumes/data", "vm=vms/web-1", f"size_bytes={8 * MIB}")
        path = f"{w.dir}/pool/volumes/data.raw"
        check(volume["path"] == path and os.stat(path).st_size == 8 * MIB, volume)
        check(os.stat(path).st_blocks == 0, "it takes room before it is written")
        check("exists" in w.refusal("CreateVolume", "name=volumes/data", "vm=vms/web-1", f"size_bytes={MIB}"), "twice")
        grown = w.call("ResizeVolume", "name=volumes/data", f"size_bytes={16 * MIB}")
        check(int(grown["size_bytes"]) == 16 * MIB, grown)
        check("OUT_OF_RANGE" in w.refusal("ResizeVolume", "name=volumes/data", f"size_bytes={MIB}"), "smaller")
        w.call("DeleteVolume", "name=volumes/data")
        check(os.path.exists(path), "its data is gone")
        check(not [v for v in w.call("ListVolumes")["volumes"] if v["name"] == "volumes/data"], "it is still there")
        again = w.refusal("CreateVolume", "name=volumes/data", "vm=vms/web-1", f"size_bytes={MIB}")
        check("give its path" in again, again)
        w.call("CreateVolume", "name=volumes/data", "vm=vms/web-1", f"path={path}")
        w.call("DeleteVolume", "name=volumes/data", "erase=true")
        check(not os.path.exists(path), "its data stays")


def test_what_is_refused():
    with World(mode="forecast_only") as w:
        w.wait("the VM's volume", lambda: [v for v in w.call("ListVolumes")["volumes"]
                                           if v["name"] == "volumes/web-1-vda"])
        other = f"{w.dir}/other.raw"
        with open(other, "wb") as file:
            file.truncate(MIB)
        w.call("CreateVolume", "name=volumes/other", "vm=vms/web-1", f"path={other}")
        for words, code, says in (
            (["CreateVolume", "name=volumes/../x", "vm=vms/web-1", "size_bytes=512"], "INVALID_ARGUMENT", "volumes/<name>"),
            (["CreateVolume", "name=volumes/x", "vm=vms/web-1"], "INVALID_ARGUMENT", "needs a size"),
            (["CreateVolume", "name=volumes/x", "vm=vms/web-1", "size_bytes=100"], "INVALID_ARGUMENT", "multiple of 512"),
            (["CreateVolume", "name=volumes/x", "vm=vms/web-1", f"path={other}", "size_bytes=512"],
             "INVALID_ARGUMENT", "has its size"),
            (["CreateVolume", "name=volumes/x", "vm=vms/web-1", f"size_bytes={1 << 60}"], "RESOURCE_EXHAUSTED", "MiB free"),
            (["CreateVolume", "name=volumes/x", "vm=vms/web-1", f"path={w.dir}/none"], "NOT_FOUND", "none"),
            (["CreateVolume", "name=volumes/web-1-shadow-vda", "vm=vms/web-1", "size_bytes=512"],
             "FAILED_PRECONDITION", "kept for a disk of vms/web-1"),
            (["DeleteVolume", "name=volumes/web-1-vda"], "FAILED_PRECONDITION", "is a disk of vms/web-1"),
            (["DeleteVolume", "name=volumes/web-1-shadow-vda"], "FAILED_PRECONDITION", "is a disk of vms/web-1"),
            (["DeleteVolume", "name=volumes/other", "erase=true"], "INVALID_ARGUMENT", "not a file that was made here"),
            (["ResizeVolume", "name=volumes/none", f"size_bytes={MIB}"], "NOT_FOUND", "none"),
        ):
            said = w.refusal(*words)
            check(code in said and says in said, f"{words}: {said}")
        check(not os.path.exists(f"{w.dir}/pool/volumes/x.raw"), "a refusal left a file")
        w.call("CreateVolume", "name=volumes/gold", "vm=vms/web-1", f"size_bytes={MIB}")
        gold = f"{w.dir}/pool/volumes/gold.raw"
        w.call("CreateVolume", "name=volumes/copy", "vm=vms/web-1", f"path={gold}", "read_only=true")
        shared = w.refusal("DeleteVolume", "name=volumes/gold", "erase=true")
        check("also used by volumes/copy" in shared and os.path.exists(gold), shared)
        w.call("DeleteVolume", "name=volumes/other")
        check(os.path.exists(other), "a file that was not ours is gone")


if __name__ == "__main__":
    sys.exit(main(globals()))
