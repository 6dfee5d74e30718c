// Formats of numbers, amounts and times in the language and the region of the reader.

import { fromHundredths, toHundredths } from "./amounts.js";
import { element } from "./dom.js";
import { locale } from "./i18n.js";
import { endOf } from "./periods.js";

// Numbers and money. Amounts are strings; see amounts.js.

export const formatNumber = (value) => signed(new Intl.NumberFormat(locale()).format(value));

/** Write negative numbers with a minus sign, like amounts. */
const signed = (digits) => digits.replace(/^-/, "−");

export const formatPercent = (share) =>
  new Intl.NumberFormat(locale(), { style: "percent", maximumFractionDigits: 1 }).format(share);

export const decimalPoint = () => new Intl.NumberFormat(locale()).formatToParts(0.5).find(({ type }) => type === "decimal").value;

const hasCents = (amount) => /\.\d*[1-9]/.test(amount);

/** Format an amount with two decimals, or with none if it is whole; `cents` prescribes two. */
export function formatMoney(amount, cents = hasCents(amount)) {
  const [whole, decimals = ""] = amount.replace("-", "").split(".");
  const grouped = new Intl.NumberFormat(locale()).format(BigInt(whole));
  return (amount.startsWith("-") ? "−" : "") + grouped + (cents ? decimalPoint() + decimals.slice(0, 2).padEnd(2, "0") : "");
}

/** Return a function that formats the amounts of one column with the same number of decimals. */
export function moneyFormat(amounts) {
  const cents = amounts.some(hasCents);
  return (amount) => formatMoney(amount, cents);
}

/** Return the format of a difference, which marks increases by a plus sign. */
export const withSign = (format) => (difference) => (Number(difference) > 0 ? "+" : "") + format(difference);

/** Return the exact sum of amounts. */
export const addMoney = (...amounts) => fromHundredths(amounts.reduce((sum, amount) => sum + toHundredths(amount), 0n));

/** Return the exact difference of two amounts. */
export const subtractMoney = (minuend, subtrahend) => fromHundredths(toHundredths(minuend) - toHundredths(subtrahend));

// Times. Deals and their periods are in UTC, like the file; events are in the time zone of the reader.

const formatTime = (iso, options) => new Intl.DateTimeFormat(locale(), options).format(new Date(iso));
const inUtc = (options) => (iso) => formatTime(iso, { ...options, timeZone: "UTC" });

export const formatDealTime = inUtc({ dateStyle: "medium", timeStyle: "short" });
export const formatMonth = inUtc({ month: "short", year: "numeric" });
export const formatMonthName = inUtc({ month: "short" });
export const formatDay = inUtc({ dateStyle: "medium" });

/** Format a week, which is its Monday, as its first and last day. */
export function formatWeek(monday) {
  const days = [monday, endOf(monday, "week")].map((day) => new Date(`${day}T00:00Z`));
  return new Intl.DateTimeFormat(locale(), { dateStyle: "medium", timeZone: "UTC" }).formatRange(...days);
}

export const formatEventTime = (iso) => formatTime(iso, { dateStyle: "medium", timeStyle: "short" });

const timeElement = (format) => (iso) => element("time", { datetime: iso }, format(iso));

/** Return the time of an event, with its time zone in the tooltip. */
export const eventTime = (iso) =>
  element("time", { datetime: iso, title: formatTime(iso, { dateStyle: "full", timeStyle: "long" }) }, formatEventTime(iso));

export const dealTime = timeElement(formatDealTime);
