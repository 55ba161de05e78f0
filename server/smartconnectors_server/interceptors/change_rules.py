"""How much, how often and how far a setting may change: the same for a live bid and for one that
waited for the circuit breaker.
"""

from __future__ import annotations

from dataclasses import dataclass

from smartconnectors_server.call import Plan
from smartconnectors_server.clock import NANOS_PER_SECOND
from smartconnectors_server.connector import Mode
from smartconnectors_server.errors import NotAReduction, RateLimited, StepTooLarge
from smartconnectors_server.interceptors._base import PlatformRuntime
from smartconnectors_server.money import format_amount
from smartconnectors_server.settings import PlatformSettings

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class ChangeRules:
    """How much and how often a target may change, and how low its ROAS may be. 0, or None for the
    step and the ROAS: no rule.
    """

    min_change_percent: float
    min_interval_s: float
    max_step_percent: float | None
    min_roas: float | None = None

    @classmethod
    def of(cls, settings: PlatformSettings, mode: Mode) -> ChangeRules:
        """Off in a sandbox unless they are configured; careful elsewhere."""
        careful = mode is not Mode.SANDBOX
        change, interval, step = (
            settings.min_change_percent,
            settings.min_interval_s,
            settings.max_step_percent,
        )
        return cls(
            (5.0 if careful else 0.0) if change is None else change,
            (900.0 if careful else 0.0) if interval is None else interval,
            (30.0 if careful else None) if step is None else step,
            settings.min_roas,
        )

    def is_none(self, plan: Plan) -> bool:
        """Whether the platform already has it, or nearly."""
        percent = change_percent(plan)
        too_small = percent is not None and percent < self.min_change_percent
        return plan.unchanged or too_small

    def check_step(self, plan: Plan, *, reduce_only: bool = False) -> None:
        """Raises NotAReduction or StepTooLarge."""
        if reduce_only and not plan.lowers_exposure:
            raise NotAReduction(
                f"{plan.target}: reduce_only was asked, but the setting would go from "
                f"{plan.before_value} to {plan.after_value}, which does not lower exposure. "
                "Platform setting unchanged.",
                metadata={
                    "target": plan.target,
                    "before": str(plan.before_value),
                    "after": str(plan.after_value),
                },
            )
        self._check_roas(plan)
        percent = change_percent(plan)
        if self.max_step_percent is None or percent is None or plan.lowers_exposure:
            return
        if percent > self.max_step_percent:
            raise StepTooLarge(
                f"{plan.target}: the setting would change by {percent:.1f} %; one step may be "
                f"{self.max_step_percent:g} % at most. Platform setting unchanged.",
                metadata={
                    "target": plan.target,
                    "change_percent": f"{percent:.3f}",
                    "max_step_percent": f"{self.max_step_percent:g}",
                },
            )

    def _check_roas(self, plan: Plan) -> None:
        least = None if self.min_roas is None else round(self.min_roas * _MILLION)
        if least is None or plan.lowers_exposure or not 0 < plan.roas_millionths < least:
            return
        raise StepTooLarge(
            f"{plan.target}: a ROAS of {plan.roas_millionths / _MILLION:g} is below the lowest "
            f"that may be set, {self.min_roas:g}. Platform setting unchanged.",
            metadata={
                "target": plan.target,
                "roas": f"{plan.roas_millionths / _MILLION:g}",
                "min_roas": f"{self.min_roas:g}",
            },
        )

    def check_interval(self, runtime: PlatformRuntime, plan: Plan, now_ns: int) -> None:
        """Raises RateLimited when the target was changed a moment ago."""
        last_ns = runtime.last_change_ns.get(plan.target)
        if last_ns is None or plan.lowers_exposure:
            return
        wait_s = self.min_interval_s - (now_ns - last_ns) / NANOS_PER_SECOND
        if wait_s > 0:
            raise RateLimited(
                f"{plan.target} was changed less than {self.min_interval_s:g} s ago. "
                "Platform setting unchanged.",
                retry_after_s=wait_s,
                metadata={"limited_by": "min_interval", "target": plan.target},
                quota_subject=f"{runtime.name}/{plan.target}",
            )


def change_percent(plan: Plan) -> float | None:
    """By how much the setting changes, or what is set beside it if that changes more; None when it
    is not known or was zero.
    """
    changes = ((plan.before_value, plan.after_value), *plan.beside)
    percents = [abs(after - before) * 100 / before for before, after in changes if before]
    return max(percents, default=None)


def check_daily_budget(asked_micros: int, currency_code: str, runtime: PlatformRuntime) -> None:
    """Raises StepTooLarge for a daily budget above the largest that may be set."""
    most = runtime.settings.max_daily_budget
    if most is not None and asked_micros > most:
        raise StepTooLarge(
            f"{runtime.name}: a daily budget of {format_amount(asked_micros, currency_code)} is "
            f"above the largest that may be set, {format_amount(most, currency_code)}.",
            metadata={
                "daily_budget_micros": str(asked_micros),
                "max_daily_budget_micros": str(most),
            },
        )
