"""The counters of one group in the table, as the operations of a store."""

from collections.abc import Callable, Sequence

from smtpd_classic.counters.store import Amount, Number, Seen, Taken
from smtpd_classic.counters.table import CounterTable, Slot, key_of

__all__ = ["NO_NUMBER", "GroupCounters", "TableFull"]

NO_NUMBER = Number(0, 0.0)
_GROUP = ""  # the counter that holds the first count of a group
_GROUP_LIFETIME_S = 400 * 86_400.0


class TableFull(Exception):
    """Raised when a region has no room for `need` more counters."""

    def __init__(self, need: int) -> None:
        super().__init__(need)
        self.need = need


class GroupCounters:
    """The counters of one group while its region is locked."""

    def __init__(
        self, table: CounterTable, group: str, region: int, now: float, remember: Callable[[str], None]
    ) -> None:
        self._table = table
        self._group = group
        self._region = region
        self._now = now
        self._remember = remember

    def take(self, amounts: Sequence[Amount], seen: Seen | None) -> Taken:
        new: tuple[str, ...] = ()
        if seen is not None:
            new = tuple(word for word in dict.fromkeys(seen.words) if not self.number(f"seen {word}").value)
            young = self._now - (self.number(_GROUP).value or self._now) < seen.grace_s
            amounts = (*amounts, seen.amount._replace(number=len(new), most=0 if young else seen.amount.most))
        living = {each.name: self._living(each.name) for each in amounts}
        values = {name: 0 if slot is None else slot.value for name, slot in living.items()}
        over = tuple(each.name for each in amounts if each.most and values[each.name] + each.number > each.most)
        need = (len(seen.words) if seen is not None else 0) + len(amounts) + 1
        if self._table.room(self._region) < need:
            raise TableFull(need)  # before the first change
        since = self._since()
        if over:
            return Taken(self._group, values, (), over, new, since)
        for each in amounts:
            if each.number:
                values[each.name] += each.number
                self._add(each, living[each.name])
        # The words come last, and go first: if a process is killed in between, they must be new to the next one.
        for word in seen.words if seen is not None else ():
            self.put(f"seen {word}", 1, seen.lifetime_s if seen is not None else 0.0)
        added = tuple((each.name, each.number) for each in amounts if each.number)
        return Taken(self._group, values, added, (), new, since)

    def give_back(self, taken: Taken) -> None:
        self.forget([f"seen {word}" for word in taken.new])
        for name, number in taken.added:
            slot = self._table.find(self._region, key_of(self._group, name))
            if slot is not None:
                self._table.set(slot, max(slot.value - number, 0), slot.until)

    def number(self, name: str) -> Number:
        slot = self._living(name)
        return NO_NUMBER if slot is None else Number(slot.value, slot.until)

    def _living(self, name: str) -> Slot | None:
        """Return the slot of a counter whose lifetime has not ended."""
        slot = self._table.find(self._region, key_of(self._group, name))
        return slot if slot is not None and slot.until > self._now else None

    def keep(self, name: str, value: int, lifetime_s: float) -> None:
        """Set a number, and let the group be listed."""
        self._since()
        self.put(name, value, lifetime_s)

    def put(self, name: str, value: int, lifetime_s: float) -> None:
        key, until = key_of(self._group, name), self._now + lifetime_s
        slot = self._table.find(self._region, key)
        if slot is not None:
            self._table.set(slot, value, until)
        elif not self._table.insert(self._region, key, value, until, self._now):
            raise TableFull(1)

    def forget(self, names: Sequence[str]) -> None:
        for name in names:
            slot = self._table.find(self._region, key_of(self._group, name))
            if slot is not None:
                self._table.set(slot, 0, 0.0)

    def _add(self, amount: Amount, slot: Slot | None) -> None:
        if slot is None:
            self.put(amount.name, amount.number, amount.lifetime_s)
        else:  # an end later than a lifetime from now means that the clock was set back
            until = min(slot.until, self._now + amount.lifetime_s)
            self._table.set(slot, slot.value + amount.number, until)

    def _since(self) -> float:
        """Return the time of the first count of the group; write it at the first count."""
        found = self._living(_GROUP)
        if found is None or not found.value:
            self._remember(self._group)
        since = found.value if found is not None and found.value else int(self._now)
        if found is None or found.until < self._now + _GROUP_LIFETIME_S / 2:
            self.put(_GROUP, since, _GROUP_LIFETIME_S)
        return float(since)
