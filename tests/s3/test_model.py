"""The protocol of the S3 store, in every order; see model.py."""

import pytest

from s3 import model

# Seconds, not minutes; `tests/s3/model.py` by hand takes four operations.
OPERATIONS, LIMIT = 2, 30_000


def bounded(w, operations):
    w.operations = operations
    return w


@pytest.mark.parametrize("w", model.worlds(), ids=lambda w: w.name)
def test_no_order_of_requests_loses_a_byte_or_tells_a_lie(w):
    w = bounded(w, OPERATIONS)
    w.limit = LIMIT
    states, complaint, steps, everything = model.explore(w)
    assert complaint is None, steps
    assert everything or states >= LIMIT


@pytest.mark.parametrize("w", model.planted(), ids=lambda w: w.name)
def test_a_planted_mistake_is_found(w):
    assert model.explore(bounded(w, 3))[1]


def test_what_needs_a_lock_or_conditions():
    w = bounded(model.without_a_lock(), OPERATIONS)
    assert model.explore(w)[1] == "what was removed is back"
