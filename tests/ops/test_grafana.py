"""The dashboard asks for what there is."""

import json
import re

from lib import rig
from ops.test_metrics import BUCKET, NAMES, SERVICE

ALL = {**NAMES, **SERVICE, **BUCKET}


def dashboard():
    text = (rig.TREE / "etc/grafana/tusfcgi.json").read_text()
    return json.loads(text)


def expressions(board):
    return [t["expr"] for p in board["panels"] for t in p["targets"]]


def metric_of(name):
    """Without what a histogram or a summary adds."""
    return re.sub("_(bucket|sum|count)$", "", name)


def test_every_metric_is_shown_and_exists():
    text = " ".join(expressions(dashboard()))
    shown = {metric_of(x) for x in re.findall(r"tusd_([a-z0-9_]+)", text)}
    # How many connections are open, the workers say in detail.
    assert shown == set(ALL) - {"connections_open"}


def test_counters_are_shown_as_rates():
    for text in expressions(dashboard()):
        (name,) = re.findall(r"tusd_([a-z0-9_]+)", text)
        kind = ALL[metric_of(name)]
        assert ("rate(" in text) == (kind != "gauge"), text


def test_the_data_source_is_asked_for_not_wired_in():
    board = dashboard()
    variables = {v["name"]: v for v in board["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    used = re.findall(r'"uid": "([^"]*)"', json.dumps(board["panels"]))
    assert set(used) == {"${datasource}"}
    numbers = [p["id"] for p in board["panels"]]
    assert len(set(numbers)) == len(numbers)


def test_panels_do_not_overlap():
    seen = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"])
                 for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & seen and max(x for x, _ in cells) < 24
        seen |= cells
