"""What tests leave for the end of the run.

A test may run in another process (pytest-xdist).  What it wants to have printed
goes into its report, which comes back; so this is the same with and without.
"""

from lib import rig

CELL = "client by front end"
ROWS = "bad inputs"


def note_client(item, report, title, param):
    """For pytest_runtest_makereport: a cell of the table of that title, in the
    row of the test and the column of what its parameter names."""
    if item.path.name != "test_clients.py" or report.passed and \
            report.when != "call":
        return
    params = dict(item.callspec.params)
    column = params.pop(param)
    row = " ".join([item.originalname[5:].replace("_", " "),
                    *map(str, params.values())])
    verdict = {"passed": "yes", "skipped": "skipped"}.get(report.outcome, "NO")
    report.user_properties.append((CELL, [title, row, column, verdict]))


def lines_of(cells):
    """A table of {row: {column: text}}."""
    known = list(dict.fromkeys(n for row in cells.values() for n in row))
    names = [n for n in rig.FRONT_ENDS if n in known]
    names += [n for n in known if n not in names]
    rows = [["", *names]] + [[row, *(of_row.get(n, "-") for n in names)]
                             for row, of_row in cells.items()]
    wide = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        yield "  ".join(cell.ljust(w) for cell, w in zip(row, wide)).rstrip()


class Summary:
    """A plugin: gathers what the reports bring, and prints it."""

    def __init__(self):
        self.rows = 0
        self.tables = {}

    def pytest_runtest_logreport(self, report):
        for name, value in report.user_properties:
            if name == ROWS:
                self.rows += value
            elif name == CELL:
                title, row, column, verdict = value
                self.tables.setdefault(title, {}).setdefault(
                    row, {})[column] = verdict

    def pytest_terminal_summary(self, terminalreporter):
        if self.rows:
            terminalreporter.write_line(f"bad inputs: {self.rows} rows tried")
        for title, cells in self.tables.items():
            terminalreporter.section(title)
            for line in lines_of(cells):
                terminalreporter.write_line(line)
