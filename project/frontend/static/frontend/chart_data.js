// Calculations of the charts: sums, groups, periods and axes. This module has no imports, so that Node.js can test it.

/** The sums of a group of deals; each is a measure that a chart can show. */
export const MEASURES = ["total", "dealCount", "quantity"];

/** Periods from the shortest to the longest. */
export const PERIODS = ["day", "week", "month", "quarter", "year"];

/** Largest number of periods in a chart, as in the operation. */
export const MAX_PERIODS = 750;

const DAY_MS = 24 * 60 * 60 * 1000;

// Sums

const toHundredths = (digits) => {
  const [whole, decimals = ""] = digits.split(".");
  return BigInt(whole + decimals.padEnd(2, "0"));
};

/** Return the exact sums of a group as BigInt; `total` is in hundredths. */
export const readSums = ({ total, dealCount, quantity }) => ({
  total: toHundredths(total),
  dealCount: BigInt(dealCount),
  quantity: BigInt(quantity),
});

export const NO_SUMS = readSums({ total: "0", dealCount: 0, quantity: 0 });

/** Return a value as the service writes it: an amount of money as digits with two decimals, if it has any. */
export function toText(value, measure) {
  if (measure !== "total") return String(value);
  const digits = String(value < 0n ? -value : value).padStart(3, "0");
  const decimals = digits.slice(-2) === "00" ? "" : `.${digits.slice(-2)}`;
  return (value < 0n ? "-" : "") + digits.slice(0, -2) + decimals;
}

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

// Periods: each is identified by its first day, such as "2019-05-01".

const toDate = (day) => new Date(`${day}T00:00:00Z`);
const toDay = (date) => date.toISOString().slice(0, 10);

function dateOfNext(start, period) {
  const date = toDate(start);
  if (period === "day" || period === "week") date.setUTCDate(date.getUTCDate() + (period === "day" ? 1 : 7));
  else date.setUTCMonth(date.getUTCMonth() + { month: 1, quarter: 3, year: 12 }[period]);
  return date;
}

/** Return the first day of the period of a group; a year is a number. */
export function startOf(group, period) {
  return period === "year" ? `${String(group.year).padStart(4, "0")}-01-01` : group[period];
}

/** Return the first day of the period that contains a day. */
function periodOf(day, period) {
  const date = toDate(day);
  const [year, month] = [date.getUTCFullYear(), date.getUTCMonth()];
  if (period === "week") date.setUTCDate(date.getUTCDate() - ((date.getUTCDay() + 6) % 7));
  if (period === "month") date.setUTCDate(1);
  if (period === "quarter") date.setUTCFullYear(year, month - (month % 3), 1);
  if (period === "year") date.setUTCFullYear(year, 0, 1);
  return toDay(date);
}

/** Return whether all of these days are in the same period. */
export const isWithinPeriod = (from, to, period) => periodOf(from, period) === periodOf(to, period);

/** Return the last day of a period. */
export const endOf = (start, period) => toDay(new Date(dateOfNext(start, period) - DAY_MS));

/** Return the starts of all periods from the first to the last, also of those without deals; at most MAX_PERIODS + 1. */
export function periodsBetween(first, last, period) {
  const starts = [first];
  while (starts.at(-1) < last && starts.length <= MAX_PERIODS) starts.push(toDay(dateOfNext(starts.at(-1), period)));
  return starts;
}

/** Return the next longer period; undefined for a year. */
export const longerPeriod = (period) => PERIODS[PERIODS.indexOf(period) + 1];

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

const LABEL_KEYS = {
  day: (day) => day,
  month: (day) => day.slice(0, 7),
  quarter: (day) => `${day.slice(0, 4)} ${Math.ceil(day.slice(5, 7) / 3)}`,
  year: (day) => day.slice(0, 4),
};
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
function changes(starts, unit) {
  const key = LABEL_KEYS[unit];
  return starts.flatMap((start, index) => (index === 0 || key(start) !== key(starts[index - 1]) ? [index] : []));
}

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
