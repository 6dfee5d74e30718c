// Calculations of the charts: sums, groups, periods and axes. They need no browser.

import { fromHundredths, toHundredths } from "./amounts.js";
import { isWithinPeriod, startOfNext } from "./periods.js";

/** The sums of a group of deals; each is a measure that a chart can show. */
export const MEASURES = ["total", "dealCount", "quantity"];

/** Largest number of periods in a chart, as in the operation. */
export const MAX_PERIODS = 750;

// Sums

/** Return the exact sums of a group as BigInt; `total` is in hundredths. */
export const readSums = ({ total, dealCount, quantity }) => ({
  total: toHundredths(total),
  dealCount: BigInt(dealCount),
  quantity: BigInt(quantity),
});

export const NO_SUMS = readSums({ total: "0", dealCount: 0, quantity: 0 });

/** Return a value as the service writes it. */
export const toText = (value, measure) => (measure === "total" ? fromHundredths(value) : String(value));

/** Return a value as a number, which is inexact, for lengths and axes. */
export const toNumber = (value, measure) => (measure === "total" ? Number(value) / 100 : Number(value));

/** Return the sums of all deals without those of the groups. */
export const remainder = (all, groups) =>
  Object.fromEntries(MEASURES.map((measure) => [measure, groups.reduce((rest, sums) => rest - sums[measure], all[measure])]));

/** Return the names in maps from names to sums, in the order of their largest values. */
export function largestNames(maps, measure) {
  const largest = new Map();
  for (const [name, sums] of maps.flatMap((map) => [...map])) {
    if (!largest.has(name) || sums[measure] > largest.get(name)) largest.set(name, sums[measure]);
  }
  const byValue = ([, first], [, second]) => (first < second ? 1 : first > second ? -1 : 0);
  return [...largest].sort(byValue).map(([name]) => name);
}

// Periods

/** Return the first day of the period of a group; a year is a number. */
export function startOf(group, period) {
  return period === "year" ? `${String(group.year).padStart(4, "0")}-01-01` : group[period];
}

/** Return the starts of all periods from the first to the last, also of those without deals; at most MAX_PERIODS + 1. */
export function periodsBetween(first, last, period) {
  const starts = [first];
  while (starts.at(-1) < last && starts.length <= MAX_PERIODS) starts.push(startOfNext(starts.at(-1), period));
  return starts;
}

// Axes

/**
 * Return round values from 0 to `maximum` or a little more, in at most `count` steps of 1, 2 or 5 times a power of ten;
 * of counts, which have no fractions, in steps of 1 or more.
 */
export function ticks(maximum, count, isCount = false) {
  if (!(maximum > 0)) return [0, 1];
  const steps = isCount ? Math.min(count, maximum) : count;
  const power = 10 ** Math.floor(Math.log10(maximum / steps));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size * steps >= maximum);
  const last = Math.ceil(maximum / step - 1e-9);
  // The division by a power of ten avoids results such as 0.30000000000000004.
  return Array.from({ length: last + 1 }, (_, index) => (power < 1 ? (index * Math.round(step * 1e6)) / 1e6 : index * step));
}

const FINE_LABELS = {
  day: ["day", "month", "quarter", "year"],
  week: ["day", "month", "quarter", "year"],
  month: ["month", "quarter", "year"],
  quarter: ["quarter", "year"],
  year: ["year"],
};
/** Width of a label in pixels, with space beside it. */
const LABEL_WIDTHS = { day: 24, month: 36, quarter: 36, year: 40, monthOfYear: 72 };

/** Return the indexes at which another day, month, quarter or year begins. */
const changes = (starts, unit) =>
  starts.flatMap((start, index) => (index === 0 || !isWithinPeriod(starts[index - 1], start, unit) ? [index] : []));

/** Drop the label of the first period, which may be the end of a month or year, if the next label is too close. */
const withoutCrowdedFirst = (indexes, distance) =>
  indexes.length > 1 && indexes[1] - indexes[0] < distance ? indexes.slice(1) : indexes;

/**
 * Choose the labels of a time axis whose periods are `width` pixels wide: `fine` labels as many periods as fit, and
 * `coarse` labels the months or years of these. Both are {unit, indexes}; `coarse` is null below labels of years.
 */
export function timeLabels(starts, period, width) {
  const candidates = FINE_LABELS[period].map((unit) => ({ unit, indexes: changes(starts, unit) }));
  // The first period may be the end of a month or year, and is not compared.
  const distance = ({ indexes }) => width * Math.min(...indexes.slice(2).map((index, place) => index - indexes[place + 1]));
  const { unit, indexes } = candidates.find((labels) => distance(labels) >= LABEL_WIDTHS[labels.unit]) ?? candidates.at(-1);
  const step = Math.ceil(LABEL_WIDTHS[unit] / distance({ indexes })) || 1;
  const shown = indexes.filter((_, place) => place % step === 0);
  const fine = { unit, indexes: withoutCrowdedFirst(shown, LABEL_WIDTHS[unit] / width) };
  if (unit === "year") return { fine, coarse: null };
  const [larger, space] = unit === "day" ? ["month", LABEL_WIDTHS.monthOfYear] : ["year", LABEL_WIDTHS.year];
  return { fine, coarse: { unit: larger, indexes: withoutCrowdedFirst(changes(starts, larger), space / width) } };
}
