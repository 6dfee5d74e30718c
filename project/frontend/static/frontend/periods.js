// Periods of the calendar in UTC: each is identified by its first day, such as "2019-05-01". This module has no imports.

/** Periods from the shortest to the longest. */
export const PERIODS = ["day", "week", "month", "quarter", "year"];

const DAY_MS = 24 * 60 * 60 * 1000;

const toDate = (day) => new Date(`${day}T00:00:00Z`);
const toDay = (date) => date.toISOString().slice(0, 10);

function dateOfNext(start, period) {
  const date = toDate(start);
  if (period === "day" || period === "week") date.setUTCDate(date.getUTCDate() + (period === "day" ? 1 : 7));
  else date.setUTCMonth(date.getUTCMonth() + { month: 1, quarter: 3, year: 12 }[period]);
  return date;
}

/** Return the first day of the next period. */
export const startOfNext = (start, period) => toDay(dateOfNext(start, period));

/** Return the last day of a period. */
export const endOf = (start, period) => toDay(new Date(dateOfNext(start, period) - DAY_MS));

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

/** Return the next longer period; undefined for a year. */
export const longerPeriod = (period) => PERIODS[PERIODS.indexOf(period) + 1];
