package io.github.smartconnectors;

import java.math.BigDecimal;
import java.util.regex.Pattern;

/**
 * Amounts of money as the service counts them: integer micros. 1,000,000 micros are one unit of any
 * currency, whatever its coins are.
 */
public final class Money {
  /** Micros of one unit. */
  public static final long MICROS_PER_UNIT = 1_000_000;

  private static final int MICRO_DIGITS = 6;
  /** The most that the service takes: 10^15 micros. */
  private static final BigDecimal LARGEST = new BigDecimal("1000000000");
  // BigDecimal would also read exponents, signs and the digits of every script.
  private static final Pattern PLAIN_DECIMAL = Pattern.compile("[0-9]{1,10}(\\.[0-9]{1,6})?");

  private Money() {}

  /**
   * Micros of a decimal amount in currency units, exactly: {@code "75.00"} is 75,000,000.
   *
   * @throws IllegalArgumentException for anything but a plain decimal, finer than a micro, or above
   *     10^15 micros
   */
  public static long micros(String amount) {
    if (!PLAIN_DECIMAL.matcher(amount).matches()) {
      String shown = amount.length() > 40 ? amount.substring(0, 40) + "…" : amount;
      throw new IllegalArgumentException(
          "'" + shown + "' is not a plain decimal amount such as 75.00");
    }
    return micros(new BigDecimal(amount));
  }

  /**
   * Micros of an amount in currency units, exactly.
   *
   * @throws IllegalArgumentException for an amount that is negative, finer than a micro, or above
   *     10^15 micros
   */
  public static long micros(BigDecimal amount) {
    if (amount.signum() < 0 || amount.compareTo(LARGEST) > 0) {
      throw new IllegalArgumentException("amounts are from 0 to 1000000000 units");
    }
    try {
      return amount.movePointRight(MICRO_DIGITS).longValueExact();
    } catch (ArithmeticException finer) {
      throw new IllegalArgumentException("amounts are no finer than one micro (0.000001)", finer);
    }
  }

  /** The amount in currency units, exactly. */
  public static BigDecimal units(long micros) {
    return BigDecimal.valueOf(micros, MICRO_DIGITS);
  }

  /**
   * The amount as a plain decimal with two digits after the point, and more only when it is finer
   * than that: {@code "75.00"}, {@code "0.000001"}. {@link #micros(String)} reads it back.
   */
  public static String format(long micros) {
    BigDecimal shortest = units(micros).stripTrailingZeros();
    return shortest.setScale(Math.max(2, shortest.scale())).toPlainString();
  }
}
