// The list of sessions: read from the server, with what this page knows of them besides.

import { computed, signal } from "@preact/signals";
import { api, ApiError } from "../api/client";
import { type SessionInfo, isFinished } from "../api/types";
import { readStore, writeStore } from "../util/store";

const TITLES = "qchat.titles";
const SEEN = "qchat.seen";
const MAX_TITLE = 80;

export class SessionList {
  readonly list = signal<SessionInfo[]>([]);
  readonly loaded = signal(false);
  readonly next = signal<string | null>(null);
  readonly search = signal("");
  /** Sessions that are about to be deleted: hidden, until the time for changing one's mind is over. */
  readonly leaving = signal<ReadonlySet<string>>(new Set());
  /** Titles that the server does not keep: derived from prompts, or given where it cannot rename. */
  private readonly titles = signal<Record<string, string>>(readStore(TITLES, {}));
  /** The last turn of each session that its reader has seen the end of. */
  private readonly seen = signal<Record<string, number>>(readStore(SEEN, {}));
  private asked = new Set<string>();

  readonly shown = computed(() => {
    const wanted = this.search.value.trim().toLocaleLowerCase();
    return this.list.value
      .filter((session) => !this.leaving.value.has(session.session_id))
      .filter((session) => !wanted || this.title(session).toLocaleLowerCase().includes(wanted))
      .sort((a, b) => Number(b.pinned ?? false) - Number(a.pinned ?? false) || b.last_activity - a.last_activity);
  });

  /** Its title, or "" where nobody has thought of one. */
  title(session: SessionInfo): string {
    return session.title || this.titles.value[session.session_id] || "";
  }

  titleOf(id: string): string {
    const session = this.find(id);
    return (session && this.title(session)) || this.titles.value[id] || "";
  }

  find(id: string): SessionInfo | undefined {
    return this.list.value.find((session) => session.session_id === id);
  }

  async refresh(): Promise<void> {
    const { sessions, next } = await api.sessions("", Math.min(1000, Math.max(50, this.list.value.length)));
    this.list.value = sessions;
    this.next.value = next;
    this.loaded.value = true;
    void this.nameUnnamed();
  }

  async more(): Promise<void> {
    if (!this.next.value) return;
    const { sessions, next } = await api.sessions(this.next.value, 200);
    const known = new Set(this.list.value.map((session) => session.session_id));
    this.list.value = [...this.list.value, ...sessions.filter((session) => !known.has(session.session_id))];
    this.next.value = next;
    void this.nameUnnamed();
  }

  /** A search looks at all sessions, not at those that happen to have been read. */
  async readAll(): Promise<void> {
    for (let page = 0; this.next.value && page < 20; page++) await this.more();
  }

  /** Sessions that were begun elsewhere are called after their first prompt. */
  private async nameUnnamed(): Promise<void> {
    for (const session of this.shown.value.slice(0, 100)) {
      const id = session.session_id;
      if (this.title(session) || !session.last_turn || this.asked.has(id)) continue;
      this.asked.add(id);
      try {
        const first = (await api.turns(id, 0, 1)).turns[0];
        if (first) this.keepTitle(id, titleFrom(first.prompt));
      } catch {
        // It stays unnamed.
      }
    }
  }

  private keepTitle(id: string, title: string): void {
    // Other tabs keep titles there, too.
    this.titles.value = { ...this.titles.value, ...readStore(TITLES, {}), [id]: title };
    writeStore(TITLES, this.titles.value);
  }

  /** The first prompt names a session that has no name. */
  nameAfter(id: string, prompt: string): void {
    if (this.titleOf(id)) return;
    const title = titleFrom(prompt);
    this.keepTitle(id, title);
    api.patchSession(id, { title }).catch(() => {
      // Then it is called so in this browser.
    });
  }

  async rename(id: string, title: string): Promise<void> {
    await this.change(id, { title: title.trim().slice(0, 200) });
    this.keepTitle(id, title.trim().slice(0, 200));
  }

  async pin(id: string, pinned: boolean): Promise<void> {
    await this.change(id, { pinned });
  }

  /** Change what is shown at once, and take it back when the server refuses. */
  private async change(id: string, change: { title?: string; pinned?: boolean }): Promise<void> {
    const before = this.list.value;
    this.list.value = before.map((session) => (session.session_id === id ? { ...session, ...change } : session));
    try {
      this.put(await api.patchSession(id, change));
    } catch (error) {
      if (error instanceof ApiError && error.unsupported) return;
      this.list.value = before;
      throw error;
    }
  }

  put(info: SessionInfo): void {
    if (!info.session_id) return;
    const others = this.list.value.filter((session) => session.session_id !== info.session_id);
    this.list.value = [...others, { ...this.find(info.session_id), ...info }];
  }

  drop(id: string): void {
    this.list.value = this.list.value.filter((session) => session.session_id !== id);
  }

  setLeaving(id: string, leaving: boolean): void {
    const next = new Set(this.leaving.value);
    if (leaving) next.add(id);
    else next.delete(id);
    this.leaving.value = next;
  }

  markSeen(id: string, turn: number): void {
    if (turn <= (this.seen.value[id] ?? 0)) return;
    this.seen.value = { ...this.seen.value, ...readStore(SEEN, {}), [id]: turn };
    writeStore(SEEN, this.seen.value);
  }

  isUnread(session: SessionInfo): boolean {
    const last = session.last_turn;
    const seen = this.seen.value[session.session_id];
    return seen !== undefined && !!last && isFinished(last.state) && last.turn > seen;
  }
}

export function titleFrom(prompt: string): string {
  const line = prompt.trim().split("\n", 1)[0]?.trim() ?? "";
  const letters = [...line];
  return letters.length > MAX_TITLE ? `${letters.slice(0, MAX_TITLE).join("").trimEnd()}…` : line;
}
