"""The arm64 sysroot that the card's programs are linked with and its image is filled from:
Debian packages, exactly those of packages.lock, unpacked into a folder. Needs neither root nor
foreign architectures in dpkg; Debian's own indices say where a file is, and its signature and
the lock's SHA-256 that it is the right one."""
import hashlib
import os
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
LOCK = f"{HERE}/packages.lock"
WANTED = f"{HERE}/packages"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
MIRROR = os.environ.get("GN_DEBIAN_MIRROR", "http://deb.debian.org/debian")
SECURITY = os.environ.get("GN_DEBIAN_SECURITY", "http://deb.debian.org/debian-security")
UPDATE = "make image-lock"


class Failed(Exception):
    """A sentence for the user."""


class Unreachable(Failed):
    """Debian's mirror does not answer, and packages are missing."""


def cache_directory():
    """Where downloads are kept, for every clone of this user."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.environ.get("GN_CACHE") or f"{base}/gnomon"


def run(command, **more):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    if done.returncode:
        raise Failed(f"{' '.join(command[:3])} failed: {(done.stderr or done.stdout).strip()[-800:]}")
    return done.stdout


class Apt:
    """An apt of our own: architecture arm64, its own lists and cache, nothing installed."""

    def __init__(self, directory):
        directory = os.path.abspath(directory)
        self.directory = directory
        for part in ("etc/preferences.d", "state/lists/partial", "cache/archives/partial"):
            os.makedirs(f"{directory}/{part}", exist_ok=True)
        with open(f"{directory}/status", "w", encoding="ascii"):
            pass
        with open(f"{directory}/sources.list", "w", encoding="ascii") as file:
            for url, suite in ((MIRROR, "bookworm"), (MIRROR, "bookworm-updates"),
                               (SECURITY, "bookworm-security")):
                file.write(f"deb [arch=arm64 signed-by={KEYRING}] {url} {suite} main\n")
        with open(f"{directory}/apt.conf", "w", encoding="ascii") as file:
            file.write(f"""APT::Architecture "arm64";
APT::Architectures {{ "arm64"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Dir::State "{directory}/state";
Dir::State::status "{directory}/status";
Dir::Cache "{directory}/cache";
Dir::Etc::sourcelist "{directory}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
""")
        self.environment = {**os.environ, "APT_CONFIG": f"{directory}/apt.conf", "LC_ALL": "C"}

    def run(self, *command):
        return run(list(command), env=self.environment)

    def update(self):
        try:
            self.run("apt-get", "-q", "-o", "APT::Update::Error-Mode=any", "-o", "Acquire::Retries=2",
                     "-o", "Acquire::http::Timeout=20", "update")
        except Failed as error:
            raise Unreachable(f"Debian's arm64 packages, which the image is made of, cannot be fetched from "
                              f"{MIRROR} (GN_DEBIAN_MIRROR names another): {error}\n"
                              f"They are needed once and kept in {cache_directory()} (GN_CACHE)") from None

    def resolve(self, names):
        """{name: version} of the packages and all that they depend on."""
        plan = self.run("apt-get", "-q", "--simulate", "install", *names)
        found = {}
        for line in plan.splitlines():
            if line.startswith("Inst "):
                name, version = line.split()[1], line.split("(", 1)[1].split()[0]
                found[name] = version
        return found

    def digests(self, versions):
        """{name: SHA-256} by apt's (signed) indices."""
        text = self.run("apt-cache", "show", *(f"{n}={v}" for n, v in versions.items()))
        found = {}
        for record in text.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in record.splitlines()
                          if ": " in line and not line.startswith(" "))
            if fields.get("Package") in versions:
                found[fields["Package"]] = fields["SHA256"]
        return found


def wanted_packages():
    with open(WANTED, encoding="ascii") as file:
        return [word for line in file for word in line.split("#")[0].split()]


def write_lock():
    """Resolves 'packages' anew and writes the lock."""
    apt = Apt(f"{cache_directory()}/apt")
    apt.update()
    versions = apt.resolve(wanted_packages())
    digests = apt.digests(versions)
    with open(f"{LOCK}.new", "w", encoding="ascii") as file:
        file.write(f"# Made by '{UPDATE}': name, version, SHA-256 of the package.\n")
        for name in sorted(versions):
            file.write(f"{name} {versions[name]} {digests[name]}\n")
    os.replace(f"{LOCK}.new", LOCK)
    return len(versions)


def read_lock():
    with open(LOCK, encoding="ascii") as file:
        rows = [line.split() for line in file if line.strip() and not line.startswith("#")]
    return {name: (version, digest) for name, version, digest in rows}


def digest_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def package_file(name, version):
    return f"{cache_directory()}/debs/{name}_{version.replace(':', '%3a')}_arm64.deb"


def is_right(path, digest):
    return os.path.exists(path) and digest_of(path) == digest


def download(lock):
    """Puts every package of the lock into the cache; asks the network only for what is missing."""
    directory = cache_directory()
    os.makedirs(f"{directory}/debs", exist_ok=True)
    missing = {name: version for name, (version, digest) in lock.items()
               if not is_right(package_file(name, version), digest)}
    if not missing:
        return 0
    apt = Apt(f"{directory}/apt")
    apt.update()
    try:
        subprocess.run(["apt-get", "-q", "download", *(f"{n}={v}" for n, v in missing.items())],
                       env=apt.environment, cwd=f"{directory}/debs", check=True,
                       capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise Failed(f"packages of the lock cannot be downloaded: {error.stderr.strip()[-800:]}\n"
                     f"Debian has newer ones, most likely: '{UPDATE}' takes those") from None
    for name in os.listdir(f"{directory}/debs"):
        if name.endswith("_all.deb"):
            os.replace(f"{directory}/debs/{name}",
                       f"{directory}/debs/{name.replace('_all.deb', '_arm64.deb')}")
    for name, version in missing.items():
        path = package_file(name, version)
        if not is_right(path, lock[name][1]):
            raise Failed(f"{os.path.basename(path)} is not the package of the lock (SHA-256)")
    return len(missing)


def unpack(directory, lock):
    """Unpacks the packages into 'root' unless it holds exactly these already."""
    stamp = hashlib.sha256(repr(sorted(lock.items())).encode()).hexdigest()
    root, mark = f"{directory}/root", f"{directory}/root.lock"
    if os.path.exists(mark):
        with open(mark, encoding="ascii") as file:
            if file.read() == stamp:
                return root
        os.remove(mark)
    shutil.rmtree(root, ignore_errors=True)
    # Debian's merged /usr, before packages that still carry files in /lib.
    for part in ("bin", "sbin", "lib"):
        os.makedirs(f"{root}/usr/{part}", exist_ok=True)
        os.symlink(f"usr/{part}", f"{root}/{part}")
    for name in sorted(lock):
        deb = package_file(name, lock[name][0])
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as tar:
            run(["tar", "-x", "-C", root, "--keep-directory-symlink", "--no-same-owner"],
                stdin=tar.stdout)
    with open(mark, "w", encoding="ascii") as file:
        file.write(stamp)
    return root


def prepare(directory, say):
    """The sysroot's folder, made when it is not there."""
    if not os.path.exists(LOCK):
        raise Failed(f"{LOCK} is missing: '{UPDATE}' makes it")
    lock = read_lock()
    n = download(lock)
    if n:
        say(f"downloaded {n} arm64 packages")
    return unpack(directory, lock)
