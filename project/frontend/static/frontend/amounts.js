// Exact amounts of money: the service writes them as "1234.50" or "7", and sums are BigInts of hundredths, because
// floating-point numbers would be inexact. This module has no imports.

/** Return the hundredths of an amount. */
export function toHundredths(amount) {
  const [whole, decimals = ""] = amount.replace("-", "").split(".");
  const hundredths = BigInt(whole + decimals.padEnd(2, "0"));
  return amount.startsWith("-") ? -hundredths : hundredths;
}

/** Return an amount with two decimals, or with none if it is whole. */
export function fromHundredths(hundredths) {
  const [sign, absolute] = hundredths < 0n ? ["-", -hundredths] : ["", hundredths];
  const decimals = String(absolute % 100n).padStart(2, "0");
  return `${sign}${absolute / 100n}${decimals === "00" ? "" : `.${decimals}`}`;
}
