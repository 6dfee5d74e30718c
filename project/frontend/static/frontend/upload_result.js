// What the page shows about an uploaded or checked file: progress, report, or the reasons of the rejection.

import { element } from "./dom.js";
import { neutralize, save, writeCsv } from "./export.js";
import { formatDealTime, formatMoney, formatNumber } from "./formats.js";
import { TIMEOUT_MS, token } from "./graphql_client.js";
import { addMessages, language, locale, messages } from "./i18n.js";
import { MESSAGES } from "./messages_outcomes.js";
import { FILE_REASONS, REASONS, REJECTIONS } from "./messages_reasons.js";

addMessages(MESSAGES);

/** Line numbers that a group of errors contains; the table has all of them. */
const MAX_LINES = 5;
/** Groups of errors that are listed; files whose rows differ in length can have thousands. */
const MAX_GROUPS = 20;
/** Longer tables of errors are closed at first. */
const MAX_OPEN = 10;
/** Rows of a table of errors; the file to download has all of them. */
const MAX_ROWS = 100;
/** Reason code of the last entry, which is no error, of a list of too many errors. */
const TOO_MANY = "too_many_errors";
/** Reason codes after which the rest of a file is not read. */
const LAST_READ = [TOO_MANY, "unclosed_quote", "text_after_quote", "cell_too_long", "line_break", "not_csv"];

// Progress

function duration(seconds) {
  const [value, unit] = seconds < 60 ? [Math.ceil(seconds), "second"] : [Math.ceil(seconds / 60), "minute"];
  return new Intl.NumberFormat(locale(), { style: "unit", unit, unitDisplay: "long" }).format(value);
}

function progressText({ sent, isQueued, rows, fraction, seconds }) {
  if (sent !== undefined) return messages.uploading(Math.floor(100 * sent));
  if (isQueued) return messages.queued;
  if (fraction === undefined) return messages.processing;
  if (fraction < 1) return `${messages.rowsRead(formatNumber(rows))} ${messages.timeLeft(duration(seconds))}`;
  return `${messages.rowsRead(formatNumber(rows))} ${messages.storing}`;
}

/** Return the elements of an upload in progress; see `upload`. */
export function progressElements(file, progress, onCancel) {
  const fraction = progress.sent ?? (progress.fraction < 1 ? progress.fraction : null);
  return [
    element("p", {}, element("strong", {}, file.name), ` ${progressText(progress)}`),
    // Without a value, the bar shows that the duration is unknown.
    element("progress", { max: "1", value: fraction, "aria-label": file.name, key: fraction == null ? "unknown" : "known" }),
    element("button", { type: "button", onclick: onCancel }, messages.cancel),
  ];
}

// Outcome

/** Return the elements of the outcome of `upload`; `onUpload` uploads a file that was checked. */
export function outcomeElements(file, result, onUpload) {
  const { outcome, body } = result;
  const name = file.name;
  const paragraph = (quality, text) => element("p", { class: quality }, text);
  switch (outcome) {
    case "accepted":
      return [paragraph("good", messages.accepted(name)), ...reportElements(body.Report)];
    case "unchanged":
      return [paragraph("good", messages.unchanged(name))];
    case "checked":
      return [
        paragraph("good", messages.checked(name)),
        ...reportElements(body.Report),
        element("button", { type: "button", class: "primary", onclick: onUpload }, messages.uploadChecked),
      ];
    case "rejected":
      return rejectionElements(name, result);
    case "unreachable":
      return [paragraph("bad", messages.errors.no_response)];
    case "unauthorized":
      return [];
    default:
      return [paragraph("status", messages[outcome](name))];
  }
}

/** Texts of delimiters that cannot be seen. */
const DELIMITERS = { "\t": "tabulator" };

function reportElements(report) {
  if (!report?.first_date) return [];
  const facts = [
    [messages.deals, formatNumber(report.rows)],
    [messages.customers, formatNumber(report.customers)],
    [messages.gems, formatNumber(report.gems)],
    [messages.total, formatMoney(String(report.total))],
    [messages.period, `${formatDealTime(report.first_date)} – ${formatDealTime(report.last_date)} (UTC)`],
    [messages.encoding, report.encoding],
    [messages.delimiter, messages[DELIMITERS[report.delimiter]] ?? report.delimiter],
    [messages.decimalSeparator, report.decimal_separator],
    [messages.dateFormat, report.date_format],
  ];
  const known = facts.filter(([, value]) => value);
  const items = known.map(([title, value]) => element("div", {}, element("dt", {}, title), element("dd", {}, value)));
  return [element("dl", { class: "report" }, ...items)];
}

function rejectionElements(name, { body, retryAfter }) {
  const title = body.Code === "too_many_requests" ? messages.rateLimited(retryAfter) : messages.rejected(name);
  return [element("p", { class: "bad" }, title), ...reasonElements(name, body)];
}

