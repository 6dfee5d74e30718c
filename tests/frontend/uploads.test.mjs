// node --test uploads.test.mjs: texts and lists of the errors of a rejected file.
import assert from "node:assert/strict";
import test from "node:test";

let stored = "en";
Object.assign(globalThis, {
  document: { baseURI: "http://localhost/deals/" },
  localStorage: { getItem: () => stored, setItem: (key, value) => (stored = value) },
  sessionStorage: { getItem: () => "" },
});
Object.defineProperty(globalThis, "navigator", { value: { language: "en-US", languages: ["en-US", "ru"] } });

const load = (name) => import(new URL(`../../project/frontend/static/frontend/${name}`, import.meta.url));
const { groupProblems, problemsCsv, reasonOf } = await load("upload_result.js");
const i18n = await load("i18n.js");
const { setLanguage } = i18n;

const problem = (line, column, reason_code, value = "x", params = {}) => ({
  line, column, value, reason: `is ${reason_code}`, reason_code, params,
});

test("errors are grouped by column and reason, the largest group first", () => {
  const groups = groupProblems([problem(3, "date", "empty"), problem(4, "total", "empty"), problem(9, "total", "empty")]);
  assert.deepEqual(groups, [
    { column: "total", reason: "is empty", lines: [4, 9] },
    { column: "date", reason: "is empty", lines: [3] },
  ]);
});

test("reasons are in the language of the page, and unknown ones in that of the service", () => {
  const tooLong = problem(3, "customer", "name_too_long", "x", { maximum: 255 });
  assert.equal(reasonOf(tooLong), "is name_too_long");
  setLanguage("ru");
  assert.equal(reasonOf(tooLong), "название длиннее допустимого (символов: 255)");
  assert.equal(reasonOf(problem(3, null, "of_a_later_version")), "is of_a_later_version");
  assert.equal(reasonOf(problem(3, null, "wrong_cell_count", "x", { cells: "5 cells", header_cells: 6 })), "ячеек в строке: 5, в заголовке: 6");
  setLanguage("en");
});

test("the list of errors for spreadsheets has no formulas", () => {
  const csv = problemsCsv([problem(2, "customer", "empty", '=HYPERLINK("x")'), problem(3, null, "empty", "a\nb")]);
  assert.equal(
    csv,
    '\ufeffLine,Column,Value,Reason\r\n2,customer,"\'=HYPERLINK(""x"")",is empty\r\n3,whole line,"a\nb",is empty\r\n',
  );
});

test("numbers of deals, customers and gems agree with their nouns", () => {
  const upload = { dealCount: 21, customerCount: 3, gemCount: 5 };
  assert.equal(i18n.messages.counts(upload), "21 deals, 3 customers, 5 gems");
  setLanguage("ru");
  assert.equal(i18n.messages.counts(upload), "21 сделка, 3 покупателя, 5 камней");
  setLanguage("en");
});
