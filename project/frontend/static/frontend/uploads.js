// Uploads by the page: choosing or dropping a file, its progress, and its outcome.

import { byId, element, redraw } from "./dom.js";
import { language, messages } from "./i18n.js";

const SAMPLES = { en: "sample_en.csv", ru: "sample_ru.csv" };

let running = null; // the AbortController of the upload in progress
let drawOutcome = () => []; // returns the elements of the last outcome in the current language
let pending = null; // the arguments of an upload that needs a token
let onEnd; // called after an upload, with whether the data may have changed

/** Prepare the controls. `ended(hasChanged)` is called after each upload. */
export function startUploads(ended) {
  onEnd = ended;
  const field = byId("file");
  field.addEventListener("change", async () => {
    const [file] = field.files;
    if (file) await uploadFile(file, byId("dry-run").checked);
    field.value = ""; // otherwise, choosing the same file again would not fire a change event
  });
  prepareDrop();
  byId("sample").addEventListener("click", uploadSample);
  translateUploads();
}

export const isUploading = () => running !== null;

/** Draw the texts that are not in the template in the current language. */
export function translateUploads() {
  redraw("result", ...drawOutcome());
  byId("sample-file").href = new URL(SAMPLES[language], import.meta.url);
}

/** Upload the file that was rejected because of a missing token. */
export function retryUpload() {
  if (pending) uploadFile(...pending);
}

let failures = 0; // a browser does not request a module again under an address that has failed

/** Read the modules that most visitors do not need; resolves to what they export, undefined if the service is away. */
export async function readModules() {
  const suffix = failures ? `?${failures}` : "";
  try {
    return { ...(await import(`./upload.js${suffix}`)), ...(await import(`./upload_result.js${suffix}`)) };
  } catch {
    failures += 1;
    return undefined;
  }
}

async function uploadFile(file, isDryRun) {
  if (running) return;
  running = new AbortController();
  pending = null;
  show(() => []);
  setBusy(true);
  const modules = await readModules();
  if (!modules) {
    running = null;
    setBusy(false);
    show(() => [element("p", { class: "bad" }, messages.errors.no_response)]);
    return;
  }
  const { outcomeElements, progressElements, upload } = modules;
  const onProgress = (progress) => redraw("transfer", ...progressElements(file, progress, () => running?.abort()));
  onProgress({ sent: 0 });
  const result = await upload(file, { isDryRun, signal: running.signal, onProgress });
  const hadFocus = byId("transfer").contains(document.activeElement);
  running = null;
  setBusy(false);
  redraw("transfer");
  show(() => outcomeElements(file, result, () => uploadFile(file, false)));
  if (hadFocus) byId("result").focus(); // the button to cancel is gone
  if (result.outcome === "unauthorized") {
    pending = [file, isDryRun];
    byId("token").hidden = false;
    byId("token-value").focus();
  }
  await onEnd(["accepted", "unchanged"].includes(result.outcome));
}

function show(draw) {
  drawOutcome = draw;
  redraw("result", ...draw());
}

const warn = (event) => event.preventDefault();

function setBusy(isBusy) {
  for (const id of ["file", "sample"]) byId(id).disabled = isBusy;
  if (isBusy) addEventListener("beforeunload", warn);
  else removeEventListener("beforeunload", warn);
}

async function uploadSample() {
  const name = SAMPLES[language];
  const response = await fetch(new URL(name, import.meta.url));
  await uploadFile(new File([await response.blob()], name, { type: "text/csv" }), false);
}

// Dropping a file anywhere in the window

const hasFiles = (event) => event.dataTransfer?.types.includes("Files");

function prepareDrop() {
  const highlight = (isOver) => (byId("dropping").hidden = !isOver);
  for (const kind of ["dragenter", "dragover"]) {
    addEventListener(kind, (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault(); // otherwise the browser would open the file instead of the page
      highlight(!running);
    });
  }
  addEventListener("dragleave", (event) => event.relatedTarget === null && highlight(false));
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    highlight(false);
    const { files } = event.dataTransfer;
    if (files.length > 1) show(() => [element("p", { class: "bad" }, messages.oneFile)]);
    else if (files.length) uploadFile(files[0], byId("dry-run").checked);
  });
}
