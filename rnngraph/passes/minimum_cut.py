"""The cheapest cut between two ends of a network, by the largest flow (Dinic, Soviet Mathematics Doklady 11, 1970)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

SOURCE, SINK = "source", "sink"


class Network:
    """Places, and pipes between them that carry so much at most. Pipe `p ^ 1` is the way back through pipe `p`, with
    room for what flows there."""

    def __init__(self) -> None:
        self.numbers: dict[Hashable, int] = {SOURCE: 0, SINK: 1}
        self.pipes: list[list[int]] = [[], []]
        self.ends: list[int] = []
        self.room: list[int] = []

    def number(self, place: Hashable) -> int:
        found = self.numbers.setdefault(place, len(self.pipes))
        if found == len(self.pipes):
            self.pipes.append([])
        return found

    def pipe(self, start: Hashable, end: Hashable, room: int) -> None:
        for at, to, free in ((start, end, room), (end, start, 0)):
            self.pipes[self.number(at)].append(len(self.ends))
            self.ends.append(self.number(to))
            self.room.append(free)

    def near_the_sink(self) -> set[Hashable]:
        """The places on the sink's side of the cheapest cut; of several cuts, of the one nearest to it."""
        while True:
            far = self.distances()
            if far[0] < 0:
                return {place for place, number in self.numbers.items() if far[number] >= 0}
            self.fill(far)

    def distances(self) -> list[int]:
        """The number of pipes with room from each place to the sink; -1 where no way leads there."""
        far = [-1] * len(self.pipes)
        far[1], front = 0, [1]
        for place in front:
            for pipe in self.pipes[place]:
                before = self.ends[pipe]
                if self.room[pipe ^ 1] and far[before] < 0:
                    far[before] = far[place] + 1
                    front.append(before)
        return far

    def fill(self, far: Sequence[int]) -> None:
        """Lets as much flow as the shortest ways carry: from each place on by its first pipe that still leads on."""
        turn, way = [0] * len(self.pipes), list[int]()
        while True:
            place = self.ends[way[-1]] if way else 0
            if place == 1:
                self.flow(way)
                way = []
            elif turn[place] < len(self.pipes[place]):
                pipe = self.pipes[place][turn[place]]
                if self.room[pipe] and far[self.ends[pipe]] == far[place] - 1:
                    way.append(pipe)
                else:
                    turn[place] += 1
            elif way:
                turn[self.ends[way.pop() ^ 1]] += 1
            else:
                return

    def flow(self, way: Sequence[int]) -> None:
        amount = min(self.room[pipe] for pipe in way)
        for pipe in way:
            self.room[pipe] -= amount
            self.room[pipe ^ 1] += amount
