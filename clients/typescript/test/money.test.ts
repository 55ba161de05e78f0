import assert from "node:assert/strict";
import { test } from "node:test";

import { formatAmount, parseAmount } from "../src/index.js";

const EXACT: [string, bigint][] = [
  ["75.00", 75_000_000n],
  ["0.00", 0n],
  ["0.000001", 1n],
  ["0.10", 100_000n],
  ["123.4567", 123_456_700n],
  ["1000000000.00", 1_000_000_000_000_000n],
  ["999999999.9999", 999_999_999_999_900n],
];

test("amounts are read and written exactly", () => {
  for (const [text, micros] of EXACT) {
    assert.equal(parseAmount(text), micros);
    assert.equal(formatAmount(micros), text);
  }
  assert.equal(formatAmount(-(2n ** 63n)), "-9223372036854.775808");
});

test("what is no plain amount is refused", () => {
  const wrong = ["", ".", "1.", "-1", "+1", "1e3", "1,000.00", "0.0000001", " 1", "1 ", "1\n",
    "1000000000.000001", "٣", "1_000", "0x10", "NaN", "99999999999999999999"];
  for (const text of wrong) {
    assert.throws(() => parseAmount(text), RangeError, text);
  }
});
