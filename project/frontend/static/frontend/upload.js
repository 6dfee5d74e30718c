// Upload a file over REST, follow its load, and return the outcome.

import { query, TIMEOUT_MS, token } from "./graphql_client.js";
import { CURRENT_ID, LOADS } from "./operations.js";

/** Larger files are loaded by a worker, if the service has one, so that their load can be cancelled. */
const ASYNC_BYTES = 2 ** 20;
const POLL_MS = 1000;
/** Failed requests in a row after which a load is no longer followed. */
const MAX_FAILURES = 10;
const UNFINISHED = ["queued", "loading"];

const pause = () => new Promise((resolve) => setTimeout(resolve, POLL_MS));

/**
 * Upload a file, or only check it.
 *
 * `onProgress` is called with {sent: fraction} while the file is sent, then with {} or {rows, fraction, seconds}: deals
 * read, fraction of the file read, and estimated time left. `signal` cancels the upload.
 *
 * Resolves to {outcome, body, retryAfter}, where the outcome is
 * - "accepted", "unchanged" if the file was current already, "checked", or "rejected"
 * - "unauthorized", "unreachable", or "interrupted" if the service stopped during the load
 * - "cancelled", or "left" if the service has the whole file and goes on to load it
 */
export async function upload(file, { isDryRun, signal, onProgress }) {
  const before = isDryRun ? null : await currentId();
  const transfer = new Transfer(file, isDryRun, onProgress);
  signal.addEventListener("abort", () => transfer.abort());
  const response = await transfer.send();
  if (response.status === 202) return follow(new URL(response.location, document.baseURI), signal, onProgress);
  if (!response.status && signal.aborted) return { outcome: transfer.isSent && !isDryRun ? "left" : "cancelled" };
  if (response.status === 200 && !isDryRun) {
    return { ...response, outcome: before && before === (await currentId()) ? "unchanged" : "accepted" };
  }
  return { ...response, outcome: outcomeOf(response) };
}

function outcomeOf({ status, body }) {
  if (status === 200) return "checked";
  if (status === 401) return "unauthorized";
  return body ? "rejected" : "unreachable";
}

async function currentId() {
  try {
    return (await query(CURRENT_ID)).currentUpload?.id;
  } catch {
    return null; // the upload reports the error
  }
}

class Transfer {
  constructor(file, isDryRun, onProgress) {
    Object.assign(this, { file, isDryRun, onProgress, isSent: false, isOver: false });
    this.request = new XMLHttpRequest(); // fetch reports no upload progress
  }

  /** Resolves to {status, body, location, retryAfter}; without a response, the status is 0 and the body null. */
  send() {
    const { request, file } = this;
    request.open("POST", new URL(`api/upload/${this.isDryRun ? "?dry_run=1" : ""}`, document.baseURI));
    const prefer = file.size > ASYNC_BYTES ? "return=representation, respond-async" : "return=representation";
    const headers = { ...token.headers(), Accept: "application/json", Prefer: prefer };
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.responseType = "json";
    request.upload.onprogress = ({ loaded, total }) => loaded < total && this.onProgress({ sent: loaded / total });
    request.upload.onload = () => this.watch();
    const form = new FormData();
    form.append("deals", file);
    request.send(form);
    return new Promise((resolve) => {
      request.onloadend = () => {
        this.isOver = true;
        resolve({
          status: request.status,
          body: request.response,
          location: request.getResponseHeader("Location"),
          retryAfter: request.getResponseHeader("Retry-After"),
        });
      };
    });
  }

  abort() {
    this.request.abort();
  }

  /** Report the progress of a synchronous load, which the upload history contains. */
  async watch() {
    this.isSent = true;
    this.onProgress({});
    const start = performance.now();
    for (;;) {
      await pause();
      if (this.isOver || this.isDryRun) return;
      const load = await query(LOADS).then(({ uploads }) => uploads.nodes.find((node) => this.isLoadOf(node)), () => null);
      if (load && !this.isOver) this.onProgress(progress(load.rowsRead, load.bytesRead, load.size, start));
    }
  }

  isLoadOf({ state, fileName, size }) {
    return state === "LOADING" && fileName === this.file.name && size === this.file.size;
  }
}

function progress(rows, bytesRead, size, start) {
  if (!bytesRead) return {};
  const elapsed = (performance.now() - start) / 1000;
  return { rows, fraction: bytesRead / size, seconds: (elapsed * (size - bytesRead)) / bytesRead };
}

/** Follow an asynchronous load by its status resource. */
async function follow(url, signal, onProgress) {
  const headers = () => ({ ...token.headers(), Accept: "application/json" });
  const request = (method) => fetch(url, { method, headers: headers(), signal: AbortSignal.timeout(TIMEOUT_MS) });
  let start;
  for (let failures = 0; failures < MAX_FAILURES; ) {
    try {
      if (signal.aborted) await request("DELETE");
      const response = await request("GET");
      const body = await response.json();
      failures = 0;
      if (!UNFINISHED.includes(body.State)) return { body, outcome: outcomeOfLoad(body) };
      if (body.State === "loading") start ??= performance.now();
      onProgress(body.State === "queued" ? { isQueued: true } : progress(body.RowsRead, body.BytesRead, body.TotalBytes, start));
    } catch {
      failures += 1;
    }
    await pause();
  }
  return { outcome: "unreachable" };
}

function outcomeOfLoad({ Status, State }) {
  if (State === "cancelled") return "cancelled";
  if (State === "interrupted") return "interrupted";
  return Status === "OK" ? "accepted" : "rejected";
}
