// The hub: holds the event streams for all tabs of a browser.
//
// Browsers allow six HTTP/1.1 connections to a server, shared by all tabs. So there is one stream for each
// session, however many tabs show it, and at most four of them; when tabs show more sessions than that,
// the ones looked at last have them, and the others are asked now and then whether anything is new.

import { api } from "../api/client";
import { isBehind } from "../api/sse";
import { type Frame, isFinished } from "../api/types";
import type { FromHub, News, StreamState, ToHub } from "./protocol";
import { SessionStream } from "./stream";

const MAX_STREAMS = 4;
const POLL = 4_000;

export interface Port {
  post(message: FromHub): void;
}

interface Tab {
  port: Port;
  session: string;
  /** What the tab has been sent of its session. */
  position: string;
  /** When its user last looked at it; a counter, so that it has no ties. */
  looked: number;
}

interface Session {
  stream: SessionStream | null;
  state: StreamState;
  retryAt: number;
  running: boolean;
  /** The last turn that was seen, and whether its end was: what a paused session is compared with. */
  turn: number;
}

export class Hub {
  private tabs = new Map<Port, Tab>();
  private sessions = new Map<string, Session>();
  private clock = 0;
  private timer: ReturnType<typeof setInterval> | null = null;

  receive(port: Port, message: ToHub): void {
    const tab = this.tabs.get(port) ?? { port, session: "", position: "", looked: ++this.clock };
    if (message.type === "bye") return this.remove(port);
    this.tabs.set(port, tab);
    switch (message.type) {
      case "hello":
        return port.post({ type: "ready" });
      case "watch":
        tab.session = message.session;
        tab.position = message.after;
        tab.looked = ++this.clock;
        return this.watch(tab);
      case "unwatch":
        tab.session = "";
        return this.arrange();
      case "active":
        tab.looked = ++this.clock;
        return this.arrange();
      case "wake":
        return this.sessions.forEach((session) => session.stream?.wake());
      case "news":
        return this.spread(port, message.news);
    }
  }

  remove(port: Port): void {
    this.tabs.delete(port);
    this.arrange();
  }

  private watch(tab: Tab): void {
    const session = this.sessions.get(tab.session);
    const over = session && ["gone", "reset", "denied"].includes(session.state);
    if (session?.stream && (over || isBehind(session.stream.after || "0-0", tab.position))) {
      // The stream is beyond what this tab has: begin it again there. Who has more is spared what he has.
      session.stream.close();
      session.stream = null;
    }
    this.arrange();
    if (session) tab.port.post({ type: "state", session: tab.session, state: session.state, retryAt: session.retryAt });
  }

  private spread(from: Port, news: News): void {
    for (const port of this.tabs.keys()) if (port !== from) port.post({ type: "news", news });
  }

  /** Open, close and pause streams according to what the tabs show. */
  private arrange(): void {
    const looked = new Map<string, number>();
    for (const tab of this.tabs.values()) {
      if (tab.session) looked.set(tab.session, Math.max(tab.looked, looked.get(tab.session) ?? 0));
    }
    const wanted = [...looked].sort((a, b) => b[1] - a[1]).map(([id]) => id);
    for (const [id, session] of this.sessions) {
      if (!looked.has(id)) {
        session.stream?.close();
        this.sessions.delete(id);
      }
    }
    wanted.forEach((id, index) => (index < MAX_STREAMS ? this.open(id) : this.pause(id)));
    const paused = wanted.length > MAX_STREAMS;
    if (paused && this.timer === null) this.timer = setInterval(() => void this.poll(), POLL);
    if (!paused && this.timer !== null) {
      clearInterval(this.timer);
      this.timer = null;
    }
  }

  private find(id: string): Session {
    let session = this.sessions.get(id);
    if (!session) {
      session = { stream: null, state: "connecting", retryAt: 0, running: false, turn: 0 };
      this.sessions.set(id, session);
    }
    return session;
  }

  private open(id: string): void {
    const session = this.find(id);
    if (session.stream) return;
    let after: string | null = null;
    for (const tab of this.tabs.values()) {
      if (tab.session === id && (after === null || isBehind(after || "0-0", tab.position))) after = tab.position;
    }
    const stream: SessionStream = new SessionStream(id, after ?? "", {
      frames: (frames) => session.stream === stream && this.deliver(id, session, frames),
      // The first state comes from within the constructor, before there is a stream to compare with.
      state: (state, retryAt) => (!session.stream || session.stream === stream) && this.setState(id, session, state, retryAt),
    });
    session.stream = stream;
  }

  private pause(id: string): void {
    const session = this.find(id);
    session.stream?.close();
    session.stream = null;
    if (session.state !== "paused") this.setState(id, session, "paused", 0);
  }

  private setState(id: string, session: Session, state: StreamState, retryAt: number): void {
    session.state = state;
    session.retryAt = retryAt;
    for (const tab of this.tabs.values()) {
      if (tab.session === id) tab.port.post({ type: "state", session: id, state, retryAt });
    }
  }

  private deliver(id: string, session: Session, frames: Frame[]): void {
    for (const { data } of frames) {
      if ("turn" in data) session.turn = Math.max(session.turn, data.turn);
      if (data.type === "turn") session.running = true;
      if (data.type === "done" || data.type === "error") session.running = false;
    }
    const last = frames.findLast((frame) => frame.at)?.at;
    for (const tab of this.tabs.values()) {
      if (tab.session !== id) continue;
      const fresh = without(frames, tab.position);
      if (last && isBehind(last, tab.position)) tab.position = last;
      if (fresh.length > 0) tab.port.post({ type: "frames", session: id, frames: fresh });
    }
  }

  /** Has anything happened in the sessions that have no stream? Then it is their turn. */
  private async poll(): Promise<void> {
    for (const [id, session] of [...this.sessions]) {
      if (session.stream) continue;
      try {
        const last = (await api.session(id)).last_turn;
        const changed = last && (last.turn > session.turn || isFinished(last.state) === session.running);
        if (!changed || session.stream) continue;
        for (const tab of this.tabs.values()) if (tab.session === id) tab.looked = ++this.clock;
        this.arrange();
      } catch {
        // The next round asks again.
      }
    }
  }
}

/** The frames behind `position`; they come in order, so mostly that is all of them. */
function without(frames: Frame[], position: string): Frame[] {
  const first = frames.find((frame) => frame.at);
  if (!first || isBehind(first.at, position)) return frames;
  return frames.filter((frame) => !frame.at || isBehind(frame.at, position));
}
