// node --test charts.test.mjs: sums, groups, periods and axes of the charts of the web page.
import assert from "node:assert/strict";
import test from "node:test";

const charts = await import("../../project/frontend/static/frontend/chart_data.js");
const periods = await import("../../project/frontend/static/frontend/periods.js");

const sums = (total, dealCount = 1, quantity = 1) => charts.readSums({ total, dealCount, quantity });

test("sums are exact beyond floating-point numbers", () => {
  assert.deepEqual(sums("9007199254740993.1", 2, 3), { total: 900719925474099310n, dealCount: 2n, quantity: 3n });
  assert.equal(charts.toText(900719925474099310n, "total"), "9007199254740993.10");
  const texts = [0n, 5n, 120n, 100n, -1n, -250n].map((value) => charts.toText(value, "total"));
  assert.deepEqual(texts, ["0", "0.05", "1.20", "1", "-0.01", "-2.50"]);
  assert.equal(charts.toText(120n, "quantity"), "120");
  assert.deepEqual([charts.toNumber(150n, "total"), charts.toNumber(150n, "dealCount")], [1.5, 150]);
});

test("the others are all deals without those of the shown groups", () => {
  const rest = charts.remainder(sums("100.10", 9, 20), [sums("60.05", 4, 8), sums("40", 4, 11)]);
  assert.deepEqual(rest, sums("0.05", 1, 1));
  assert.deepEqual(charts.remainder(sums("1"), []), sums("1"));
});

test("the names of two uploads are ordered by the largest value in either", () => {
  const shown = new Map([["ruby", sums("5")], ["opal", sums("3", 9)], ["jade", sums("1")]]);
  const base = new Map([["agate", sums("4")], ["jade", sums("6")]]);
  assert.deepEqual(charts.largestNames([shown], "total"), ["ruby", "opal", "jade"]);
  assert.deepEqual(charts.largestNames([shown, base], "total"), ["jade", "ruby", "agate", "opal"]);
  assert.deepEqual(charts.largestNames([shown, base], "dealCount").slice(0, 1), ["opal"]);
});

test("periods without deals are in their place", () => {
  const between = charts.periodsBetween;
  assert.deepEqual(between("2019-11-01", "2020-02-01", "month"), ["2019-11-01", "2019-12-01", "2020-01-01", "2020-02-01"]);
  assert.deepEqual(between("2020-02-28", "2020-03-01", "day"), ["2020-02-28", "2020-02-29", "2020-03-01"]);
  assert.deepEqual(between("2019-12-30", "2020-01-13", "week"), ["2019-12-30", "2020-01-06", "2020-01-13"]);
  assert.deepEqual(between("2019-10-01", "2020-04-01", "quarter"), ["2019-10-01", "2020-01-01", "2020-04-01"]);
  assert.deepEqual(between("0099-01-01", "0101-01-01", "year"), ["0099-01-01", "0100-01-01", "0101-01-01"]);
  assert.deepEqual(between("9999-12-01", "9999-12-01", "month"), ["9999-12-01"]);
  assert.equal(between("0001-01-01", "9999-12-31", "day").length, charts.MAX_PERIODS + 1);
});

test("a period ends on its last day", () => {
  const ends = { day: "2020-01-01", week: "2020-01-07", month: "2020-01-31", quarter: "2020-03-31", year: "2020-12-31" };
  for (const period of periods.PERIODS) assert.equal(periods.endOf("2020-01-01", period), ends[period]);
  assert.equal(periods.endOf("2020-02-01", "month"), "2020-02-29");
  assert.equal(periods.endOf("9999-12-01", "month"), "9999-12-31");
});

test("days are compared by their period", () => {
  const within = periods.isWithinPeriod;
  // 2020-02-03 is a Monday.
  assert.deepEqual([within("2020-02-03", "2020-02-09", "week"), within("2020-02-02", "2020-02-03", "week")], [true, false]);
  assert.deepEqual([within("2020-02-01", "2020-02-29", "month"), within("2020-02-01", "2020-03-01", "month")], [true, false]);
  assert.deepEqual([within("2020-04-01", "2020-06-30", "quarter"), within("2020-03-31", "2020-04-01", "quarter")], [true, false]);
  assert.deepEqual([within("2020-01-01", "2020-12-31", "year"), within("2019-12-31", "2020-01-01", "year")], [true, false]);
  assert.deepEqual([within("2020-01-01", "2020-01-01", "day"), within("2020-01-01", "2020-01-02", "day")], [true, false]);
});

