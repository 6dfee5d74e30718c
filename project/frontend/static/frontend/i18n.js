// The language of the page, and its texts.

import { storageKey } from "./dom.js";
import { MESSAGES as CHARTS } from "./messages_charts.js";
import { MESSAGES as REPORT } from "./messages_report.js";
import { MESSAGES as UPLOADS } from "./messages_uploads.js";

const LANGUAGES = ["en", "ru"];

const sources = [REPORT, CHARTS, UPLOADS];

/** All texts in one language: strings, and functions of the values that they contain. */
const messagesIn = (code) => Object.assign({}, ...sources.map((texts) => texts[code]));

function preferredLanguage() {
  const code = localStorage.getItem(storageKey("language")) ?? navigator.language.slice(0, 2);
  return LANGUAGES.includes(code) ? code : "en";
}

export let language = preferredLanguage();
export let messages = messagesIn(language);

/** Change and store the language. The caller renders the page again. */
export function setLanguage(code) {
  localStorage.setItem(storageKey("language"), code);
  language = preferredLanguage();
  messages = messagesIn(language);
}

/** Add the texts of a module that is read on demand. */
export function addMessages(texts) {
  sources.push(texts);
  messages = messagesIn(language);
}

/** Return the language with the region of the reader, which decides how dates are written. */
export const locale = () => navigator.languages.find((code) => code.split("-")[0] === language) ?? language;
