// The language and the theme of the reader. The browser waits for this module before it draws the page, which would
// otherwise change its language, its colours and its layout in front of the reader.

import { byId, storageKey } from "./dom.js";
import { language, messages, setLanguage } from "./i18n.js";

const THEME = storageKey("theme");

function translatePage() {
  document.documentElement.lang = language;
  document.title = messages.title;
  for (const node of document.querySelectorAll("[data-i18n]")) node.textContent = messages[node.dataset.i18n];
}

const applyTheme = (theme) => document.documentElement.setAttribute("data-theme", theme);

/** Let the reader choose. `onLanguage` is called after the language has changed. */
export function startPreferences(onLanguage) {
  byId("language").addEventListener("change", ({ target }) => {
    setLanguage(target.value);
    translatePage();
    onLanguage();
  });
  byId("theme").addEventListener("change", ({ target }) => {
    localStorage.setItem(THEME, target.value);
    applyTheme(target.value);
  });
}

byId("language").value = language;
byId("theme").value = localStorage.getItem(THEME) ?? "auto";
applyTheme(byId("theme").value);
translatePage();
