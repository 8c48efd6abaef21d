// Who the reader is. The token goes to the server once and comes back as a cookie that no script can read.

import { signal } from "@preact/signals";
import { api, ApiError, onDenied } from "../api/client";
import type { LoginInfo } from "../api/types";

/** What belongs to a reader and stays in the browser, until they log out. */
const OWN = ["qchat.titles", "qchat.seen", "qchat.outbox", "qchat.drafts"];

export const who = signal<LoginInfo | null>(null);
export const loginWanted = signal(false);
/** Why the last attempt failed: an error's code. */
export const loginFailure = signal("");

/** Log in by the link that brought us here, if it was one. */
export async function begin(): Promise<void> {
  onDenied(() => (loginWanted.value = true));
  document.addEventListener("visibilitychange", () => {
    if (loginWanted.value && document.visibilityState === "visible") void look().then((found) => found && location.reload());
  });
  const secret = /^#login=(.+)$/.exec(location.hash)?.[1];
  if (!secret) return void look();
  // Not to be seen, kept in the history or sent again.
  history.replaceState(null, "", "#/");
  const failure = await attempt(secret);
  // A link that was used up is no reason to throw out who is in already.
  if (await look()) loginWanted.value = false;
  else loginFailure.value = failure;
}

async function look(): Promise<boolean> {
  try {
    who.value = await api.login();
    return true;
  } catch {
    return false;
  }
}

export async function logIn(token: string): Promise<void> {
  loginFailure.value = "";
  const failure = await attempt(token);
  // Everything is read anew, as whoever this is.
  if (failure) loginFailure.value = failure;
  else location.reload();
}

async function attempt(token: string): Promise<string> {
  try {
    await api.logIn(token);
    return "";
  } catch (error) {
    return error instanceof ApiError ? error.code : "INTERNAL";
  }
}

export async function logOut(): Promise<void> {
  try {
    await api.logOut();
  } catch (error) {
    if (!(error instanceof ApiError && error.code === "UNAUTHORIZED")) return;
  }
  try {
    for (const name of OWN) localStorage.removeItem(name);
  } catch {
    // Storage that is denied holds nothing.
  }
  history.replaceState(null, "", "#/");
  location.reload();
}
