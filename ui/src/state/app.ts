// What the page is about at the moment, and what connects its parts.

import { computed, effect, signal } from "@preact/signals";
import { api, ApiError } from "../api/client";
import type { Health, TurnInfo } from "../api/types";
import { Conversation } from "../chat/conversation";
import { type Letter, Outbox } from "../chat/outbox";
import type { Turn } from "../chat/turn";
import { Link } from "../hub/link";
import type { News, StreamState } from "../hub/protocol";
import { maybe, t } from "../text";
import { readStore, writeStore } from "../util/store";
import { announce } from "./announce";
import { draftOf, setDraft } from "./draft";
import { Files } from "./files";
import { begin, loginWanted } from "./login";
import { SessionList } from "./sessions";
import { toast, withUndo } from "./toasts";

const LIST_INTERVAL = 15_000;
const KEPT = 5;
const WIDE = matchMedia("(min-width: 1100px)");

export const sessions = new SessionList();
export const conversation = signal<Conversation | null>(null);
export const files = signal<Files | null>(null);
export const health = signal<Health | null>(null);
export const online = signal(navigator.onLine);
export const connection = signal<{ state: StreamState; retryAt: number }>({ state: "connecting", retryAt: 0 });
export const sidebarOpen = signal(false);
export const filesOpen = signal(WIDE.matches && readStore("qchat.files", true));
/** The file that is being looked at. */
export const previewed = signal<string | null>(null);
export const helpOpen = signal(false);
/** A session for the first prompt is being made. */
export const starting = signal(false);
/** The server answers; null until it has been asked. For times when there is no stream to tell. */
const reachable = signal<boolean | null>(null);

export const outbox = new Outbox(taken);
/** Conversations that were looked at last: going back to one shows it at once. */
const kept = new Map<string, Conversation>();

const link = new Link({ frames, state, news });

/** What to say of the connection. */
export const status = computed<StreamState | "offline">(() => {
  if (!online.value) return "offline";
  const open = conversation.value;
  if (open && open.state.value === "ready") return connection.value.state;
  if (reachable.value === null) return "connecting";
  return reachable.value ? "live" : "waiting";
});

// Where we are

export function addressOf(session: string): string {
  return `#/s/${session}`;
}

function route(): void {
  const match = /^#\/s\/([0-9a-f-]{36})$/.exec(location.hash);
  open(match?.[1] ?? "");
}

export function newChat(): void {
  sidebarOpen.value = false;
  if (location.hash !== "#/" && location.hash !== "") location.hash = "#/";
  document.getElementById("prompt")?.focus();
}

function open(id: string): void {
  if (conversation.value?.id === id) return;
  sidebarOpen.value = false;
  previewed.value = null;
  if (!id) {
    conversation.value = null;
    files.value = null;
    return link.unwatch();
  }
  const known = kept.get(id);
  kept.delete(id);
  known?.shorten();
  const found = known ?? new Conversation(id);
  kept.set(id, found);
  while (kept.size > KEPT) kept.delete(kept.keys().next().value as string);
  connection.value = { state: "connecting", retryAt: 0 };
  conversation.value = found;
  files.value = new Files(id);
  void files.value.refresh();
  void (known?.state.value === "ready" ? follow(found) : load(found));
}

async function load(found: Conversation): Promise<void> {
  if (!(await found.load())) {
    reachable.value = found.failure.value?.status !== 0;
    if (found.state.value === "failed" && found.failure.value?.passing) retryLoad(found);
    return;
  }
  reachable.value = true;
  follow(found);
}

function retryLoad(found: Conversation): void {
  setTimeout(() => conversation.value === found && found.state.value === "failed" && void load(found), 2_000);
}

export function reload(): void {
  if (conversation.value) void load(conversation.value);
}

