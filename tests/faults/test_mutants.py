"""The seeded bugs still fit the program; that each is caught is shown by scripts/torture."""

from __future__ import annotations

import ast
from collections import Counter

import pytest

from tests.faults.mutants import MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_changes_one_place_of_the_program(mutant: Mutant) -> None:
    """And what comes of it is still Python."""
    source = (ROOT / mutant.file).read_text()
    assert source.count(mutant.before) == 1
    ast.parse(source.replace(mutant.before, mutant.after))


def test_there_are_enough_of_them() -> None:
    """Each is another bug."""
    assert len(MUTANTS) >= 12
    assert max(Counter(mutant.name for mutant in MUTANTS).values()) == 1
