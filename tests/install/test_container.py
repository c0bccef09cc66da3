"""The files of etc/container; tests/systems/container.py does what they say."""

import re
import subprocess

import pytest

from lib import clients, rig

PLACE = rig.TREE / "etc/container"
FILE = (PLACE / "Containerfile").read_text()


def test_a_linter_has_no_complaint(tmp_path):
    linter = clients.WEB / "node_modules/.bin/dockerfile-utils"
    if not rig.have("node") or not linter.exists():
        pytest.skip("no dockerfile-utils: npm ci in tests/web")
    # It wants this name.
    for text, status in ((FILE, 0), (FILE.replace("FROM", "FRM", 1), 1)):
        (tmp_path / "Dockerfile").write_text(text)
        run = subprocess.run([linter, "lint", tmp_path / "Dockerfile"],
                             capture_output=True, text=True, check=False)
        assert run.returncode == status, run.stdout + run.stderr


def test_compose_names_what_there_is():
    yaml = pytest.importorskip("yaml")
    compose = yaml.safe_load((PLACE / "compose.yaml").read_text())
    stages = re.findall(r"(?m)^FROM \S+ AS (\S+)$", FILE)
    volumes = set()
    for name, service in compose["services"].items():
        build = service["build"]
        assert build["target"] == name and name in stages
        assert (PLACE / build["context"]).resolve() == rig.TREE
        assert rig.TREE / build["dockerfile"] == PLACE / "Containerfile"
        assert set(service.get("depends_on", ())) <= set(compose["services"])
        volumes |= {v.partition(":")[0] for v in service["volumes"]}
    assert volumes == set(compose["volumes"])


def test_every_file_that_is_copied_is_there():
    copied = re.findall(r"(?m)^COPY (etc/\S+) ", FILE)
    assert len(copied) == 4
    assert [name for name in copied if not (rig.TREE / name).exists()] == []


def test_the_page_has_the_client_that_is_fetched():
    install = (rig.TREE / "etc/page/install").read_text()
    version = re.search(r"(?m)^version=(\S+)$", install)[1]
    assert FILE.count(f"tus-js-client-{version}.tgz") == \
        FILE.count("tus-js-client-") == 3
