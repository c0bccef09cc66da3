#!/usr/bin/python3
"""guest.py [OPTIONS] -- COMMAND... - a command in a machine with another kernel.

The kernel here may lack what a test wants, as NFS.  The guest sees the files of
this machine; what it writes stays in its memory.  It is one of

    linux.uml   of the package user-mode-linux, if that is there; $TUSFCGI_UML
                is its path, $TUSFCGI_UML_MODULES where its modules are
    qemu        with the kernel of linux-image-cloud-amd64, which is fetched with
                apt and unpacked in a folder of ours; without KVM
                (TUSFCGI_GUEST=tcg) it is twenty times as slow

Needs root, busybox-static, and qemu-system-x86 if it is qemu.  Ends with the
command's status, or with 77 and the reason if there is no guest to be had.

    guest.py --modules nfsv4,nfsd -- sh -c 'uname -r; cat /proc/filesystems'
"""

import argparse
import contextlib
import lzma
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CANNOT = 77
PACKAGE = "linux-image-cloud-amd64"
VIRTIOFSD = ("/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd")
ALWAYS = ("virtio_pci", "virtiofs", "virtio_rng", "overlay", "veth")

INIT = r"""#!/bin/busybox sh
b=/bin/busybox
$b mkdir -p /proc /sys /dev /new /lower /rw
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
for m in $($b cat /modules); do
	$b insmod /lib/$m || echo "guest: no module $m"
done
$b mount -t @FS@ -o ro root /lower &&
$b mount -t tmpfs -o size=90% rw /rw &&
$b mkdir -p /rw/upper /rw/work &&
$b mount -t overlay -o lowerdir=/lower,upperdir=/rw/upper,workdir=/rw/work \
    new /new || { echo "guest: no root"; $b poweroff -f; }
for i in proc sys dev; do
	$b mount --move /$i /new/$i
done
$b mkdir -p /new/dev/pts /new/dev/shm /new/@OUT@
$b mount -t devpts pts /new/dev/pts
$b mount -t tmpfs shm /new/dev/shm
$b mount -t tmpfs run /new/run
$b mount -t @FS@ @OUTOPTIONS@ out /new/@OUT@
$b cp /bin/busybox /command /new/run/
exec $b chroot /new /run/busybox sh /run/command
"""

COMMAND = """export HOME=/root TMPDIR=/var/tmp PATH={path}
ip link set lo up
hostname guest
cd {cwd}
{env}
{command} > {out}/output 2>&1
echo $? > {out}/status
umount {out}
sync
/run/busybox poweroff -f
"""


def cannot(why):
    print(f"guest.py: {why}", file=sys.stderr)
    sys.exit(CANNOT)


def run(*argv, **options):
    return subprocess.run(argv, check=True, capture_output=True, text=True,
                          **options)


# --- The kernel and what it begins with. ---

def unpack_kernel(home):
    """The newest that apt knows of, in a folder that is kept."""
    depends = run("apt-cache", "depends", PACKAGE).stdout.split()
    name = next((d for d in depends if d.startswith("linux-image-") and
                 d != PACKAGE), None)
    if name is None:
        cannot(f"apt knows of no {PACKAGE}")
    place = home / name
    if not (place / "complete").exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        try:
            run("apt-get", "download", name, cwd=place)
        except subprocess.CalledProcessError as e:
            cannot(f"apt-get download {name}: {e.stderr[-200:]}")
        deb, = place.glob("*.deb")
        run("dpkg-deb", "-x", str(deb), str(place))
        deb.unlink()
        (place / "complete").touch()
    return place


def modules_of(home, wanted):
    """[(name, bytes)], each after those that it depends on."""
    files = {f.name.split(".ko")[0].replace("-", "_"): f
             for f in home.glob("**/kernel/**/*.ko*")}
    found = {}

    def add(name):
        name = name.replace("-", "_")
        if name in found or name not in files:
            return
        data = files[name].read_bytes()
        if files[name].suffix == ".xz":
            data = lzma.decompress(data)
        depends = data.split(b"\0depends=")[1].split(b"\0")[0].decode()
        for other in filter(None, depends.split(",")):
            add(other)
        found[name] = data

    for name in wanted:
        add(name)
    return list(found.items())


def cpio(entries):
    """The archive that the kernel unpacks: [(name, mode, bytes)]."""
    out = []
    for n, (name, mode, data) in enumerate(
            [*entries, ("TRAILER!!!", 0, b"")], 1):
        raw = name.encode() + b"\0"
        head = "070701" + "".join(f"{x:08x}" for x in (
            n, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0))
        for part in (head.encode() + raw, data):
            out.append(part + b"\0" * (-len(part) % 4))
    return b"".join(out)


