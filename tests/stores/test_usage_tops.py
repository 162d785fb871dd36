"""Tops: of a series by parts those with the most in all; nothing is lost and nothing counts twice."""

from hypothesis import given
from hypothesis import strategies as st

from farthing.core.rollup import Sums
from farthing.stores.usage_reports import Part, Point
from farthing.stores.usage_tops import tops_of


def point(start: int, **revenue: int) -> Point:
    parts = [Part(Sums(revenue=amount), service=name) for name, amount in revenue.items()]
    return Point(start, start + 1, Sums(revenue=sum(revenue.values())), parts)


def test_the_largest_in_all_are_told_at_each_point():
    tops, shares = tops_of([point(0, a=5, b=1), point(1, b=7, c=2), point(2)], 2)
    assert [(part.service, part.sums.revenue) for part in tops] == [("b", 8), ("a", 5)]
    assert [[part.service for part in share.parts] for share in shares] == [["b", "a"], ["b"], []]
    assert [share.others.revenue for share in shares] == [0, 2, 0]


def test_those_alike_come_by_name():
    tops, _ = tops_of([point(0, b=1, a=1, c=1)], 2)
    assert [part.service for part in tops] == ["a", "b"]


names = st.dictionaries(st.sampled_from("abcdef"), st.integers(-9, 9), max_size=4)


@given(st.lists(names, max_size=5), st.integers(1, 4))
def test_parts_and_others_add_up_to_their_point(days: list[dict[str, int]], limit: int):
    points = [point(n, **day) for n, day in enumerate(days)]
    tops, shares = tops_of(points, limit)
    assert len(tops) <= limit
    for share in shares:
        told = sum(part.sums.revenue for part in share.parts) + share.others.revenue
        assert told == share.point.sums.revenue
    assert sum(p.sums.revenue for p in tops) + sum(s.others.revenue for s in shares) == sum(
        p.sums.revenue for p in points
    )
