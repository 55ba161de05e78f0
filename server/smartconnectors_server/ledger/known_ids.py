"""Which request ids the file may have, so that it is not looked at for one that it cannot have:
nearly all that come are new, and a look costs a change of threads, a tenth of what a bid costs.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

from smartconnectors_server.ledger.records import RequestKey
from smartconnectors_server.ledger.refusals import Unavailable

SLOTS = 1 << 26
"""8 MiB of bits: with a million ids in the file, the file is looked at for one new id in 65."""
REMEMBERED_ABSENT = 10_000
TRY_AGAIN_AFTER = 1_000
"""So many more ids are added before a file is read in again that could not be."""


class KnownIds:
    """A Bloom filter with one hash.

    The bit of every id that the file has or will get is set, so when a bit is missing, the id
    certainly is. Until the file has been read in, any may be there.

    One thread sets bits, the event loop's: of two that change one byte, one would be lost.
    """

    def __init__(
        self,
        flush: Callable[[], Awaitable[None]],
        page: Callable[[str], Awaitable[Sequence[tuple[str, RequestKey]]]],
        *,
        slots: int = SLOTS,
    ) -> None:
        """`flush` returns when everything before it is in the file; `page` gives the ids in the
        file with those of their holds, in the order of these, after the one it is told; none: that
        is all. Both may raise Unavailable. `slots`: a multiple of 8.
        """
        self._flush = flush
        self._page = page
        self._slots = slots
        self._complete: bytearray | None = None
        self._growing: bytearray | None = None
        self._absent: OrderedDict[RequestKey, None] = OrderedDict()
        self._added = 0
        self._read_in_at = 0
        """How many were added when it is due that the file is read in, anew."""
        self._reading_in: asyncio.Task[None] | None = None

    def add(self, key: RequestKey) -> None:
        """The file will get it."""
        self._absent.pop(key, None)
        self._added += 1
        for bits in (self._complete, self._growing):
            if bits is not None:
                self._set(bits, key)

    def lacks(self, key: RequestKey) -> bool:
        """True: the file certainly does not have it. False: it has to be looked at."""
        if key in self._absent:
            return True
        if self._complete is None:
            return False
        byte, bit = self._place(key)
        return not self._complete[byte] & bit

    def looked_up_in_vain(self, key: RequestKey) -> None:
        """The file does not have it. Of these the last ten thousand are remembered."""
        self._absent[key] = None
        if len(self._absent) > REMEMBERED_ABSENT:
            self._absent.popitem(last=False)

    def read_in_when_due(self) -> None:
        """Begins to read the file in, behind the caller's back, if it has not been or if so many
        have been added since that a part of the bits may be of ids that were forgotten.
        """
        if self._reading_in is None and self._added >= self._read_in_at:
            self._reading_in = asyncio.create_task(self._read_in(), name="ledger-ids")

    async def stop(self) -> None:
        """Reads no further."""
        if self._reading_in is not None:
            self._reading_in.cancel()
            await asyncio.wait([self._reading_in])

    async def _read_in(self) -> None:
        try:
            # Written, not only reserved, so that no more memory is needed as it fills.
            bits = self._growing = bytearray(b"\0") * (self._slots >> 3)
            # What is added from here on enters these bits; what was before, the file.
            await self._flush()
            after, count = "", 0
            while rows := await self._page(after):
                for _, key in rows:
                    self._set(bits, key)
                after, _ = rows[-1]
                count += len(rows)
            self._complete = bits
            self._read_in_at = self._added + max(count, self._slots >> 4)
        except Unavailable:
            # Until it can be read everything is as it was.
            self._read_in_at = self._added + TRY_AGAIN_AFTER
        finally:
            self._growing = self._reading_in = None

    def _set(self, bits: bytearray, key: RequestKey) -> None:
        byte, bit = self._place(key)
        bits[byte] |= bit

    def _place(self, key: RequestKey) -> tuple[int, int]:
        """The byte of a key's bit, and the bit in it."""
        slot = hash(key) % self._slots
        return slot >> 3, 1 << (slot & 7)
