"""Whatever happens in whatever order: what holds of every view, every start and every end."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orchestrator.rundir.membership import Member, View
from orchestrator.runtime.membership import events as e
from orchestrator.runtime.membership.coordinator import Coordinator

MOST_AGENTS = 3
GRACE = 20.0
POLICY = e.Policy(wanted=3, minimum=2, replacements=10_000, minimum_within=1e6, start_within=20.0, warm_within=15.0)


class Cluster(RuleBasedStateMachine):
    """Agents and workers that obey late, die at any time, and fall silent."""

    def __init__(self) -> None:
        super().__init__()
        self.coordinator = Coordinator(POLICY)
        self.now = 0.0
        self.wanted = POLICY.wanted
        self.rooms: dict[int, int] = {}
        self.orders: list[e.Instruction] = []
        self.live: dict[int, int] = {}
        self.warm: set[int] = set()
        self.known_dead: set[int] = set()
        self.dismissed: set[int] = set()
        self.started: set[int] = set()
        self.silent: set[int] = set()
        self.going: set[int] = set()
        self.stopping = False
        self.views: list[View] = []
        self.over: e.Instruction | None = None

    def tell(self, event: e.Event) -> None:
        for instruction in self.coordinator.handle(event, self.now):
            self.check(instruction)

    def check(self, instruction: e.Instruction) -> None:
        assert self.over is None, "nothing follows the end"
        match instruction:
            case e.Publish():
                self.check_view(instruction.view)
                self.views.append(instruction.view)
            case e.StartWorker():
                number = instruction.number
                assert number not in self.started
                self.started.add(number)
                self.orders.append(instruction)
                agent = e.agent_of(number)
                planned = [o.number for o in self.orders if isinstance(o, e.StartWorker)]
                held = [n for n in (*self.live, *planned) if e.agent_of(n) == agent]
                assert len(held) <= self.rooms[agent]
            case e.EndWorker() | e.ReleaseWorker():
                self.dismissed.add(instruction.number)
                self.orders.append(instruction)
            case e.StopWorkers():
                assert self.too_few_stay()
                self.stopping = True
            case _:
                self.over = instruction

    def check_view(self, view: View) -> None:
        before = self.views[-1] if self.views else None
        assert view.epoch == (before.epoch if before else 0) + 1
        assert list(view.numbers) == sorted(set(view.numbers))
        assert set(view.numbers) <= self.warm, "only ready workers"
        assert not set(view.numbers) & (self.known_dead | self.dismissed), "none that is dead or told to go"
        assert (1 if self.stopping else POLICY.minimum) <= len(view.members) <= self.wanted
        assert not set(view.leaving) & (set(view.numbers) | self.known_dead)
        if before is not None:
            left = set(before.numbers) - set(view.numbers)
            assert left <= set(view.leaving) | set(view.lost), "nobody vanishes without a word"
            joined = set(view.numbers) - set(before.numbers)
            stayed = set(view.numbers) & set(before.numbers)
            went = set(before.numbers) & set(view.leaving)
            assert not (joined and went) or len(view.members) == self.wanted or self.crowded(went), (before, view)
            assert not went or not stayed or min(went) > max(stayed) or self.crowded(went)

    def crowded(self, numbers: set[int]) -> bool:
        """Whether some agent has less room than workers, so that its own have to go first."""
        return any(
            sum(e.agent_of(n) == agent for n in self.live) > room for agent, room in self.rooms.items()
        ) and bool(numbers)

    @initialize(room=st.integers(1, 4))
    def first_agent(self, room: int) -> None:
        self.rooms[0] = room
        self.tell(e.AgentJoined(0, room, 0))

    @precondition(lambda self: len(self.rooms) < MOST_AGENTS and 2 not in self.rooms)
    @rule(room=st.integers(0, 4))
    def agent_joins(self, room: int) -> None:
        index = 1 if 1 not in self.rooms and not any(e.agent_of(n) == 1 for n in self.started) else 2
        if not any(e.agent_of(n) == index for n in self.started):
            self.rooms[index] = room
            self.tell(e.AgentJoined(index, room, index * 1000))

    @precondition(lambda self: self.rooms.keys() - self.going)
    @rule(data=st.data(), room=st.integers(0, 4))
    def room_changes(self, data: st.DataObject, room: int) -> None:
        agent = data.draw(st.sampled_from(sorted(self.rooms.keys() - self.going)))
        self.rooms[agent] = room
        self.tell(e.AgentRoom(agent, room))

    def too_few_stay(self) -> bool:
        """Whether the run may be stopped for the sake of those who were told to go."""
        staying = [n for n in self.warm & set(self.live) if e.agent_of(n) not in self.going]
        room = sum(self.rooms.values())
        return bool(self.going) and (min(len(staying), room) < POLICY.minimum or bool(self.silent & set(staying)))

    @precondition(lambda self: self.rooms.keys() - self.going)
    @rule(data=st.data())
    def an_allocation_is_told_to_go(self, data: st.DataObject) -> None:
        agent = data.draw(st.sampled_from(sorted(self.rooms.keys() - self.going)))
        self.rooms[agent] = 0
        self.going.add(agent)
        self.tell(e.AgentLeaves(agent, "preempt", GRACE))

    @precondition(lambda self: self.stopping)
    @rule()
    def all_workers_stop(self) -> None:
        self.stop()

    def stop(self) -> None:
        for number in sorted(self.live):
            del self.live[number]
            self.known_dead.add(number)
            self.tell(e.WorkerDone(number, "stopped"))

    @rule(workers=st.integers(1, 6))
    def wish_changes(self, workers: int) -> None:
        self.wanted = max(workers, POLICY.minimum)
        self.tell(e.Wanted(workers))

    @precondition(lambda self: self.orders)
    @rule(works=st.booleans())
    def an_order_is_obeyed(self, works: bool) -> None:
        self.obeys(works=works)

    def obeys(self, *, works: bool) -> None:
        order = self.orders.pop(0)
        number = order.number  # type: ignore[union-attr]
        if isinstance(order, e.StartWorker) and works and not self.stopping:
            self.live[number] = 0
            self.tell(e.WorkerStarted(number))
        elif isinstance(order, e.StartWorker):
            self.dies(number)
        elif isinstance(order, e.ReleaseWorker) and number in self.live:
            del self.live[number]
            self.known_dead.add(number)
            self.tell(e.WorkerDone(number, "left"))
        elif number in self.live:
            self.dies(number)

    @precondition(lambda self: set(self.live) - self.warm)
    @rule(data=st.data())
    def a_worker_gets_warm(self, data: st.DataObject) -> None:
        self.gets_warm(data.draw(st.sampled_from(sorted(set(self.live) - self.warm))))

    @precondition(lambda self: self.views)
    @rule()
    def all_take_the_newest_view(self) -> None:
        self.takes()

    def takes(self) -> None:
        if not self.views:
            return
        view = self.views[-1]
        for number in set(view.numbers) & set(self.live) - self.silent:
            self.live[number] = view.epoch
            self.beats(number)
        for number in set(view.leaving) & set(self.live):
            del self.live[number]
            self.known_dead.add(number)
            self.tell(e.WorkerDone(number, "left"))

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def a_worker_dies(self, data: st.DataObject) -> None:
        self.dies(data.draw(st.sampled_from(sorted(self.live))))

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def a_worker_falls_silent(self, data: st.DataObject) -> None:
        self.silent.add(data.draw(st.sampled_from(sorted(self.live))))

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def a_connection_breaks(self, data: st.DataObject) -> None:
        self.tell(e.WorkerCut(data.draw(st.sampled_from(sorted(self.live)))))

    @precondition(lambda self: len(self.rooms) > 1)
    @rule(data=st.data())
    def an_agent_dies(self, data: st.DataObject) -> None:
        agent = data.draw(st.sampled_from(sorted(self.rooms)))
        del self.rooms[agent]
        self.going.discard(agent)
        for number in [n for n in self.live if e.agent_of(n) == agent]:
            del self.live[number]
            self.known_dead.add(number)
        self.orders = [o for o in self.orders if e.agent_of(o.number) != agent]  # type: ignore[union-attr]
        self.tell(e.AgentGone(agent, certain=True))

    @rule(quarters=st.integers(1, 12))
    def time_passes(self, quarters: int) -> None:
        self.passes(quarters)

    @invariant()
    def it_ends_only_for_a_reason(self) -> None:
        assert self.over is None or self.stopping

    def teardown(self) -> None:
        """Left in peace, the run comes to what is wanted and possible; who was told to go has left in time."""
        self.settles(GRACE)
        members = self.views[-1].numbers if self.views else ()
        if self.stopping:
            assert isinstance(self.over, e.EndRun)
            assert self.over.outcome == "stopped"
            return
        assert not self.going & {e.agent_of(number) for number in (*members, *self.live)}
        self.settles(80.0 - GRACE)
        possible = min(self.wanted, sum(self.rooms.values()))
        if possible >= POLICY.minimum:
            assert len(self.views[-1].members) == possible
            assert set(self.views[-1].numbers) == set(self.live)

    def settles(self, seconds: float) -> None:
        """Everybody obeys for so long."""
        for _ in range(int(seconds / 2)):
            while self.orders:
                self.obeys(works=True)
            if self.stopping:
                self.stop()
            for number in sorted(set(self.live) - self.warm - self.silent):
                self.gets_warm(number)
            self.takes()
            self.passes(8)

    def gets_warm(self, number: int) -> None:
        self.warm.add(number)
        self.tell(e.WorkerReady(Member(number, "127.0.0.1", 1, 1)))

    def beats(self, number: int) -> None:
        self.tell(e.WorkerBeat(number, int(self.now), "collective", self.live[number]))

    def dies(self, number: int) -> None:
        self.live.pop(number, None)
        self.known_dead.add(number)
        self.tell(e.WorkerGone(number, "was ended by SIGKILL"))

    def passes(self, quarters: int) -> None:
        for _ in range(quarters):
            self.now += 0.25
            for number in [n for n in self.live if n not in self.silent]:
                self.beats(number)
            self.tell(e.Tick())


TestCluster = Cluster.TestCase
TestCluster.settings = settings(
    max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
