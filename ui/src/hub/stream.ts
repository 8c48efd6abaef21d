// One session's event stream: opened, read, and opened again where it broke off.

import { api, readError } from "../api/client";
import { FrameReader } from "../api/sse";
import type { Frame } from "../api/types";
import type { StreamState } from "./protocol";

/** Silence after which a stream counts as dead; the server says something every 15 seconds. */
const SILENCE = 40_000;
const FIRST_DELAY = 300;
const LONGEST_DELAY = 8_000;

export interface StreamListener {
  frames(frames: Frame[]): void;
  state(state: StreamState, retryAt: number): void;
}

export class SessionStream {
  private abort = new AbortController();
  private wakeUp: (() => void) | null = null;
  private delay = FIRST_DELAY;
  private heard = 0;
  private closed = false;

  constructor(
    readonly session: string,
    public after: string,
    private readonly listener: StreamListener,
  ) {
    void this.run();
  }

  close(): void {
    this.closed = true;
    this.abort.abort();
    this.wakeUp?.();
  }

  /** Do not wait: try now, and distrust a connection that has been silent for longer than a heartbeat. */
  wake(): void {
    this.delay = FIRST_DELAY;
    if (this.wakeUp) this.wakeUp();
    else if (this.heard && Date.now() - this.heard > SILENCE / 2) this.abort.abort();
  }

  private async run(): Promise<void> {
    while (!this.closed) {
      this.listener.state("connecting", 0);
      this.abort = new AbortController();
      const pause = await this.attempt().catch(() => -1);
      if (this.closed || pause === null) return;
      if (pause >= 0) this.delay = FIRST_DELAY;
      const wait = pause > 0 ? pause : this.delay * (0.8 + 0.4 * Math.random());
      this.delay = Math.min(this.delay * 2, LONGEST_DELAY);
      this.listener.state("waiting", Date.now() + wait);
      await this.sleep(wait);
    }
  }

  private sleep(wait: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(done, wait);
      const wakeUp = () => done();
      this.wakeUp = wakeUp;
      const self = this;
      function done() {
        clearTimeout(timer);
        self.wakeUp = null;
        resolve();
      }
    });
  }

  /** Read until the stream ends: the pause before the next attempt (-1: the usual), null for never. */
  private async attempt(): Promise<number | null> {
    const watchdog = setInterval(() => {
      if (Date.now() - this.heard > SILENCE) this.abort.abort();
    }, 5_000);
    this.heard = Date.now();
    try {
      const response = await fetch(api.eventsHref(this.session, this.after), {
        signal: this.abort.signal,
        cache: "no-store",
        headers: { Accept: "text/event-stream" },
      });
      if (!response.ok) return await this.refused(response);
      if (response.status !== 200 || !response.body) return -1;
      if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) return -1;
      this.listener.state("live", 0);
      return await this.read(response.body);
    } finally {
      clearInterval(watchdog);
      this.heard = 0;
    }
  }

  private async read(body: ReadableStream<Uint8Array>): Promise<number | null> {
    const reader = body.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>).getReader();
    const parser = new FrameReader();
    let pause = -1;
    for (;;) {
      const { done, value } = await reader.read();
      if (done || this.closed) return pause;
      this.heard = Date.now();
      const frames = parser.feed(value);
      if (frames.length === 0) continue;
      for (const { at, data } of frames) {
        if (at) this.after = at;
        if (data.type === "reconnect") pause = (data.retry_after ?? 1) * 1000;
      }
      this.delay = FIRST_DELAY;
      this.listener.frames(frames);
      if (frames.some(({ data }) => data.type === "session_deleted")) return this.end("gone");
    }
  }

  private async refused(response: Response): Promise<number | null> {
    const error = await readError(response);
    // Only our own server's word counts: a proxy's 404 passes.
    if (error.code === "SESSION_NOT_FOUND") return this.end("gone");
    if (error.code === "VALIDATION_ERROR") return this.end("reset");
    if (error.code === "UNAUTHORIZED") return this.end("denied");
    return error.retryAfter ? error.retryAfter * 1000 : -1;
  }

  private end(state: StreamState): null {
    this.listener.state(state, 0);
    return null;
  }
}