def initramfs(modules, options, out, is_uml):
    modules = modules_of(modules, [*ALWAYS, *options.modules.split(",")])
    env = "\n".join(f"export {k}={shlex.quote(v)}" for k, v in
                    os.environ.items() if k.startswith("TUS"))
    command = COMMAND.format(
        out=out, cwd=shlex.quote(os.getcwd()), env=env,
        path=os.environ["PATH"], command=shlex.join(options.command))
    init = INIT.replace("@FS@", "hostfs" if is_uml else "virtiofs").replace(
        "@OUTOPTIONS@", f"-o {out}" if is_uml else "").replace(
            "@OUT@", str(out))
    folder, file, program = 0o40755, 0o100644, 0o100755
    return cpio([
        ("bin", folder, b""), ("lib", folder, b""), ("dev", folder, b""),
        ("dev/console", 0o20600, b""),
        ("bin/busybox", program, Path("/bin/busybox").read_bytes()),
        *((f"lib/{name}.ko", file, data) for name, data in modules),
        ("modules", file,
         "\n".join(f"{name}.ko" for name, _ in modules).encode()),
        ("command", file, command.encode()),
        ("init", program, init.encode())])


# --- The two machines. ---

def uml(program, options, out):
    home = Path(os.environ.get("TUSFCGI_UML_MODULES", "/usr/lib/uml/modules"))
    (out / "initramfs").write_bytes(
        initramfs(home, options, out / "shared", True))
    return subprocess.Popen(
        [program, f"mem={options.memory}M", f"initrd={out}/initramfs",
         "con=null", "con0=fd:0,fd:1", f"uml_dir={out}/", "quiet"],
        stdin=subprocess.DEVNULL, stdout=open(out / "console", "wb"),
        stderr=subprocess.STDOUT, start_new_session=True,
        env={**os.environ, "TMPDIR": "/dev/shm"})


def share(what, socket, stack):
    """virtiofsd for a folder."""
    daemon = next(filter(os.path.exists, VIRTIOFSD), None)
    if daemon is None:
        cannot("virtiofsd is not installed")
    one = subprocess.Popen(
        [daemon, f"--socket-path={socket}", "-o", f"source={what}", "-o",
         "cache=auto", "-o", "sandbox=chroot"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stack.callback(one.kill)
    for _ in range(200):
        if os.path.exists(socket):
            return
        time.sleep(0.02)
    cannot("virtiofsd did not start")


def qemu(options, out, stack):
    program = shutil.which("qemu-system-x86_64")
    if not program:
        cannot("neither linux.uml nor qemu-system-x86_64 is installed")
    accel = ["tcg,thread=multi", "-cpu", "max"]
    if os.environ.get("TUSFCGI_GUEST") != "tcg":
        if not os.access("/dev/kvm", os.R_OK | os.W_OK):
            cannot("no /dev/kvm")
        accel = ["kvm", "-cpu", "host"]
    kernel = unpack_kernel(Path(options.kernels))
    (out / "initramfs").write_bytes(
        initramfs(kernel, options, out / "shared", False))
    share("/", out / "root.sock", stack)
    share(out / "shared", out / "out.sock", stack)
    image, = kernel.glob("boot/vmlinuz-*")
    return subprocess.Popen([
        program, "-nodefaults", "-no-user-config", "-nographic", "-no-reboot",
        "-accel", *accel, "-smp", "2", "-m", str(options.memory), "-object",
        f"memory-backend-memfd,id=mem,size={options.memory}M,share=on",
        "-numa", "node,memdev=mem", "-kernel", str(image), "-initrd",
        str(out / "initramfs"), "-append", "console=ttyS0 quiet panic=-1",
        "-serial", f"file:{out}/console", "-device", "virtio-rng-pci",
        *(word for tag in ("root", "out") for word in (
            "-chardev", f"socket,id={tag},path={out}/{tag}.sock", "-device",
            f"vhost-user-fs-pci,chardev={tag},tag={tag}"))],
        stdin=subprocess.DEVNULL, start_new_session=True)


def follow(file, seen):
    """Print what has come since."""
    with contextlib.suppress(OSError), open(file, "rb") as f:
        f.seek(seen)
        data = f.read()
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
        return seen + len(data)
    return seen


def wait(guest, options, out):
    shared, seen = out / "shared", 0
    until = time.monotonic() + options.seconds
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        while guest.poll() is None and time.monotonic() < until:
            time.sleep(0.2)
            seen = follow(shared / "output", seen)
    finally:
        # UML is several processes.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(guest.pid, signal.SIGKILL)
        guest.wait()
    follow(shared / "output", seen)
    try:
        return int((shared / "status").read_text())
    except (OSError, ValueError):
        print("guest.py: the guest was over before the command was:\n" +
              (out / "console").read_text(errors="replace")[-3000:],
              file=sys.stderr)
        return 1


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--modules", default="")
    parser.add_argument("--memory", type=int, default=1536, help="MiB")
    parser.add_argument("--seconds", type=int, default=900)
    parser.add_argument("--kernels", default="/var/cache/tusfcgi-kernels")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    if os.geteuid() != 0:
        cannot("needs root")
    if not os.path.exists("/bin/busybox"):
        cannot("busybox-static is not installed")
    program = os.environ.get("TUSFCGI_UML") or shutil.which("linux.uml")
    with contextlib.ExitStack() as stack:
        out = Path(stack.enter_context(tempfile.TemporaryDirectory(
            prefix="tus-guest-", dir="/tmp")))
        (out / "shared").mkdir()
        guest = uml(program, options, out) if program else \
            qemu(options, out, stack)
        sys.exit(wait(guest, options, out))


if __name__ == "__main__":
    main()
