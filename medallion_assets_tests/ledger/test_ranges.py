"""Ranges: the missing ones are exactly those that were lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from medallion_assets.capture.sequence import SEQUENCE_START, pad_sequence
from medallion_assets.ledger.ranges import Range, missing, union

# The ends of a chain's links: numbers of any width, rising.
ENDS = st.lists(st.integers(1, 10**40 - 1), min_size=1, max_size=12, unique=True).map(sorted)


def chain(ends: list[int]) -> list[Range]:
    """Links from SEQUENCE_START on, each after the one before."""
    numbers = [pad_sequence(str(end)) for end in ends]
    return [Range(after, up_to) for after, up_to in zip([SEQUENCE_START, *numbers], numbers, strict=False)]


def runs(links: list[Range], lost: set[int]) -> list[Range]:
    """The lost links, neighbours as one."""
    found: list[Range] = []
    for at in sorted(lost):
        if found and found[-1].up_to == links[at].after:
            found[-1] = Range(found[-1].after, links[at].up_to)
        else:
            found.append(links[at])
    return found


@given(ENDS, st.data())
def test_the_missing_ranges_are_exactly_the_lost_ones(ends: list[int], data: st.DataObject) -> None:
    links = chain(ends)
    lost = data.draw(st.sets(st.sampled_from(range(len(links)))))
    left = [link for at, link in enumerate(links) if at not in lost]
    shuffled = data.draw(st.permutations(left))
    assert missing(shuffled, up_to=links[-1].up_to) == runs(links, lost)


@given(ENDS, st.data())
def test_overlapping_ranges_hide_no_loss(ends: list[int], data: st.DataObject) -> None:
    """After a crash a coverage is made again from the same number, further or shorter."""
    links = chain(ends)
    again = [
        Range(links[first].after, links[last].up_to)
        for first, last in data.draw(st.lists(st.tuples(*[st.integers(0, len(links) - 1)] * 2), max_size=4))
        if first <= last
    ]
    lost = data.draw(st.sets(st.sampled_from(range(len(links)))))
    left = [link for at, link in enumerate(links) if at not in lost] + again
    really = {
        at
        for at in lost
        if not any(coverage.after <= links[at].after and links[at].up_to <= coverage.up_to for coverage in again)
    }
    assert missing(left, up_to=links[-1].up_to) == runs(links, really)


def test_numbers_are_compared_as_integers() -> None:
    coverages = [
        Range(SEQUENCE_START, pad_sequence("9")),
        Range(pad_sequence("9"), pad_sequence("10")),
        Range(pad_sequence("10"), pad_sequence("100")),
    ]
    assert union(coverages) == [Range(SEQUENCE_START, pad_sequence("100"))]
    assert missing(coverages) == []


@given(ENDS)
def test_a_range_is_read_as_it_was_written(ends: list[int]) -> None:
    for link in chain(ends):
        assert Range.parse(str(link)) == link
