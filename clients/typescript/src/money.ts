/** 1,000,000 micros are one unit of any currency, whatever its coins are. */
export const MICROS_PER_UNIT = 1_000_000n;

/** The most that the service takes: 10^15 micros. */
const LARGEST = 1_000_000_000n * MICROS_PER_UNIT;

const PLAIN_DECIMAL = /^([0-9]{1,10})(?:\.([0-9]{1,6}))?$/;

/**
 * Micros of a decimal amount in currency units, exactly: `"75.00"` is `75_000_000n`.
 *
 * @throws RangeError for anything but a plain decimal, finer than a micro, or above 10^15 micros.
 */
export function parseAmount(text: string): bigint {
  const [, units, fraction = ""] = PLAIN_DECIMAL.exec(text) ?? [];
  if (units === undefined) {
    throw new RangeError(`${shown(text)} is not a plain decimal amount such as 75.00`);
  }
  const micros = BigInt(units + fraction.padEnd(6, "0"));
  if (micros > LARGEST) {
    throw new RangeError(`${shown(text)} is above the largest amount, 1000000000`);
  }
  return micros;
}

/**
 * The amount as a plain decimal with two digits after the point, and more only when it is finer
 * than that: `"75.00"`, `"0.000001"`. `parseAmount` reads it back.
 */
export function formatAmount(micros: bigint): string {
  const magnitude = micros < 0n ? -micros : micros;
  const digits = magnitude.toString().padStart(7, "0");
  const cents = digits.slice(-6, -4);
  const finer = digits.slice(-4).replace(/0+$/, "");
  return `${micros < 0n ? "-" : ""}${digits.slice(0, -6)}.${cents}${finer}`;
}

function shown(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}
