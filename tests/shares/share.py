"""A directory that two hosts share, on a real file system.

    share = share.open_kind("nfs", folder)
    share.places[0], share.places[1]    where the two hosts have it mounted
    share.part(0)                       the first loses its locks, or may soon
    share.rejoin(0)                     and can reach the server again
    share.close()

Its hosts are network namespaces where the kernel is the client, and clients of
their own where a program is.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from lib import left, mounts, rig

HERE = Path(__file__).parent
CEPH_UP = HERE.parent / "s3" / "ceph-up"


class Cannot(Exception):
    """It cannot be had here; the text says why."""


def run(*argv, **options):
    try:
        return subprocess.run(
            [str(x) for x in argv], check=True, capture_output=True,
            text=True, **options).stdout
    except FileNotFoundError as e:
        raise Cannot(f"{argv[0]} is not installed") from e
    except subprocess.CalledProcessError as e:
        raise Cannot(f"{' '.join(map(str, argv))}: "
                     f"{(e.stderr or e.stdout).strip()[-300:]}") from e


def has_kernel(name):
    """Does this kernel have the file system?  A module is loaded first."""
    if rig.have("modprobe"):
        subprocess.run([rig.have("modprobe"), "-q", name], check=False,
                       capture_output=True)
    return name in Path("/proc/filesystems").read_text().split()


class Net:
    """A namespace for each host; the server is where we are."""

    def __init__(self):
        self.names = [f"share{os.getpid()}{c}" for c in "ab"]
        self.server = [f"10.97.{i}.1" for i in range(2)]
        for i, name in enumerate(self.names):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
            run("ip", "link", "add", "up0", "netns", name, "type", "veth",
                "peer", "name", f"share{i}")
            run("ip", "-n", name, "addr", "add", f"10.97.{i}.2/24", "dev",
                "up0")
            run("ip", "addr", "add", f"10.97.{i}.1/24", "dev", f"share{i}")
            run("ip", "-n", name, "link", "set", "up0", "up")
            run("ip", "link", "set", f"share{i}", "up")
            run("ip", "-n", name, "route", "add", "default", "via",
                f"10.97.{i}.1")

    def inside(self, i, *argv):
        """With our mounts, unlike "ip netns exec"."""
        return run("nsenter", f"--net=/run/netns/{self.names[i]}", *argv)

    def cut(self, i):
        run("ip", "link", "set", f"share{i}", "down")

    def mend(self, i):
        run("ip", "link", "set", f"share{i}", "up")

    def close(self):
        for i, name in enumerate(self.names):
            for words in (["link", "del", f"share{i}"],
                          ["netns", "del", name]):
                subprocess.run(["ip", *words], check=False,
                               capture_output=True)


class Share:
    """What all kinds have in common; each fills in the rest."""

    # Is a host that lost its locks stopped, so that others are safe?
    is_fence = True
    # Seconds until the other one gets what a host that was parted held.
    patience = 0
    # Of a host that was parted the pool has to be started anew.
    must_restart = False

    def __init__(self, folder):
        self.folder = Path(folder)
        self.places = [self.folder / "m0", self.folder / "m1"]
        self.processes = []
        self.net = None
        mounts.may_mount()
        for place in self.places:
            place.mkdir()
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def spawn(self, name, *argv):
        one = rig.spawn([rig.have(argv[0]) or argv[0], *argv[1:]],
                        self.folder / f"{name}.out")
        self.processes.append(one)
        return one

    def part(self, i):
        self.net.cut(i)

    def rejoin(self, i):
        self.net.mend(i)

    def close(self):
        for place in self.places:
            subprocess.run(["umount", "-f", "-l", str(place)], check=False,
                           capture_output=True)
        for one in reversed(self.processes):
            one.kill()
            one.wait()
        self.stop()
        if self.net:
            self.net.close()

    def stop(self):
        pass


class Ceph(Share):
    """One node in memory; ceph-fuse."""

    must_restart = True
    patience = 5
    program = "ceph-fuse"

    def start(self):
        if not rig.have(self.program) or not rig.have("ceph-mds"):
            raise Cannot(f"{self.program} or ceph-mds is not installed")
        self.conf = self.folder / "ceph" / "ceph.conf"
        run(CEPH_UP, "--files", self.folder / "ceph", rig.free_port())
        self.clients = [None, None]
        for i in range(2):
            self.mount(i)

    def mount(self, i):
        self.clients[i] = self.spawn(
            f"m{i}", self.program, "-f", "-c", self.conf, "--id", f"h{i}",
            self.places[i])
        rig.wait_for(lambda: os.path.ismount(self.places[i]), "a mount",
                     patience=60)

    def sessions(self):
        return json.loads(run("ceph", "-c", self.conf, "tell", "mds.0",
                              "client", "ls"))

    def name(self, i, session):
        return session["client_metadata"].get("mount_point") == \
            str(self.places[i])

    def part(self, i):
        """As the server does by itself to one that is silent for long."""
        for one in self.sessions():
            if self.name(i, one):
                run("ceph", "-c", self.conf, "tell", "mds.0", "client",
                    "evict", f"id={one['id']}")

    def rejoin(self, i):
        subprocess.run(["umount", "-f", "-l", str(self.places[i])],
                       check=False, capture_output=True)
        self.clients[i].kill()
        self.clients[i].wait()
        self.mount(i)
        # It is for the tests that follow, too.
        left.keep()

    def stop(self):
        pids = self.folder / "ceph" / "pids"
        for pid in pids.read_text().split() if pids.exists() else []:
            os.kill(int(pid), signal.SIGKILL)


class CephKernel(Ceph):
    """The client of the kernel."""

    program = "mount.ceph"

    def start(self):
        if not has_kernel("ceph"):
            raise Cannot("this kernel has no CephFS")
        super().start()

    def mount(self, i):
        port = int(run("sh", "-c", "sed -n 's/.*v1:[0-9.]*:\\([0-9]*\\)].*/"
                       f"\\1/p' {self.conf}").split()[0])
        run("mount", "-t", "ceph", f"127.0.0.1:{port}:/", self.places[i],
            "-o", f"noshare,name=h{i}")

    def name(self, i, session):
        return session["client_metadata"].get("entity_id") == f"h{i}"

    def rejoin(self, i):
        run("umount", "-f", "-l", self.places[i])
        self.mount(i)


class Nfs(Share):
    """The server and the client of the kernel, NFS 4.2."""

    LEASE = 10
    patience = 2 * LEASE + 5
    options = "vers=4.2,hard,local_lock=none"

    def start(self):
        for name in ("nfs4", "nfsd"):
            if not has_kernel(name):
                raise Cannot(f"this kernel has no {name}")
        if not rig.have("rpc.nfsd"):
            raise Cannot("nfs-kernel-server is not installed")
        self.net = Net()
        self.serve()
        for i in range(2):
            self.mount(i)

    def serve(self):
        export = self.folder / "export"
        export.mkdir()
        run("mount", "-t", "tmpfs", "export", export)
        for folder in ("/var/lib/nfs/v4recovery", "/var/lib/nfs/nfsdcld",
                       "/var/lib/nfs/rpc_pipefs", "/proc/fs/nfsd"):
            os.makedirs(folder, exist_ok=True)
        run("mount", "-t", "nfsd", "nfsd", "/proc/fs/nfsd")
        run("mount", "-t", "rpc_pipefs", "pipefs", "/var/lib/nfs/rpc_pipefs")
        for name in ("nfsv4leasetime", "nfsv4gracetime"):
            Path(f"/proc/fs/nfsd/{name}").write_text(f"{self.LEASE}\n")
        self.spawn("nfsdcld", "nfsdcld", "-F")
        self.spawn("mountd", "rpc.mountd", "-F", "--no-nfs-version", "3")
        run("exportfs", "-o", "rw,sync,no_root_squash,no_subtree_check,"
            "fsid=0,insecure", f"10.97.0.0/16:{export}")
        run("rpc.nfsd", "--no-nfs-version", "3", "8")
        rig.wait_for(lambda: rig.accepts(2, ("10.97.0.1", 2049)), "nfsd")
        self.await_grace()

    def await_grace(self):
        """A server that has no clients to wait for ends it soon."""
        rig.wait_for(lambda: Path("/proc/fs/nfsd/v4_end_grace").read_text()
                     .strip() in ("Y", "1"), "the end of grace",
                     patience=3 * self.LEASE)

    def mount(self, i, options=None, place=None):
        name = self.net.names[i]
        # Else the server takes both for one client, and nobody waits.
        run("ip", "netns", "exec", name, "sh", "-c",
            f"echo {name} > /sys/fs/nfs/net/nfs_client/identifier")
        self.net.inside(i, "mount", "-t", "nfs4", "-o",
                        options or self.options, f"10.97.{i}.1:/",
                        place or self.places[i])

    def part(self, i):
        self.net.cut(i)
        time.sleep(self.LEASE + 2)

    def stop(self):
        subprocess.run(["rpc.nfsd", "0"], check=False, capture_output=True)
        subprocess.run(["exportfs", "-ua"], check=False, capture_output=True)
        for place in (self.folder / "export", "/proc/fs/nfsd"):
            subprocess.run(["umount", "-l", str(place)], check=False,
                           capture_output=True)


KINDS = {"ceph-fuse": Ceph, "ceph": CephKernel, "nfs": Nfs}
