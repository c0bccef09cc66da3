"""K: kill -9 before every system call that changes something."""

import os

import check
import harness
import move
from harness import Place, Point, Result

SIGNAL = "signal=KILL"


def points_of(driver, template, scratch, mode, what="run", boot=harness.BOOT):
    with Place(scratch, template) as place:
        return [Point(mode, call, when, SIGNAL) for call, when in
                driver.points(what, place.store, mode, harness.CHANGING, boot)]


def judge(driver, before, template, scratch, point, what):
    with Place(scratch, template) as place:
        log = before + driver.inject(what, place.store, point)
        found = list(check.check_ledger(place.store, is_one_tick=True))
        return found + harness.verify(
            driver, place.store, point.mode, log, check.KILL)


def forge_power_loss(folder):
    """What was never flushed is lost: holes above every watermark."""
    for name in os.listdir(folder):
        if not name.endswith(".info"):
            continue
        head = check.read_record(os.path.join(folder, name))
        path = os.path.join(folder, name[:-5])
        if not isinstance(head, check.Head) or not os.path.exists(path):
            continue
        size = os.path.getsize(path)
        if size > head.offset and not head.boot.startswith("--"):
            with open(path, "r+b") as f:
                f.truncate(head.offset)
                f.truncate(size)


def judge_recover(driver, states, scratch, point):
    """Kill the repair after a power loss, then repair for good."""
    folder, log, level = states[point.state]
    with Place(scratch, folder) as place:
        driver.inject("recover", place.store, point, harness.NEXT_BOOT)
        return harness.verify(driver, place.store, point.mode, log, level,
                              harness.NEXT_BOOT)


def kill_recover(driver, scratch, options):
    """From a sample of kills: power loss, and a kill inside the repair."""
    result = Result("K-recover", options)
    levels = {"data": check.FINISHED, "full": check.FULL}
    place, before = harness.template(driver, scratch)
    states, places, points = {}, [place], []
    for mode, level in levels.items():
        if options.modes and mode not in options.modes:
            continue
        kills = points_of(driver, place.store, scratch, mode)
        for kill in options.sample(kills, 12):
            state = Place(scratch, place.store)
            places.append(state)
            log = before + driver.inject("run", state.store, kill)
            forge_power_loss(state.store)
            number = len(states)
            states[number] = (state.store, log, level)
            for point in points_of(driver, state.store, scratch, mode,
                                   "recover", harness.NEXT_BOOT):
                point.state = number
                points.append(point)
    result.judge_all(
        options.pick(harness.shuffled(points)),
        lambda p: judge_recover(driver, states, scratch, p))
    for one in places:
        one.__exit__()
    return result


def run(driver, scratch, options):
    # With a quota: what is entered is never less than what is there.
    for name, what in (("K", "run"), ("K-quota", "owned")):
        if options.wants(name):
            yield harness.run_modes(driver, scratch, options, name, what,
                                    points_of, judge)
    if options.wants("K-recover"):
        yield kill_recover(driver, scratch, options)
    yield from move.kills(driver, scratch, options)
