"""Blocks of clients, the same on several servers.

`blocked/` stays the truth of this server, so that a connection costs one stat of it. What changes there goes into the
shared state, and changes of the others come from it; both four times a second. `shared-blocks.json` has the blocks that
were the same on both sides last: a difference from it tells which side has changed.
"""

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from filelock import lock_descriptor, unlock_descriptor

from smtpd_classic.atomic_file import replace_text
from smtpd_classic.runtime.blocks import Block, Blocks
from smtpd_classic.shared_state import SharedState, scripts

__all__ = ["SharedBlocks"]

_SAME_S = 2.0  # ends of a block that differ by less are the same: clocks and round trips
_VERSION, _INDEX, _BLOCKS = "smtpd-classic:version:blocks", "smtpd-classic:index:blocks", "smtpd-classic:block:"


class _SharedBlock(NamedTuple):
    """A block of the shared state in local time. `until` 0 means that it was ended by hand, at `since`."""

    until: float
    since: float
    reason: str


class SharedBlocks:
    """The exchange of blocks with the shared state."""

    def __init__(self, blocks: Blocks, shared: SharedState, clock: Callable[[], float] = time.time) -> None:
        self._blocks = blocks
        self._shared = shared
        self._clock = clock
        self._folder = os.path.dirname(blocks.folder)
        self._version = ""
        self._found: dict[str, _SharedBlock] = {}
        self._seen = -1

    def once(self) -> None:
        """Bring both sides together. Raises SharedStateDown and OSError."""
        lock = os.open(os.path.join(self._folder, "shared-blocks.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            lock_descriptor(lock)
            self._exchange()
        finally:
            unlock_descriptor(lock)
            os.close(lock)

    def _exchange(self) -> None:
        self._ask([])
        changed = os.stat(self._blocks.folder).st_mtime_ns
        if changed == self._seen:
            return
        own = {block.ip: block for block in self._blocks.list()}
        kept = self._kept()
        changes = self._own_changes(own, kept)
        if changes:
            self._ask(changes)
        self._take_over(own)
        now = self._clock()
        self._keep({ip: block.until for ip, block in self._found.items() if block.until > now})
        # A folder that has just changed may change again without its time showing it.
        self._seen = changed if abs(self._clock() - changed / 1e9) > _SAME_S else -1

    def _ask(self, changes: list[tuple[str, float, str]]) -> None:
        """Hand in changes: address, time left (below 0: ended by hand) and reason. Read all blocks if one is new."""
        values: list[object] = [_BLOCKS, self._version]
        for ip, left_s, reason in changes:
            values += [self._shared.digest(ip), ip, int(left_s * 1000), reason]
        version, *found = self._shared.run(scripts.BLOCKS, [_VERSION, _INDEX], values)
        if version == self._version:
            return
        now = self._clock()
        self._found = {
            str(ip): _SharedBlock(now + int(left) / 1000 if int(left) else 0.0, now - int(age) / 1000, str(reason))
            for ip, left, reason, age in found
        }
        self._version, self._seen = str(version), -1

    def _own_changes(self, own: dict[str, Block], kept: dict[str, float]) -> list[tuple[str, float, str]]:
        now = self._clock()
        changes: list[tuple[str, float, str]] = []
        for ip, block in own.items():
            theirs = self._found.get(ip)
            if theirs is None or (self._is_newer(block, kept.get(ip), theirs) and not _same(block.until, theirs.until)):
                changes.append((ip, block.until - now, block.reason))
        for ip, until in kept.items():
            theirs = self._found.get(ip)
            if ip not in own and until > now + _SAME_S and theirs is not None and _same(until, theirs.until):
                changes.append((ip, now - until, ""))
        return changes

    def _is_newer(self, block: Block, kept: float | None, theirs: _SharedBlock) -> bool:
        """Return True if this server has changed its block since both sides were the same."""
        if kept is not None:
            return not _same(block.until, kept)
        try:
            made = os.stat(os.path.join(self._blocks.folder, block.ip)).st_ctime
        except OSError:
            return False
        return made > theirs.since

    def _take_over(self, own: dict[str, Block]) -> None:
        now = self._clock()
        for ip, theirs in self._found.items():
            with suppress(OSError, ValueError):
                if not theirs.until:
                    if ip in own:
                        self._blocks.unblock(ip)
                elif theirs.until > now and (ip not in own or not _same(own[ip].until, theirs.until)):
                    self._blocks.block(ip, theirs.until - now, theirs.reason)

    def _kept(self) -> dict[str, float]:
        try:
            with open(os.path.join(self._folder, "shared-blocks.json"), encoding="utf-8") as file:
                return {str(ip): float(until) for ip, until in json.load(file).items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}

    def _keep(self, blocks: dict[str, float]) -> None:
        replace_text(os.path.join(self._folder, "shared-blocks.json"), json.dumps(blocks))


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= _SAME_S