const reasonElements = (name, body) => {
  const problems = body.Errors?.filter(({ reason_code }) => !(reason_code in FILE_REASONS)) ?? [];
  return problems.length ? problemElements(name, problems) : [element("p", {}, describeRejection(body))];
};

/**
 * Read why an upload in the history was rejected. Resolves to a function that returns the elements in the current
 * language; null if the service does not have the details.
 */
export async function readReasons({ id, fileName }) {
  const headers = { ...token.headers(), Accept: "application/json" };
  const url = new URL(`api/uploads/${encodeURIComponent(id)}`, document.baseURI);
  const response = await fetch(url, { headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!response.ok) return null;
  const body = await response.json();
  return () => reasonElements(fileName, body);
}

/** Return the reason of a rejection without a list of cells. */
function describeRejection({ Code, Desc, Errors }) {
  const original = element("span", { lang: "en" }, Desc);
  if (language === "en") return original;
  const known = REJECTIONS[Code] ?? messages.unknownError(Code);
  if (Code !== "unreadable_upload") return known;
  const [problem] = Errors ?? [];
  return problem
    ? `${known} ${textOf(FILE_REASONS[problem.reason_code], problem.params)}`
    : element("span", {}, `${known} ${messages.serviceMessage} `, original);
}

// Errors of a file

/** Return the reason of an invalid cell in the language of the page. */
export function reasonOf({ reason, reason_code, params }) {
  return textOf(language === "en" ? reason : (REASONS[reason_code] ?? reason), params);
}

const textOf = (text, params) => (typeof text === "function" ? text(params) : text);

/** Group errors with the same column and reason; the largest group first. */
export function groupProblems(problems) {
  const groups = new Map();
  for (const problem of problems) {
    const key = `${problem.column} ${problem.reason}`;
    if (!groups.has(key)) groups.set(key, { column: problem.column, reason: reasonOf(problem), lines: [] });
    groups.get(key).lines.push(problem.line);
  }
  return [...groups.values()].sort((a, b) => b.lines.length - a.lines.length);
}

function problemElements(name, entries) {
  const problems = entries.filter(({ reason_code }) => reason_code !== TOO_MANY);
  const groups = groupProblems(problems);
  const items = groups.slice(0, MAX_GROUPS).map(({ column, reason, lines }) => {
    const shown = lines.slice(0, MAX_LINES).map(formatNumber).join(", ");
    return element(
      "li",
      {},
      element("strong", {}, `${formatNumber(lines.length)} × ${column ?? messages.wholeLine}`),
      ` ${reason} `,
      element("span", { class: "status" }, messages.inLines(lines.length, lines.length > MAX_LINES ? `${shown}…` : shown)),
    );
  });
  const last = entries.at(-1);
  const notes = [
    problems.length > MAX_ROWS && messages.firstInTable(formatNumber(MAX_ROWS)),
    LAST_READ.includes(last.reason_code) && messages.notReadAfter(formatNumber(last.line)),
  ];
  const saveProblems = () => save(new Blob([problemsCsv(entries)], { type: "text/csv" }), `${name}-${messages.errorsFile}.csv`);
  const download = element("button", { type: "button", class: "link", onclick: saveProblems }, messages.downloadErrors);
  return [
    element("ul", { class: "groups" }, ...items),
    groups.length > MAX_GROUPS && element("p", {}, messages.otherGroups(formatNumber(groups.length - MAX_GROUPS))),
    element(
      "details",
      { open: problems.length <= MAX_OPEN },
      element("summary", {}, messages.problems(formatNumber(problems.length))),
      problemTable(problems.slice(0, MAX_ROWS)),
    ),
    element("p", {}, ...notes.filter(Boolean).map((note) => `${note} `), download),
  ].filter(Boolean);
}

function problemTable(problems) {
  const headers = [
    element("th", { scope: "col", class: "numeric" }, messages.line),
    ...[messages.column, messages.value, messages.reason].map((text) => element("th", { scope: "col" }, text)),
  ];
  const rows = problems.map((problem) =>
    element(
      "tr",
      {},
      element("th", { scope: "row", class: "numeric" }, formatNumber(problem.line)),
      element("td", {}, problem.column ?? messages.wholeLine),
      element("td", {}, element("code", {}, problem.value)),
      element("td", {}, reasonOf(problem)),
    ),
  );
  return element(
    "table",
    { class: "problems" },
    element("thead", {}, element("tr", {}, ...headers)),
    element("tbody", {}, ...rows),
  );
}

/** Return the list of errors as CSV for spreadsheets. */
export function problemsCsv(problems) {
  const header = [messages.line, messages.column, messages.value, messages.reason];
  const rows = problems.map((problem) => [problem.line, problem.column ?? messages.wholeLine, problem.value, reasonOf(problem)]);
  return writeCsv([header, ...rows.map((cells) => cells.map((cell) => neutralize(String(cell))))]);
}