test("groups have the first day of their period, years too", () => {
  assert.equal(charts.startOf({ year: null, month: "2019-05-01" }, "month"), "2019-05-01");
  assert.equal(charts.startOf({ year: 987 }, "year"), "0987-01-01");
  assert.deepEqual(periods.PERIODS.map(periods.longerPeriod), ["week", "month", "quarter", "year", undefined]);
});

test("ticks are round and contain the maximum", () => {
  assert.deepEqual(charts.ticks(224596, 4), [0, 100000, 200000, 300000]);
  assert.deepEqual(charts.ticks(100, 4), [0, 50, 100]);
  assert.deepEqual(charts.ticks(0.55, 4), [0, 0.2, 0.4, 0.6]);
  assert.deepEqual(charts.ticks(0.3, 3), [0, 0.1, 0.2, 0.3]);
  assert.deepEqual(charts.ticks(0, 4), [0, 1]);
  assert.deepEqual(charts.ticks(3, 4, true), [0, 1, 2, 3]);
  assert.deepEqual(charts.ticks(1, 4, true), [0, 1]);
  assert.deepEqual(charts.ticks(7, 4, true), [0, 2, 4, 6, 8]);
});

test("ticks of any maximum are few and ascending", () => {
  for (let exponent = -2; exponent < 22; exponent += 1) {
    for (const digits of [1, 1.01, 2, 2.49, 4.99, 5, 7.3, 9.99]) {
      const maximum = digits * 10 ** exponent;
      const values = charts.ticks(maximum, 4);
      assert.ok(values.length >= 3 && values.length <= 5, `${maximum}: ${values}`);
      assert.ok(values.at(-1) >= maximum * (1 - 1e-9) && values.at(-2) < maximum, `${maximum}: ${values}`);
    }
  }
});

const months = charts.periodsBetween("2018-12-01", "2019-12-01", "month");

test("each month has a label if there is space for it", () => {
  const { fine, coarse } = charts.timeLabels(months, "month", 80);
  assert.deepEqual([fine.unit, fine.indexes.length], ["month", 13]);
  assert.deepEqual(coarse, { unit: "year", indexes: [0, 1] });
});

test("narrow months are labelled by quarter, and the label of a crowded first year is dropped", () => {
  const { fine, coarse } = charts.timeLabels(months, "month", 20);
  assert.deepEqual(fine, { unit: "quarter", indexes: [1, 4, 7, 10] });
  assert.deepEqual(coarse, { unit: "year", indexes: [1] });
});

test("days are labelled by day, month or year", () => {
  const days = charts.periodsBetween("2019-01-30", "2019-02-03", "day");
  assert.deepEqual(charts.timeLabels(days, "day", 30).fine, { unit: "day", indexes: [0, 1, 2, 3, 4] });
  assert.deepEqual(charts.timeLabels(days, "day", 36).coarse, { unit: "month", indexes: [0, 2] });
  assert.deepEqual(charts.timeLabels(days, "day", 30).coarse, { unit: "month", indexes: [2] });
  const long = charts.periodsBetween("2018-01-01", "2019-12-31", "day");
  assert.deepEqual(charts.timeLabels(long, "day", 1).fine, { unit: "quarter", indexes: [0, 90, 181, 273, 365, 455, 546, 638] });
  assert.deepEqual(charts.timeLabels(long, "day", 0.2).fine, { unit: "year", indexes: [0, 365] });
});

test("many years are labelled in equal steps", () => {
  const years = charts.periodsBetween("1990-01-01", "2019-01-01", "year");
  const { fine, coarse } = charts.timeLabels(years, "year", 10);
  assert.deepEqual(fine, { unit: "year", indexes: [0, 4, 8, 12, 16, 20, 24, 28] });
  assert.equal(coarse, null);
});

test("a single period has one label", () => {
  for (const period of periods.PERIODS) {
    const { fine } = charts.timeLabels(["2019-01-01"], period, 500);
    assert.deepEqual(fine, { unit: period === "week" ? "day" : period, indexes: [0] });
  }
});
