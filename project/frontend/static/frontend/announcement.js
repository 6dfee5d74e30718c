// Announcements at the lower edge of the window: data that another client has uploaded, which the page shows when the
// reader wants it, and rows that are read before the page is printed.

import { byId, element, redraw } from "./dom.js";
import { formatEventTime, formatNumber } from "./formats.js";
import { messages } from "./i18n.js";

let announced = null; // {upload, onShow}
let preparation = null; // {rows, onCancel}

/** Announce an upload, and return whether it is a new one; `onShow` shows it. Null ends the announcement. */
export function announce(upload, onShow) {
  if (upload?.id === announced?.upload.id) return false;
  if (!upload && byId("announcement").contains(document.activeElement)) {
    byId("clients-title").tabIndex = -1;
    byId("clients-title").focus({ preventScroll: true }); // the button disappears
  }
  announced = upload && { upload, onShow };
  drawAnnouncement();
  return true;
}

/** Show that a number of rows is prepared for printing; null ends it. */
export function showPreparation(next) {
  if (!next && byId("announcement").contains(document.activeElement)) byId("print").focus({ preventScroll: true });
  preparation = next;
  drawAnnouncement();
}

/** Draw the announcements in the current language. */
export function drawAnnouncement() {
  const elements = preparation ? preparationElements(preparation) : announced ? announcementElements(announced) : [];
  redraw("announcement", ...elements);
}

const preparationElements = ({ rows, onCancel }) => [
  element("span", {}, messages.preparingPrint(formatNumber(rows))),
  element("button", { type: "button", onclick: onCancel }, messages.cancel),
];

const announcementElements = ({ upload, onShow }) => [
  element("span", {}, messages.newData(upload.fileName || "—", formatEventTime(upload.arrivedAt))),
  element("button", { type: "button", class: "primary", onclick: onShow }, messages.showNewData),
];
