"""All that a wing does to its host, put together of its parts: Puppet's runs, and orders."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from broker.messages import Converge, Prefetch
from wing.config import WingConfig
from wing.effects import RunOrder
from wing.errands import Errands
from wing.events import End, Process
from wing.ports import OrderWatcher, Watcher
from wing.puppet import PuppetWork


@dataclass(frozen=True, slots=True, kw_only=True)
class HostWork:
    """`wing.ports.Work` on a real host."""

    puppet: PuppetWork
    errands: Errands

    @classmethod
    def configured(cls, config: WingConfig) -> "HostWork":
        """Return the work of the wing that `config` describes."""
        puppet = PuppetWork.configured(config)
        return cls(puppet=puppet, errands=Errands.configured(config.drain, puppet.host_boot))

    async def converge(self, order: Converge, watcher: Watcher, cancel: asyncio.Event) -> End:
        """Make the host what the bundle says; once `cancel` is set, end all of it and return `Stopped`."""
        return await self.puppet.converge(order, watcher, cancel)

    async def prefetch(self, order: Prefetch, cancel: asyncio.Event) -> End:
        """Have the bundle unpacked here; once `cancel` is set, end the fetch and return `Stopped`."""
        return await self.puppet.prefetch(order, cancel)

    async def carry_out(self, asked: RunOrder, watcher: OrderWatcher, cancel: asyncio.Event) -> End:
        """Drain, uncordon or look at health: `Done`; once `cancel` is set, end all of it: `Stopped`."""
        return await self.errands.carry_out(asked, watcher, cancel)

    async def end_leftovers(self, processes: Sequence[Process]) -> Sequence[str]:
        """End what an earlier wing's work left; return what was ended, in words."""
        return await self.puppet.end_leftovers(processes)
