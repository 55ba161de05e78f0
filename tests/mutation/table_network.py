"""The guards against what the network keeps and delivers late. `make partition` takes all of them
away at once.
"""

from __future__ import annotations

from tests.mutation.table import BUDGET, Mutant

CHANNEL = "tests/server/platforms/google_ads/test_channel.py::"
HTTP = "tests/server/connector/test_http.py::"

RETRANSMISSION_IS_BOUNDLESS = Mutant(
    "the kernel retransmits a change for as long as it likes",
    "connector/sockets.py",
    "            made.setsockopt(socket.IPPROTO_TCP, option, timeout_ms)\n",
    "            assert timeout_ms\n",
    (HTTP + "test_the_kernel_gives_a_change_up_within_the_platforms_timeout",),
)
ONE_LOOK = Mutant(
    "one look is enough to give the money back",
    "budget/reconciler.py",
    "left_ns = first.awake_ns + quiet_ns - began_awake_ns",
    "left_ns = hold.updated_ns + quiet_ns - began_ns",
    (
        BUDGET
        + "test_reconciler.py::test_the_quiet_period_begins_when_the_platform_is_reached_again",
    ),
)

NETWORK = (
    RETRANSMISSION_IS_BOUNDLESS,
    Mutant(
        "a process that is killed leaves its change to the kernel",
        "connector/sockets.py",
        "        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)\n",
        "",
        (HTTP + "test_a_system_without_a_user_timeout_still_resets_what_is_given_up",),
    ),
    Mutant(
        "a change that is given up is sent to its end",
        "connector/http.py",
        "            sockets.reset(transport)\n",
        "            assert transport\n",
        (HTTP + "test_what_of_a_change_was_not_sent_when_it_was_given_up_is_never_sent",),
    ),
    Mutant(
        "Google's channel keeps a mutate for a day",
        "platforms/google_ads/channel.py",
        '("grpc.keepalive_timeout_ms", timeout_ms)',
        '("grpc.keepalive_timeout_ms", 86_400_000 + timeout_ms)',
        (CHANNEL + "test_the_kernel_gives_a_mutate_up_within_the_platforms_timeout",),
    ),
    ONE_LOOK,
)
"""Without these nothing protects the server from a partition."""

LOOKS = (
    Mutant(
        "the quiet period passes while the machine is suspended",
        "budget/reconciler.py",
        "return self._clock.awake_ns()",
        "return self._clock.monotonic_ns()",
        (
            BUDGET
            + "test_reconciler.py::"
            + "test_the_quiet_period_does_not_pass_while_the_machine_is_suspended",
        ),
    ),
    Mutant(
        "a look that fails leaves the quiet period as it is",
        "budget/reconciler.py",
        "                self._restart_quiet_periods(hold, error)\n",
        "",
        (BUDGET + "test_reconciler.py::test_a_look_that_fails_starts_the_quiet_period_again",),
    ),
)
