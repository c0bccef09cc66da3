"""Compile store-drive, as it is or with a planted bug."""

import os
import shlex
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))

# Functions that only the strong file systems' harnesses need are all there.
FOLDERS = ("base", "store", "store/file")
LIBRARIES = ("jansson", "libconfig", "libcrypto", "uuid")


class Skip(Exception):
    """Something this machine does not have."""


def find_config(given):
    """The folder with config.h."""
    places = [given] if given else [
        os.getcwd(), os.path.join(TOP, "build"), TOP]
    for place in places:
        if os.path.exists(os.path.join(place, "config.h")):
            return place
    raise Skip("no config.h; run ./configure, or say --build FOLDER")


class Builder:
    """Objects are compiled once; a bug costs one file and a link."""

    def __init__(self, scratch, config):
        self.scratch = scratch
        self.config = config
        self.compiler = shlex.split(os.environ.get("CC", "cc"))
        flags = ["pkg-config", "--cflags", "--libs", *LIBRARIES]
        self.libs = shlex.split(subprocess.run(
            flags, check=True, capture_output=True, text=True).stdout)
        self.objects = {}
        self.plain = None

    def compile(self, source, target, first=()):
        command = [*self.compiler, "-std=c11", "-O1", "-g", "-c",
                   *["-I" + folder for folder in first],
                   "-I" + self.config, "-I" + TOP, *self.libs,
                   source, "-o", target]
        subprocess.run(command, check=True)

    def sources(self):
        for folder in FOLDERS:
            for name in sorted(os.listdir(os.path.join(TOP, folder))):
                if name.endswith(".c"):
                    yield folder + "/" + name
        for name in ("after", "deeds", "drive"):
            yield f"tests/crash/{name}.c"

    def link(self, objects, target):
        subprocess.run([*self.compiler, *objects.values(), *self.libs,
                        "-o", target], check=True)
        return target

    def drive(self):
        """The driver with the store as it is."""
        if self.plain is None:
            for source in self.sources():
                target = os.path.join(
                    self.scratch, source.replace("/", "-") + ".o")
                self.compile(os.path.join(TOP, source), target)
                self.objects[source] = target
            self.plain = self.link(
                self.objects, os.path.join(self.scratch, "store-drive"))
        return self.plain

    def drive_with(self, bug):
        """The driver with a bug: some text of the store replaced."""
        self.drive()
        folder = os.path.join(self.scratch, "bug-" + bug.name)
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        objects = dict(self.objects)
        for source, old, new in bug.changes:
            path = os.path.join(folder, os.path.basename(source))
            origin = path if os.path.exists(path) else os.path.join(
                TOP, source)
            with open(origin, encoding="utf-8") as f:
                text = f.read()
            if text.count(old) != 1:
                raise ValueError(
                    f"{bug.name}: {source} has this text "
                    f"{text.count(old)} times, not once:\n{old}")
            with open(path, "w", encoding="utf-8") as f:
                f.write(text.replace(old, new))
            self.compile(path, path + ".o")
            objects[source] = path + ".o"
        return self.link(objects, os.path.join(folder, "store-drive"))
