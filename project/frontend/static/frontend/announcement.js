// The announcement of data that another client has uploaded: the page shows them when the reader wants it.

import { byId, element, redraw } from "./dom.js";
import { formatEventTime } from "./formats.js";
import { messages } from "./i18n.js";

let announced = null; // {upload, onShow}

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

/** Draw the announcement in the current language. */
export function drawAnnouncement() {
  redraw("announcement", ...(announced ? announcementElements(announced) : []));
}

const announcementElements = ({ upload, onShow }) => [
  element("span", {}, messages.newData(upload.fileName || "—", formatEventTime(upload.arrivedAt))),
  element("button", { type: "button", class: "primary", onclick: onShow }, messages.showNewData),
];
