"""The mesh within one process: a broker, its clients, and what may go wrong between them."""

from broker.memory.faults import Faults
from broker.memory.mesh import MemoryMesh
from broker.memory.server import MemoryBroker

__all__ = ["Faults", "MemoryBroker", "MemoryMesh"]
