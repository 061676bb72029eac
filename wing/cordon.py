"""A cordon is lifted by its owner only, against whoever else changes the Node at the same time."""

import asyncio

from wing.cluster import ConflictError, ForbiddenError, Node, NodeApi, UnreachableError


async def lift(api: NodeApi, owner: str, *, patience_s: float, pause_s: float) -> Node:
    """Lift the cordon if it is `owner`'s, and return the Node as it then is; another's stays as it is.

    An annotation of the owner's that outlived its cordon goes too. Raises ClusterError when nobody lets us
    for `patience_s`; within that it tries again every `pause_s`.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + patience_s
    while True:
        try:
            return await _lifted(api, owner)
        except (ConflictError, ForbiddenError, UnreachableError):
            if loop.time() + pause_s > until:
                raise
        await asyncio.sleep(pause_s)


async def _lifted(api: NodeApi, owner: str) -> Node:
    node = await api.node()
    if node.owner != owner:
        return node
    await api.uncordon(node)
    return await api.node()
