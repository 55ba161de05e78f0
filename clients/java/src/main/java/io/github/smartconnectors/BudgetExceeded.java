package io.github.smartconnectors;

import java.time.Duration;
import java.util.Map;
import java.util.Optional;

/**
 * A veto with its numbers, in micros of the currency.
 *
 * @param budgetId the tightest budget that the amount does not fit
 * @param currency its ISO 4217 code
 * @param amount what was asked for
 * @param limit the most that one window may have
 * @param committed what the platforms accepted inside the window
 * @param held reserved for calls that are under way
 * @param deferred reserved for bids that wait for the circuit breaker
 * @param inDoubt sent, with an outcome that is not known yet
 * @param remaining what still fits
 * @param retryAfter when the amount fits if nothing else is bid; empty when no time is known
 */
public record BudgetExceeded(
    String budgetId,
    String currency,
    long amount,
    long limit,
    long committed,
    long held,
    long deferred,
    long inDoubt,
    long remaining,
    Optional<Duration> retryAfter) {

  static BudgetExceeded of(Map<String, String> metadata, Optional<Duration> retryAfter) {
    return new BudgetExceeded(
        metadata.getOrDefault("budget_id", ""),
        metadata.getOrDefault("currency_code", ""),
        number(metadata, "amount_micros"),
        number(metadata, "limit_micros"),
        number(metadata, "committed_micros"),
        number(metadata, "held_micros"),
        number(metadata, "deferred_micros"),
        number(metadata, "in_doubt_micros"),
        number(metadata, "remaining_micros"),
        retryAfter);
  }

  private static long number(Map<String, String> metadata, String name) {
    return Long.parseLong(metadata.getOrDefault(name, "0"));
  }
}
