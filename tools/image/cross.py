"""The same makefile for arm64: compiler, sysroot and a build folder of their own."""
import os
import subprocess

import rootfs
from sysroot import Failed

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.normpath(f"{HERE}/../..")


def make(build, root, targets, *variables):
    """Makes the targets, which are named below the build folder for arm64 ('bin/gnomond'); returns
    that folder."""
    folder = f"{build}/image/arm64"
    environment = {**os.environ, "PKG_CONFIG_SYSROOT_DIR": root,
                   "PKG_CONFIG_LIBDIR": f"{root}/{rootfs.LIBRARIES}/pkgconfig:{root}/usr/share/pkgconfig"}
    environment.pop("MAKEFLAGS", None)
    # gcc 12 for arm64 takes some variables for uninitialised that gcc 12 for x86-64 does not.
    done = subprocess.run(
        ["make", "-s", f"-j{os.cpu_count()}", f"B={folder}", "ARCH=aarch64",
         f"CC=aarch64-linux-gnu-gcc --sysroot={root} -ffile-prefix-map={folder}=.",
         "WERROR=-Werror -Wno-error=maybe-uninitialized", *variables,
         *(f"{folder}/{target}" for target in targets)],
        cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"this does not compile for arm64:\n{done.stderr[-2000:]}")
    return folder
