// Helpers of the programs in `clients` and `recipes`, which are called as `node PROGRAM SERVICE`.
import { deepStrictEqual } from "node:assert/strict";

export const service = process.argv[2];
export const endpoint = `${service}/graphql/`;

/** Compare two values and print what they show; a difference ends the program with an error. */
export function check(what, actual, expected) {
  deepStrictEqual(actual, expected, `${what}: ${JSON.stringify(actual)} instead of ${JSON.stringify(expected)}`);
  console.log(`ok: ${what}`);
}

/** Return the error with which a promise is rejected. */
export async function errorOf(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("The promise is not rejected.");
}

/** Upload `count` deals of one customer, whose name and totals identify the file. */
export async function upload(number, count) {
  const deal = `v${number},gem,${number},1,2020-01-02 03:04:05\n`;
  const form = new FormData();
  form.append("deals", new Blob(["customer,item,total,quantity,date\n", deal.repeat(count)]), `v${number}.csv`);
  const response = await fetch(`${service}/api/upload/`, { method: "POST", body: form });
  if (!response.ok) throw new Error(`Upload ${number}: ${response.status} ${await response.text()}`);
}