function follow(found: Conversation): void {
  if (conversation.value !== found) return;
  if (found.info.value) sessions.put(found.info.value);
  void found.refresh().then(() => found.info.value && sessions.put(found.info.value));
  link.watch(found.id, () => found.position);
}

// What comes by the stream

function frames(session: string, list: Parameters<Conversation["apply"]>[0]): void {
  const found = conversation.value;
  if (!found || found.id !== session) return;
  const ended = found.apply(list);
  if (list.some(({ data }) => data.type === "session_deleted")) return gone(found);
  if (ended.length > 0) turnsEnded(found, ended);
  else if (list.some(({ data }) => data.type === "turn")) void refreshList();
}

function turnsEnded(found: Conversation, ended: Turn[]): void {
  const last = ended.at(-1) as Turn;
  if (document.visibilityState === "visible") sessions.markSeen(found.id, last.number);
  // What is replayed was said before.
  const fresh = ended.filter((turn) => (turn.ending.value?.seconds ?? 0) + turn.created > Date.now() / 1000 - 30);
  if (fresh.length > 0) announce(spoken(fresh.at(-1) as Turn));
  void files.value?.refresh();
  void refreshList();
  void found.refresh();
}

function spoken(turn: Turn): string {
  const ending = turn.ending.value;
  if (ending?.code) return describe(ending.code, ending.error ?? "");
  if (turn.state.value === "cancelled") return t("cancelled");
  // Of links their texts.
  const text = turn.answer.replace(/\[([^\]]*)\]\([^)\s]*\)/g, "$1").replace(/[`*_#>|]/g, "");
  return t("answerReady", { text: text.length > 300 ? `${text.slice(0, 300)}…` : text });
}

function state(session: string, next: StreamState, retryAt: number): void {
  const found = conversation.value;
  if (!found || found.id !== session) return;
  const before = connection.value.state;
  connection.value = { state: next, retryAt };
  if (next === "gone") gone(found);
  if (next === "reset") void load(found);
  if (next === "denied") loginWanted.value = true;
  if (next === "live") {
    reachable.value = true;
    if (before !== "live") {
      outbox.wake();
      void refreshList();
      void refreshHealth();
      void files.value?.refresh();
    }
  }
}

function gone(found: Conversation): void {
  found.state.value = "gone";
  kept.delete(found.id);
  sessions.drop(found.id);
}

function news(item: News): void {
  if (item.kind === "sessions") void refreshList();
  const found = conversation.value;
  if (item.kind === "submitted" && found?.id === item.session) {
    void api.turn(item.session, item.turn).then((turn) => found.learn(turn), () => {});
  }
  if (item.kind === "files" && files.value?.session === item.session) void files.value.refresh();
}

// What the reader does

/** Send a prompt; a chat that has no session yet gets one. */
export async function send(message: string): Promise<void> {
  const id = conversation.value?.id ?? (await startSession());
  // Nothing that was typed is lost; why there is no session has been said.
  if (!id) return setDraft("", [message, draftOf("")].filter(Boolean).join("\n\n"));
  sessions.nameAfter(id, message);
  outbox.send(id, message);
}

/** Make a session and go there. */
export async function startSession(): Promise<string | null> {
  starting.value = true;
  try {
    const { session_id } = await api.createSession();
    await refreshList();
    link.tell({ kind: "sessions" });
    location.hash = addressOf(session_id);
    open(session_id);
    return session_id;
  } catch (error) {
    report(error);
    return null;
  } finally {
    starting.value = false;
  }
}

/** Run a turn's prompt again: the key says which turn it repeats, so that it happens once. */
export function runAgain(turn: Turn): void {
  const id = conversation.value?.id;
  if (id) outbox.send(id, turn.prompt, repeatKey(id, turn));
}

function repeatKey(session: string, turn: Turn): string {
  return `again-${turn.number}-of-${session}`;
}

/** Whether that has been asked for already, here or in another tab. */
export function ranAgain(open: Conversation, turn: Turn): boolean {
  const key = repeatKey(open.id, turn);
  return open.keys.value.has(key) || outbox.letters.value.some((letter) => letter.key === key);
}

function taken(letter: Letter, info: TurnInfo): void {
  if (conversation.value?.id === letter.session) conversation.value.learn(info);
  else kept.get(letter.session)?.learn(info);
  link.tell({ kind: "submitted", session: letter.session, turn: info.turn });
  void refreshList();
}

export async function stop(turn: Turn): Promise<void> {
  const id = conversation.value?.id;
  if (!id || turn.stopping.value) return;
  turn.stopping.value = true;
  try {
    conversation.value?.learn(await api.cancel(id, turn.number));
  } catch (error) {
    report(error);
  } finally {
    turn.stopping.value = false;
  }
}

export function removeSession(id: string): void {
  const name = sessions.titleOf(id) || t("untitled");
  sessions.setLeaving(id, true);
  if (conversation.value?.id === id) newChat();
  withUndo(t("sessionDeleted", { name }), t("undo"), () => void removeNow(id), () => sessions.setLeaving(id, false));
}

async function removeNow(id: string): Promise<void> {
  try {
    await api.deleteSession(id);
  } catch (error) {
    if (!(error instanceof ApiError && error.code === "SESSION_NOT_FOUND")) report(error);
  }
  kept.delete(id);
  await refreshList();
  sessions.setLeaving(id, false);
  link.tell({ kind: "sessions" });
}

export async function changed(work: Promise<void>): Promise<void> {
  try {
    await work;
    link.tell({ kind: "sessions" });
    await conversation.value?.refresh();
  } catch (error) {
    report(error);
  }
}

export function filesChanged(session: string): void {
  link.tell({ kind: "files", session });
}

export function reconnect(): void {
  link.wake();
  outbox.wake();
  void refreshList();
  if (conversation.value?.state.value === "failed") reload();
}

/** What happened, in the reader's language where the page knows the code. */
export function describe(code: string, otherwise: string): string {
  return maybe(`code_${code}`) ?? otherwise;
}

export function report(error: unknown): void {
  const { details } = ApiError.from(error);
  toast(explain(error) + (details ? ` (${details})` : ""), { kind: "problem", seconds: 10 });
}

/** The same for whatever was thrown. */
export function explain(error: unknown): string {
  const { code, message } = ApiError.from(error);
  return describe(code, message);
}

// What is asked for now and then

export async function refreshList(): Promise<void> {
  try {
    await sessions.refresh();
    reachable.value = true;
  } catch (error) {
    reachable.value = !(error instanceof ApiError && error.passing);
    if (error instanceof ApiError && error.status === 401) connection.value = { state: "denied", retryAt: 0 };
  }
}

export async function refreshHealth(): Promise<void> {
  try {
    health.value = await api.health();
  } catch {
    // What is known stands.
  }
}

export async function start(): Promise<void> {
  await begin();
  addEventListener("hashchange", route);
  addEventListener("online", () => (online.value = true));
  addEventListener("offline", () => (online.value = false));
  effect(() => {
    if (online.value) outbox.wake();
  });
  effect(() => writeStore("qchat.files", filesOpen.value));
  effect(() => {
    // Answers are drawn without components, so their words change by hand.
    const label = t("copy");
    for (const button of document.querySelectorAll("[data-copy]")) button.textContent = label;
  });
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState !== "visible") return;
    void refreshList();
    const last = conversation.value?.turns.value.findLast((turn) => turn.finished);
    if (conversation.value && last) sessions.markSeen(conversation.value.id, last.number);
  });
  setInterval(() => document.visibilityState === "visible" && void refreshList(), LIST_INTERVAL);
  setInterval(() => document.visibilityState === "visible" && void refreshHealth(), 4 * LIST_INTERVAL);
  route();
  void refreshList();
  void refreshHealth();
  outbox.resume();
}
