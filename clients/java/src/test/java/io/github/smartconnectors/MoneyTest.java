package io.github.smartconnectors;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.math.BigDecimal;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class MoneyTest {
  @ParameterizedTest
  @CsvSource({
    "75.00, 75000000",
    "0.00, 0",
    "0.000001, 1",
    "0.10, 100000",
    "123.4567, 123456700",
    "1000000000.00, 1000000000000000",
    "999999999.9999, 999999999999900",
  })
  void amountsAreReadAndWrittenExactly(String text, long micros) {
    assertEquals(micros, Money.micros(text));
    assertEquals(text, Money.format(micros));
    assertEquals(micros, Money.micros(Money.units(micros)));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "", ".", "1.", "-1", "+1", "1e3", "1,000.00", "0.0000001", " 1", "1 ", "1\n",
        "1000000000.000001", "٣", "1_000", "0x10", "NaN", "99999999999999999999"
      })
  void whatIsNoPlainAmountIsRefused(String text) {
    assertThrows(IllegalArgumentException.class, () -> Money.micros(text));
  }

  @ParameterizedTest
  @ValueSource(strings = {"-0.01", "0.0000001", "1000000000.000001", "1e30"})
  void aDecimalThatTheServiceWouldNotTakeIsRefused(String text) {
    assertThrows(IllegalArgumentException.class, () -> Money.micros(new BigDecimal(text)));
  }

  @Test
  void theLowestAmountIsWrittenExactly() {
    assertEquals("-9223372036854.775808", Money.format(Long.MIN_VALUE));
  }
}
