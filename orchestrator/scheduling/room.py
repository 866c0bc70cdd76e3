"""`Room`: where a gang fits on what is free."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from orchestrator.scheduling.cluster import Demand, Placement, Share, workers_of
from orchestrator.scheduling.layout import Part, bits, capacity, usable
from orchestrator.scheduling.stock import Stock

__all__ = ["Room", "capacity", "usable"]


class Room(Stock):
    """A stock that is looked up by what is sought."""

    __slots__ = ()

    def fit(self, demand: Demand, workers: int, now: float, until: float) -> Placement | None:
        """Where a gang of so many workers fits; None where it does not.

        A packed gang that one node can hold when empty lies on the node with the fewest free slots that are enough.
        A larger one lies on wholly empty nodes, largest first, and what then remains of it on the node with the
        fewest free slots that are enough. A scattered gang does the same with the emptiest nodes, wholly empty or
        not. Ties are broken by name.

        Args:
            demand: what it needs.
            workers: its width.
            now: nothing starts in a window of maintenance,
            until: and nothing runs into one.
        """
        shape = self.layout.shape(demand)
        if shape.simple is not None:
            return self._fit_simple(shape.simple, demand, workers, self._sets[shape.simple.cls])
        for parts, most in zip(shape.parts, shape.most, strict=True):
            if shape.windows:
                parts = tuple(part for part in parts if part.open(now, until))
                most = parts[0].capacity if parts else 0
            if parts and (found := self._place(parts, most, demand, workers)) is not None:
                return found
        return None

    def extend(self, demand: Demand, held: Placement, workers: int, now: float, until: float) -> Placement | None:
        """All of `held`, and as many more as make `workers`; None where they do not fit.

        A packed gang fills the nodes that it has, and gets further ones only where those are wholly its own and no
        node could hold it by itself.
        """
        shares, rest, used = dict(held), workers - workers_of(held), 0
        nodes, index = self.layout.nodes, self.layout.index
        for name in sorted(shares):
            node = nodes.get(name)
            if node is None or not usable(node, demand, now, until):
                return None
            used |= 1 << index[name]
            fits = max(0, min(rest, self._fits(index[name], demand)))
            shares[name] += fits
            rest -= fits
            if demand.packed and rest and shares[name] < capacity(node, demand):
                return None
        if rest > 0:
            more = self._beyond(demand, used, rest, now, until)
            if more is None or (demand.packed and workers <= max(self.layout.shape(demand).most)):
                return None
            shares.update(more)
        return tuple(sorted(Share(name, count) for name, count in shares.items()))

    def _beyond(self, demand: Demand, used: int, rest: int, now: float, until: float) -> Placement | None:
        """Room for the rest of a gang that lies on `used` already."""
        shape = self.layout.shape(demand)
        for group in shape.parts:
            if demand.constraints.same_rack and not any(part.members & used for part in group):
                continue
            parts = [part for part in group if part.open(now, until)]
            if parts and (found := self._fill(parts, parts[0].capacity, demand, rest, used)) is not None:
                return found
        return None

    def fit_with(self, demand: Demand, workers: int, free: Mapping[str, int], risen: Sequence[str]) -> Placement | None:
        """Where a gang fits with so many slots free on these nodes; for demands of a simple shape.

        Args:
            demand: what it needs.
            workers: its width.
            free: of nodes on which more is free than here.
            risen: those of them on which one node's part of the gang fits now, and did not here.
        """
        layout = self.layout
        part = layout.shape(demand).simple
        assert part is not None
        own, members, rest = self._sets[part.cls], part.members, workers % part.capacity
        if workers > part.capacity and rest:
            return self._fit_simple(part, demand, workers, self._changed(part, free, rest * demand.slots))
        bits = [layout.bits[layout.index[node]] for node in risen if node in layout.index]
        if workers > part.capacity:
            whole = own[-1]
            for bit in bits:
                whole |= bit & members
            return self._fit_simple(part, demand, workers, [*own[:-1], whole])
        found = [bit for bit in bits if bit & members]
        if not found or any(own[workers * demand.slots :]):
            return self._fit_simple(part, demand, workers, self._changed(part, free, workers * demand.slots))
        name = min((free[name], name) for name in (layout.names[bit.bit_length() - 1] for bit in found))[1]
        return (Share(name, workers),)

    def _changed(self, part: Part, free: Mapping[str, int], least: int) -> list[int]:
        """Sets of nodes with so many slots free on these, right for those with so many at least."""
        layout, sets, top = self.layout, self._sets[part.cls].copy(), part.slots
        for node, slots in free.items():
            number = layout.index.get(node) if slots >= least else None
            if number is not None and part.members & (bit := layout.bits[number]):
                sets[max(0, min(self._slots[number], top))] ^= bit
                sets[min(slots, top)] |= bit
        return sets

    def might(self, demand: Demand, workers: int) -> bool:
        """Whether a packed gang fits as far as its slots go, racks and maintenance ahead aside."""
        parts = [part for group in self.layout.shape(demand).parts for part in group]
        return self._on_one(parts, demand, workers) or self._on_many(parts, demand, workers)

    def might_start(self, demand: Demand, workers: int) -> bool:
        """The same for a gang that holds nothing yet: it lies in one rack if it has to, and if it can on one node."""
        shape = self.layout.shape(demand)
        if shape.windows:
            return self.might(demand, workers)
        for group, most in zip(shape.parts, shape.most, strict=True):
            if self._on_one(group, demand, workers) if workers <= most else self._on_many(group, demand, workers):
                return True
        return False

    def might_start_at_all(self, demand: Demand, fewest: int) -> bool:
        """The same for any width from that on."""
        even = self.layout.shape(demand).even
        return self.might_start(demand, fewest) if even else self.might(demand, fewest)

    def _on_one(self, parts: Iterable[Part], demand: Demand, workers: int) -> bool:
        """Whether any node has the slots."""
        least, sets = workers * demand.slots, self._sets
        return any(workers <= part.capacity and _meet(sets[part.cls][least:], part.members) for part in parts)

    def _on_many(self, parts: Iterable[Part], demand: Demand, workers: int) -> bool:
        """Whether whole nodes and one other may have the slots."""
        whole = last = 0
        for part in parts:
            whole += part.capacity * (self._sets[part.cls][part.slots] & part.members).bit_count()
            last = max(last, part.capacity if part.counted else (part.slots - 1) // demand.slots)
        return whole + last >= workers

    def roomy(self, demand: Demand, slots: int | None, now: float, until: float) -> list[str]:
        """Nodes on which workers may start now and stay until then, with so many slots free; None: with all of them."""
        names = self.layout.names
        parts = [part for group in self.layout.shape(demand).parts for part in group if part.open(now, until)]
        return [
            names[number]
            for part in parts
            for those in self._sets[part.cls][part.slots if slots is None else slots :]
            for number in bits(those & part.members)
        ]

    def could(self, demand: Demand) -> bool:
        """Whether its fewest workers fit now, maintenance ahead aside."""
        part, workers = self.layout.shape(demand).simple, demand.workers_min
        if part is None:
            windows = self.layout.shape(demand).windows  # a gang may be spread where its largest nodes are closed
            return windows or self.fit(demand, workers, -math.inf, -math.inf) is not None
        sets, members = self._sets[part.cls], part.members
        if workers <= part.capacity:
            return _meet(sets[workers * demand.slots :], members)
        nodes, rest = divmod(workers, part.capacity)
        whole = (sets[part.slots] & members).bit_count()
        if whole == nodes and rest:
            return _meet(sets[rest * demand.slots : part.slots], members)
        return whole >= nodes

    def _fit_simple(self, part: Part, demand: Demand, workers: int, sets: list[int]) -> Placement | None:
        """The same for the most common case: nodes that are all alike, a packed gang, slots alone that count."""
        members, names = part.members, self.layout.names
        nodes, rest = (0, workers) if workers <= part.capacity else divmod(workers, part.capacity)
        whole = sets[part.slots] & members
        if whole.bit_count() < nodes:
            return None
        shares = []
        for _ in range(nodes):
            first = whole & -whole
            whole ^= first
            shares.append(Share(names[first.bit_length() - 1], part.capacity))
        if not rest:
            return tuple(shares)
        for those in sets[rest * demand.slots : part.slots]:
            if found := those & members:
                break
        else:
            found = whole
        if not found:
            return None
        share = Share(names[(found & -found).bit_length() - 1], rest)
        return tuple(sorted([*shares, share])) if nodes else (share,)

    def _place(self, parts: Sequence[Part], most: int, demand: Demand, workers: int) -> Placement | None:
        if demand.packed and workers <= most:
            number = self._one(parts, demand, workers, 0)
            return None if number < 0 else (Share(self.layout.names[number], workers),)
        if demand.packed and workers > most + self._in_whole(parts):
            return None
        return self._fill(parts, most, demand, workers, 0)

    def _in_whole(self, parts: Sequence[Part]) -> int:
        """Workers that fit on wholly empty nodes."""
        sets = self._sets
        return sum(p.capacity * (sets[p.cls][p.slots] & p.members).bit_count() for p in parts)

    def _one(self, parts: Sequence[Part], demand: Demand, workers: int, used: int) -> int:
        """The node with the fewest free slots that holds so many workers by itself; -1: none."""
        for free in range(workers * demand.slots, max(part.slots for part in parts) + 1):
            found = 0
            for part in parts:
                if free <= part.slots and (those := self._sets[part.cls][free] & part.members & ~used):
                    found |= self._with(those, demand, workers) if part.counted else those
            if found:
                return (found & -found).bit_length() - 1
        return -1

    def _with(self, those: int, demand: Demand, workers: int) -> int:
        """Which of these have the cores and the memory too."""
        found = 0
        for number in bits(those):
            if self._fits(number, demand) >= workers:
                found |= 1 << number
        return found

    def _fill(self, parts: Sequence[Part], most: int, demand: Demand, workers: int, used: int) -> Placement | None:
        """Nodes in turn, and the last workers where they fit best."""
        shares: list[Share] = []
        names = self.layout.names
        nodes = self._whole(parts, used) if demand.packed else self._emptiest(parts, demand, used)
        while workers > most or (last := self._one(parts, demand, workers, used)) < 0:
            if (found := next(nodes, None)) is None:
                return None
            number, fits = found
            shares.append(Share(names[number], min(fits, workers)))
            used |= 1 << number
            workers -= fits
            if workers <= 0:
                return tuple(sorted(shares))
        shares.append(Share(names[last], workers))
        return tuple(sorted(shares))

    def _whole(self, parts: Sequence[Part], used: int) -> Iterator[tuple[int, int]]:
        """Wholly empty nodes and the workers that each holds, the largest first."""
        found: dict[int, int] = {}
        for part in parts:
            if members := self._sets[part.cls][part.slots] & part.members & ~used:
                found[part.capacity] = found.get(part.capacity, 0) | members
        return ((number, fits) for fits in sorted(found, reverse=True) for number in bits(found[fits]))

    def _emptiest(self, parts: Sequence[Part], demand: Demand, used: int) -> Iterator[tuple[int, int]]:
        """Nodes and the workers that fit on each, the emptiest first."""
        found = [
            (-fits, number)
            for part in parts
            for free in range(demand.slots, part.slots + 1)
            for number in bits(self._sets[part.cls][free] & part.members & ~used)
            if (fits := self._fits(number, demand)) > 0
        ]
        for fits, number in sorted(found):
            yield number, -fits


def _meet(sets: list[int], members: int) -> bool:
    """Whether any of these sets of nodes has one of the members in it."""
    return any(map(members.__and__, sets))
