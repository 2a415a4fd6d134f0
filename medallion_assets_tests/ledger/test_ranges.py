"""Claims and holes: whatever is missing of a chain, exactly that is found."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from medallion_assets.ledger.ranges import START, Range, covered, holes, padded

# The ends of a chain's links: numbers of any width, rising.
ENDS = st.lists(st.integers(1, 10**40 - 1), min_size=1, max_size=12, unique=True).map(sorted)


def chain(ends: list[int]) -> list[Range]:
    """Links from START on, each after the one before."""
    numbers = [padded(str(end)) for end in ends]
    return [Range(after, upto) for after, upto in zip([START, *numbers], numbers, strict=False)]


def runs(links: list[Range], missing: set[int]) -> list[Range]:
    """The missing links, neighbours as one."""
    found: list[Range] = []
    for at in sorted(missing):
        if found and found[-1].upto == links[at].after:
            found[-1] = Range(found[-1].after, links[at].upto)
        else:
            found.append(links[at])
    return found


@given(ENDS, st.data())
def test_any_missing_links_are_exactly_the_holes(ends: list[int], data: st.DataObject) -> None:
    links = chain(ends)
    missing = data.draw(st.sets(st.sampled_from(range(len(links)))))
    left = [link for at, link in enumerate(links) if at not in missing]
    shuffled = data.draw(st.permutations(left))
    assert holes(shuffled, upto=links[-1].upto) == runs(links, missing)


@given(ENDS, st.data())
def test_overlapping_claims_hide_nothing_and_leave_nothing_out(ends: list[int], data: st.DataObject) -> None:
    """After a crash a claim is made again from the same number, further or shorter."""
    links = chain(ends)
    again = [
        Range(links[first].after, links[last].upto)
        for first, last in data.draw(st.lists(st.tuples(*[st.integers(0, len(links) - 1)] * 2), max_size=4))
        if first <= last
    ]
    missing = data.draw(st.sets(st.sampled_from(range(len(links)))))
    left = [link for at, link in enumerate(links) if at not in missing] + again
    really = {
        at
        for at in missing
        if not any(claim.after <= links[at].after and links[at].upto <= claim.upto for claim in again)
    }
    assert holes(left, upto=links[-1].upto) == runs(links, really)


def test_numbers_are_compared_as_integers() -> None:
    claims = [Range(START, padded("9")), Range(padded("9"), padded("10")), Range(padded("10"), padded("100"))]
    assert covered(claims) == [Range(START, padded("100"))]
    assert holes(claims) == []


@given(ENDS)
def test_a_range_is_read_as_it_was_written(ends: list[int]) -> None:
    for link in chain(ends):
        assert Range.parse(str(link)) == link
