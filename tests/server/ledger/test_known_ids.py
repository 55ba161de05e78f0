"""Which request ids the file may have: a no must be certain, whatever comes in between."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from smartconnectors_server.ledger import RequestKey, Unavailable
from smartconnectors_server.ledger.known_ids import KnownIds

A_PAGE = 3
MANY = 1 << 20


def key(number: int) -> RequestKey:
    return ("p", "a", f"r{number}")


class File:
    """Holds in order; what is reserved is in it from the next flush on."""

    def __init__(self, *numbers: int) -> None:
        self.content = [key(number) for number in numbers]
        self.waiting: list[RequestKey] = []
        self.fails = False
        self.damaged_from = MANY
        self.pages_read = 0
        self.let: asyncio.Semaphore | None = None
        """How many more pages are read; None: all."""

    async def flush(self) -> None:
        await asyncio.sleep(0)
        if self.fails:
            raise Unavailable("no disk")
        self.content += self.waiting
        self.waiting = []

    async def page(self, after: str) -> Sequence[tuple[str, RequestKey]]:
        if self.let is not None:
            await self.let.acquire()
        self.pages_read += 1
        rows = [(f"h{at:06d}", one) for at, one in enumerate(self.content)]
        page = [row for row in rows if row[0] > after][:A_PAGE]
        if page and page[-1] in rows[self.damaged_from :]:
            raise Unavailable("database disk image is malformed")
        return page


def known(file: File, slots: int = MANY) -> KnownIds:
    return KnownIds(file.flush, file.page, slots=slots)


async def read_in(ids: KnownIds) -> None:
    ids.read_in_when_due()
    await reading_ended(ids)


async def reading_ended(ids: KnownIds) -> None:
    while ids._reading_in is not None:  # noqa: ASYNC110 - it tells nobody when it has ended
        await asyncio.sleep(0)


def lacking(ids: KnownIds, numbers: range) -> list[int]:
    return [number for number in numbers if ids.lacks(key(number))]


async def test_until_the_file_was_read_in_any_id_may_be_there() -> None:
    file = File(1)
    ids = known(file)
    assert lacking(ids, range(10)) == []
    await read_in(ids)
    assert lacking(ids, range(10)) == [0, *range(2, 10)]


async def test_what_the_file_has_is_known_however_many_pages_it_is_on() -> None:
    for count in range(3 * A_PAGE + 2):
        ids = known(File(*range(count)))
        await read_in(ids)
        assert lacking(ids, range(count + 5)) == list(range(count, count + 5))


async def test_the_same_request_id_of_another_platform_or_caller_is_another() -> None:
    ids = known(File(1))
    await read_in(ids)
    assert not ids.lacks(("p", "a", "r1"))
    assert ids.lacks(("q", "a", "r1"))
    assert ids.lacks(("p", "b", "r1"))


async def test_what_is_added_while_the_file_is_read_in_is_known_at_every_moment() -> None:
    file = File(*range(2 * A_PAGE))
    ids = known(file)
    await read_in(ids)
    file.let = asyncio.Semaphore(0)
    ids._added = ids._read_in_at
    ids.read_in_when_due()
    await asyncio.sleep(0)
    for number in range(100, 104):
        # Behind the page that was read last, and never written: only its bit can tell of it.
        ids.add(key(number))
        file.let.release()
        await asyncio.sleep(0)
        assert lacking(ids, range(100, number + 1)) == []
    file.let = None
    await reading_ended(ids)
    assert lacking(ids, range(100, 104)) == []
    assert lacking(ids, range(2 * A_PAGE + 1)) == [2 * A_PAGE]


async def test_what_was_added_before_is_in_the_file_when_that_is_read_in() -> None:
    file = File(1)
    ids = known(file)
    ids.add(key(2))
    file.waiting.append(key(2))
    await read_in(ids)
    assert lacking(ids, range(1, 4)) == [3]


async def test_while_the_file_cannot_be_read_any_id_may_be_there_and_it_is_tried_again() -> None:
    file = File(1)
    file.fails = True
    ids = known(file)
    await read_in(ids)
    assert lacking(ids, range(3)) == []
    file.fails = False
    for number in range(1_000):
        await read_in(ids)
        assert lacking(ids, range(3)) == []
        ids.add(key(1_000_000 + number))
    await read_in(ids)
    assert lacking(ids, range(3)) == [0, 2]


async def test_a_file_that_cannot_be_read_to_its_end_is_not_begun_with_every_commit() -> None:
    """Where one page is damaged, all before it would be read again and again."""
    file = File(*range(3 * A_PAGE))
    file.damaged_from = A_PAGE
    ids = known(file)
    for _ in range(10):
        await read_in(ids)
    assert file.pages_read == 2


async def test_a_file_that_was_read_in_is_read_anew_when_many_more_were_added() -> None:
    """What the file has forgotten by then is known to be lacking again."""
    slots = 1024
    file = File()
    ids = known(file, slots)
    await read_in(ids)
    pages = file.pages_read
    for number in range(slots // 16):
        await read_in(ids)
        assert file.pages_read == pages
        ids.add(key(number))
    assert lacking(ids, range(slots // 16)) == []
    await read_in(ids)
    assert file.pages_read == pages + 1
    assert lacking(ids, range(slots // 16)) == list(range(slots // 16))


async def test_a_large_file_is_not_read_anew_before_it_may_have_doubled() -> None:
    slots = 64
    file = File(*range(20))
    ids = known(file, slots)
    await read_in(ids)
    pages = file.pages_read
    for number in range(20):
        await read_in(ids)
        assert file.pages_read == pages
        ids.add(key(number))
    await read_in(ids)
    assert file.pages_read > pages


async def test_one_reading_is_under_way_at_a_time() -> None:
    file = File(*range(9))
    ids = known(file)
    ids.read_in_when_due()
    ids.read_in_when_due()
    await read_in(ids)
    assert file.pages_read == 9 // A_PAGE + 1


async def test_stopping_waits_for_no_disk() -> None:
    file = File(1)
    file.let = asyncio.Semaphore(0)
    ids = known(file)
    await ids.stop()
    ids.read_in_when_due()
    await asyncio.sleep(0.001)
    await ids.stop()
    assert file.pages_read == 0
    assert ids._reading_in is None
    assert lacking(ids, range(3)) == []


async def test_an_id_that_was_looked_up_in_vain_is_lacking_until_it_is_added() -> None:
    ids = known(File())
    ids.looked_up_in_vain(key(1))
    assert lacking(ids, range(3)) == [1]
    ids.add(key(1))
    assert lacking(ids, range(3)) == []


async def test_of_ids_looked_up_in_vain_the_last_ten_thousand_are_remembered() -> None:
    ids = known(File())
    for number in range(10_003):
        ids.looked_up_in_vain(key(number))
    assert lacking(ids, range(10_003)) == list(range(3, 10_003))


async def test_it_takes_eight_mebibytes_whatever_the_file_has() -> None:
    file = File(1)
    ids = KnownIds(file.flush, file.page)
    await read_in(ids)
    assert ids._complete is not None
    assert len(ids._complete) == 8 * 1024 * 1024
    assert lacking(ids, range(3)) == [0, 2]


async def test_every_bit_is_of_use() -> None:
    ids = known(File(*range(500)), slots=64)
    await read_in(ids)
    assert ids._complete == bytearray(b"\xff" * 8)


@given(
    slots=st.sampled_from([8, 64, 4096]),
    stored=st.lists(st.integers(0, 60)),
    added=st.lists(st.integers(0, 60)),
)
def test_whatever_ids_share_a_bit_none_that_is_there_is_called_lacking(
    slots: int, stored: list[int], added: list[int]
) -> None:
    async def scenario() -> None:
        ids = known(File(*stored), slots)
        await read_in(ids)
        for number in added:
            ids.add(key(number))
        assert not {*stored, *added} & {*lacking(ids, range(61))}

    asyncio.run(scenario())
