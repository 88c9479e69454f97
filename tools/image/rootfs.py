"""The card's root file system: our programs and all that they load, busybox, the board's kernel
modules and files, as one reproducible archive that the kernel unpacks into RAM."""
import os
import re
import shutil
import subprocess

from sysroot import Failed, run

PROGRAMS = ["gnomon-dataplane", "gnomond", "gnomon-introspect", "gnomon-console", "gnomonctl",
            "gnomon-updater"]
INIT = "gnomon-init"
LIBRARIES = "usr/lib/aarch64-linux-gnu"
DRIVER_FOLDER = f"{LIBRARIES}/dpdk/pmds-23.0"
# What no ELF header names: loaded by name at run time.
LOADED = ["libgcc_s.so.1"]
# DPDK drivers of every board: buses, the pool, and devices that need no hardware.
DRIVERS = ["bus_pci", "bus_vdev", "mempool_ring", "net_af_packet", "net_tap", "net_virtio", "net_vhost"]
EPOCH = 1700000000  # the archive's only date


def needed(path):
    """Names of the libraries that an ELF file asks for."""
    text = run(["readelf", "-d", path])
    return re.findall(r"\(NEEDED\)\s+Shared library: \[([^\]]+)\]", text)


class Tree:
    """The root file system as a folder, filled from the sysroot."""

    def __init__(self, directory, sysroot, programs):
        self.directory, self.sysroot, self.programs = directory, sysroot, programs
        self.asked = set()
        shutil.rmtree(directory, ignore_errors=True)
        for part in ("usr/bin", LIBRARIES, "etc/gnomon", "proc", "sys", "dev", "run", "tmp", "data", "boot"):
            os.makedirs(f"{directory}/{part}")
        for part in ("bin", "lib", "sbin"):
            os.makedirs(f"{directory}/usr/{part}", exist_ok=True)
            os.symlink(f"usr/{part}", f"{directory}/{part}")
        os.mkdir(f"{directory}/var")
        os.symlink("../run", f"{directory}/var/run")

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    def add(self, source, target, mode=0o644):
        os.makedirs(os.path.dirname(self.path(target)), exist_ok=True)
        shutil.copyfile(source, self.path(target))
        os.chmod(self.path(target), mode)

    def add_elf(self, source, target):
        """Copies a program or library, stripped, and what it needs."""
        self.add(source, target, 0o755)
        run(["aarch64-linux-gnu-strip", "--strip-unneeded", self.path(target)])
        for name in needed(source):
            self.add_library(name)

    def add_library(self, name):
        if name in self.asked:
            return
        self.asked.add(name)
        for folder in (LIBRARIES, "lib/aarch64-linux-gnu", "usr/lib"):
            source = f"{self.sysroot}/{folder}/{name}"
            if os.path.exists(source):
                self.add_real_library(name, os.path.realpath(source))
                return
        raise Failed(f"library {name} is in no package of tools/image/packages: add the one that has it")

    def add_real_library(self, name, source):
        """A driver of DPDK stays one file in its folder, with a link beside the libraries: as two
        files it would be loaded twice."""
        if f"/{DRIVER_FOLDER}/" in source:
            target = f"{DRIVER_FOLDER}/{os.path.basename(source)}"
            if not os.path.exists(self.path(target)):
                self.add_elf(source, target)
            os.symlink(os.path.relpath(target, LIBRARIES), self.path(LIBRARIES, name))
        elif name.startswith("ld-linux"):
            self.add_elf(source, f"usr/lib/{name}")
        else:
            self.add_elf(source, f"{LIBRARIES}/{name}")

    def add_programs(self):
        for name in PROGRAMS:
            self.add_elf(f"{self.programs}/{name}", f"usr/bin/{name}")
        self.add_elf(f"{self.programs}/{INIT}", "init")
        for name in LOADED:
            self.add_library(name)

    def add_busybox(self):
        self.add(f"{self.sysroot}/bin/busybox", "usr/bin/busybox", 0o755)
        for name in ("sh", "modprobe", "udhcpc", "ip"):
            os.symlink("busybox", self.path("usr/bin", name))

    def add_drivers(self, more):
        for name in [*DRIVERS, *more]:
            target = f"{DRIVER_FOLDER}/librte_{name}.so.23.0"
            if not os.path.exists(f"{self.sysroot}/{target}"):
                raise Failed(f"DPDK has no driver {name}: correct the board's 'drivers'")
            if not os.path.exists(self.path(target)):
                self.add_elf(f"{self.sysroot}/{target}", target)

    def add_rdma(self):
        """What libibverbs finds by files' names: DPDK's mlx5 drivers need it."""
        provider = f"{LIBRARIES}/libibverbs/libmlx5-rdmav34.so"
        self.add_elf(os.path.realpath(f"{self.sysroot}/{provider}"), provider)
        self.add(f"{self.sysroot}/etc/libibverbs.d/mlx5.driver", "etc/libibverbs.d/mlx5.driver")

    def add_modules(self, wanted):
        """The modules and what they depend on, with a modules.dep of their own."""
        kernels = os.listdir(f"{self.sysroot}/lib/modules")
        kernel = kernels[0]
        base = f"lib/modules/{kernel}"
        if not os.path.exists(f"{self.sysroot}/{base}/modules.dep"):
            run(["depmod", "-b", self.sysroot, kernel])
        with open(f"{self.sysroot}/{base}/modules.dep", encoding="ascii") as file:
            needs = dict(line.strip().split(":", 1) for line in file)
        by_name = {os.path.basename(path)[:-3].replace("-", "_"): path for path in needs}
        with open(f"{self.sysroot}/{base}/modules.builtin", encoding="ascii") as file:
            builtin = {os.path.basename(line.strip())[:-3].replace("-", "_") for line in file}
        for name in wanted:
            name = name.replace("-", "_")
            if name in builtin:
                continue
            if name not in by_name:
                raise Failed(f"kernel {kernel} has no module {name}: correct the board's 'modules'")
            for path in [by_name[name], *needs[by_name[name]].split()]:
                self.add(f"{self.sysroot}/{base}/{path}", f"usr/{base}/{path}")
        for name in ("modules.builtin", "modules.order"):
            self.add(f"{self.sysroot}/{base}/{name}", f"usr/{base}/{name}")
        run(["depmod", "-b", self.path("usr"), kernel])
        return kernel

    def add_files(self, folder):
        for root, _, names in os.walk(folder):
            for name in names:
                source = os.path.join(root, name)
                self.add(source, os.path.relpath(source, folder))

    def archive(self, target):
        """A cpio archive, packed by zstd, whose bytes depend on the files' alone."""
        names = ["."]
        for root, folders, files in os.walk(self.directory):
            names += [os.path.relpath(os.path.join(root, name), self.directory)
                      for name in folders + files]
        for name in names:
            os.utime(self.path(name), (EPOCH, EPOCH), follow_symlinks=False)
            if not os.path.islink(self.path(name)) and os.path.isdir(self.path(name)):
                os.chmod(self.path(name), 0o755)
        with open(f"{target}.new", "wb") as out:
            cpio = subprocess.Popen(["cpio", "--quiet", "--reproducible", "-o", "-H", "newc", "-R", "0:0"],
                                    cwd=self.directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            zstd = subprocess.Popen(["zstd", "-q", "-12", "--single-thread", "-c"], stdin=cpio.stdout, stdout=out)
            cpio.stdin.write("".join(f"{name}\n" for name in sorted(names)).encode())
            cpio.stdin.close()
            if cpio.wait() or zstd.wait():
                raise Failed("cpio or zstd failed")
        os.replace(f"{target}.new", target)


def words_of(path):
    with open(path, encoding="ascii") as file:
        return [word for line in file for word in line.split("#")[0].split()]


def drivers_of(board):
    """DPDK's, by board.yaml."""
    with open(f"{board}/board.yaml", encoding="utf-8") as file:
        found = re.search(r"^drivers: \[(.*)\]", file.read(), re.M)
    return re.findall(r"\w+", found.group(1)) if found else []


def build(target, sysroot, programs, board, release):
    """Writes 'target'/initramfs.zst and 'target'/Image. 'release': (version, security version)."""
    os.makedirs(target, exist_ok=True)
    tree = Tree(f"{target}/rootfs", sysroot, programs)
    tree.add_programs()
    tree.add_busybox()
    drivers = drivers_of(board)
    tree.add_drivers(drivers)
    if "net_mlx5" in drivers:
        tree.add_rdma()
    tree.add_files(f"{board}/rootfs")
    tree.add(f"{board}/board.yaml", "etc/gnomon/board.yaml")
    with open(tree.path("etc/gnomon/release"), "w", encoding="ascii") as file:
        file.write("{} {}\n".format(*release))
    kernel = tree.add_modules(words_of(f"{board}/rootfs/etc/gnomon/modules"))
    tree.archive(f"{target}/initramfs.zst")
    shutil.copyfile(f"{sysroot}/boot/vmlinuz-{kernel}", f"{target}/Image")
    return kernel
