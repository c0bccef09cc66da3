"""What tests leave for the end of the run.

A test may run in another process (pytest-xdist).  What it wants to have printed
goes into its report, which comes back; so this is the same with and without.
"""

from lib import rig

CELL = "client by front end"
ROWS = "bad inputs"


class Summary:
    """A plugin: gathers what the reports bring, and prints it."""

    def __init__(self):
        self.rows = 0
        self.cells = {}

    def pytest_runtest_logreport(self, report):
        for name, value in report.user_properties:
            if name == ROWS:
                self.rows += value
            elif name == CELL:
                row, front, verdict = value
                self.cells.setdefault(row, {})[front] = verdict

    def pytest_terminal_summary(self, terminalreporter):
        if self.rows:
            terminalreporter.write_line(f"bad inputs: {self.rows} rows tried")
        if self.cells:
            terminalreporter.section("clients by front ends")
            for line in self.table():
                terminalreporter.write_line(line)

    def table(self):
        fronts = [name for name in rig.FRONT_ENDS
                  if any(name in cells for cells in self.cells.values())]
        rows = [["", *fronts]] + [
            [row, *(cells.get(name, "-") for name in fronts)]
            for row, cells in self.cells.items()]
        wide = [max(map(len, column)) for column in zip(*rows)]
        for row in rows:
            yield "  ".join(
                cell.ljust(w) for cell, w in zip(row, wide)).rstrip()
