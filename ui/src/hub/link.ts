// A tab's end of the hub: a shared worker; where there is none, the tab that holds a lock is the hub for
// all others, by a broadcast channel; where there is neither, every tab has its own.

import { randomKey } from "../util/random";
import { Hub, type Port } from "./hub";
import { hold, onceReleased } from "./lock";
import type { FromHub, News, StreamState, ToHub } from "./protocol";
import type { Frame } from "../api/types";

declare const HUB_SCRIPT: string;

export interface LinkListener {
  frames(session: string, frames: Frame[]): void;
  state(session: string, state: StreamState, retryAt: number): void;
  news(news: News): void;
}

type Send = (message: ToHub) => void;

export class Link {
  private readonly name = `qchat-tab-${randomKey()}`;
  private send: Send = () => {};
  private watching: { session: string; after: () => string } | null = null;

  constructor(private readonly listener: LinkListener) {
    void hold(this.name).then(() => this.connect());
    addEventListener("pagehide", () => this.send({ type: "bye" }));
    addEventListener("pageshow", (event) => event.persisted && this.greet());
    addEventListener("online", () => this.send({ type: "wake" }));
    addEventListener("focus", () => this.send({ type: "active" }));
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState !== "visible") return;
      this.send({ type: "active" });
      this.send({ type: "wake" });
    });
    watchClock(() => this.send({ type: "wake" }));
  }

  /** Follow a session, and no other; `after` tells the position that the tab has, whenever it is asked. */
  watch(session: string, after: () => string): void {
    this.watching = { session, after };
    this.send({ type: "watch", session, after: after() });
  }

  unwatch(): void {
    this.watching = null;
    this.send({ type: "unwatch" });
  }

  tell(news: News): void {
    this.send({ type: "news", news });
  }

  /** Try again now. */
  wake(): void {
    this.send({ type: "wake" });
  }

  private connect(): void {
    try {
      if (typeof SharedWorker === "undefined") throw new Error("no shared workers");
      const worker = new SharedWorker(workerAddress() as string, { name: "qchat" });
      worker.port.onmessage = ({ data }: MessageEvent<FromHub>) => this.receive(data);
      this.send = (message) => worker.port.postMessage(message);
    } catch {
      this.send = connectTabs(this.name, (message) => this.receive(message));
    }
    this.greet();
  }

  private greet(): void {
    this.send({ type: "hello", lock: this.name });
  }

  private receive(message: FromHub): void {
    switch (message.type) {
      case "ready":
        if (this.watching) this.watch(this.watching.session, this.watching.after);
        return;
      case "frames":
        return this.listener.frames(message.session, message.frames);
      case "state":
        return this.listener.state(message.session, message.state, message.retryAt);
      case "news":
        return this.listener.news(message.news);
    }
  }
}

/** The worker's script as a type that `require-trusted-types-for` lets pass. */
function workerAddress(): unknown {
  const types = (window as { trustedTypes?: { createPolicy(name: string, rules: object): { createScriptURL(url: string): unknown } } })
    .trustedTypes;
  return types ? types.createPolicy("qchat", { createScriptURL: () => HUB_SCRIPT }).createScriptURL("") : HUB_SCRIPT;
}

/** A machine that slept shows as a clock that jumped. */
function watchClock(woke: () => void): void {
  let last = Date.now();
  setInterval(() => {
    const now = Date.now();
    if (now - last > 15_000) woke();
    last = now;
  }, 5_000);
}

type Envelope = { to: "hub"; from: string; message: ToHub } | { to: string; message: FromHub };

function connectTabs(name: string, receive: (message: FromHub) => void): Send {
  let local: Send | null = null;
  const lead = (post: (to: string, message: FromHub) => void) => {
    const hub = new Hub();
    const ports = new Map<string, Port>();
    const take = (from: string, message: ToHub) => {
      let port = ports.get(from);
      if (!port) {
        port = { post: (reply) => (from === name ? receive(reply) : post(from, reply)) };
        ports.set(from, port);
        const found = port;
        if (from !== name) void onceReleased(from).then(() => hub.remove(found));
      }
      hub.receive(port, message);
      if (message.type === "bye") ports.delete(from);
    };
    local = (message) => take(name, message);
    return take;
  };

  if (!navigator.locks || typeof BroadcastChannel === "undefined") {
    lead(() => {});
    return (message) => local?.(message);
  }
  const channel = new BroadcastChannel("qchat-hub");
  let take: ((from: string, message: ToHub) => void) | null = null;
  channel.onmessage = ({ data }: MessageEvent<Envelope>) => {
    if (data.to === "hub") take?.((data as { from: string }).from, data.message as ToHub);
    else if (data.to === name || data.to === "all") receive(data.message as FromHub);
  };
  void navigator.locks.request("qchat-hub", () => {
    take = lead((to, message) => channel.postMessage({ to, message }));
    channel.postMessage({ to: "all", message: { type: "ready" } });
    receive({ type: "ready" });
    return new Promise(() => {});
  });
  return (message) => (local ? local(message) : channel.postMessage({ to: "hub", from: name, message }));
}
