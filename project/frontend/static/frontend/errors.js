// Messages of errors in the language of the page.

import { byId } from "./dom.js";
import { language, messages } from "./i18n.js";

/** Return the text of an error; show the token form if the service requires a token. */
export function describeError(error) {
  if (error.code === "token_required") byId("token").hidden = false;
  const known = messages.errors[error.code];
  if (known) return known;
  // Messages of the service are in English.
  return language === "en" ? error.message : messages.unknownError(error.code);
}
